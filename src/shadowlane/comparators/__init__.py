"""When two predictions agree: one at a time here, over columns in `shadowlane.comparators.columns`."""

from shadowlane.comparators._rules import DEFAULT_TOLERANCE, Comparator, Outcome

__all__ = ["DEFAULT_TOLERANCE", "Comparator", "Outcome"]
