"""The gate: a report against a policy gives a verdict. A pure function; nothing is read or written here.

The verdict, by the first of these that holds:

1. `no_data`       no request at all.
2. `inconclusive`  fewer requests than the policy asks for, or a check whose figure cannot be computed or
                   is not all numbers: not enough is known, whatever the other checks say.
3. `hold`          a check failed.
4. `promote`       every check passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shadowlane import __version__
from shadowlane.aggregator.gate._checks import Check, run_checks
from shadowlane.aggregator.gate._policy import Policy
from shadowlane.aggregator.report._notes import notes
from shadowlane.aggregator.report._report import Report

Verdict = Literal["promote", "hold", "inconclusive", "no_data"]

EXIT_CODES: Mapping[Verdict, int] = {"promote": 0, "hold": 1, "inconclusive": 3, "no_data": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """The verdict, and all that it rests on."""

    verdict: Verdict
    checks: tuple[Check, ...]
    notes: tuple[str, ...]  # what must be known to read the figures right
    report_summary: Mapping[str, object]
    policy: Policy
    table_versions: Mapping[str, int | None]
    software_version: str
    decided_at: datetime

    @property
    def promote(self) -> bool:
        """Whether the shadow may be promoted."""
        return self.verdict == "promote"

    @property
    def exit_code(self) -> int:
        """What a command that asks the gate exits with."""
        return EXIT_CODES[self.verdict]

    @property
    def reason(self) -> str:
        """The verdict in a sentence."""
        failed = ", ".join(check.name for check in self.checks if check.passed is False)
        unknown = ", ".join(check.name for check in self.checks if check.passed is None)
        if self.verdict == "promote":
            return "Every check passed."
        if self.verdict == "hold":
            return f"Failed: {failed}."
        if self.verdict == "no_data":
            return "No request was compared or failed in this scope: there is nothing to decide on."
        parts = [f"failed: {failed}"] * bool(failed) + [f"cannot be said: {unknown}"] * bool(unknown)
        return f"Not enough is known to decide ({'; '.join(parts)})."


def decide(report: Report, policy: Policy, decided_at: datetime) -> GateResult:
    """What the policy says of the report."""
    checks = run_checks(report, policy)
    return GateResult(
        verdict=_verdict(report, checks),
        checks=checks,
        notes=notes(report),
        report_summary=_summary(report),
        policy=policy,
        table_versions=report.table_versions,
        software_version=__version__,
        decided_at=decided_at,
    )


def _verdict(report: Report, checks: tuple[Check, ...]) -> Verdict:
    if report.requests == 0:
        return "no_data"
    traffic, *others = checks
    if not traffic.passed or any(check.passed is None for check in others):
        return "inconclusive"
    return "promote" if all(check.passed for check in others) else "hold"


def _summary(report: Report) -> dict[str, object]:
    """The figures that a reader of the verdict wants, without opening the report."""
    latency = report.latency
    return {
        "model": report.scope.model,
        "shadow": report.scope.shadow,
        "run": report.scope.run,
        "window_start": report.scope.start,
        "window_end": report.scope.end,
        "first_request": report.first_request,
        "last_request": report.last_request,
        "requests": report.requests,
        "compared": report.compared,
        "agreement_rate": report.agreement_rate,
        "errored": report.errored,
        "error_rate": report.error_rate,
        "undecodable": report.undecodable,
        "primary_latency_p99_ms": latency.primary.p99_ms if latency else None,
        "shadow_latency_p99_ms": latency.shadow.p99_ms if latency else None,
        "distribution_of": report.distribution_of,
        "distribution_distance": report.distance,
    }
