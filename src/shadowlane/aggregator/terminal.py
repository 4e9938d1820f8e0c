"""The report and the verdict on a terminal, for those who have rich (needs `[cli]`)."""

from shadowlane.aggregator.forms._terminal import print_errors, print_gate, print_report

__all__ = ["print_errors", "print_gate", "print_report"]
