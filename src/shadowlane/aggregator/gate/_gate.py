"""The gate: a report against a policy gives a verdict. A pure function; nothing is read or written here.

The verdict, by the first of these that holds:

1. `no_data`       no request at all.
2. `inconclusive`  less evidence than the policy asks for, or a check whose figure cannot be computed or
                   is not all numbers: not enough is known, whatever the other checks say.
3. `hold`          a check failed.
4. `inconclusive`  a check is not settled at the confidence asked for: more requests would tell.
5. `promote`       every check passed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shadowlane import __version__
from shadowlane.aggregator.gate._check import Check
from shadowlane.aggregator.gate._checks import run_checks
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
    id: str | None = None  # under which it is recorded; None where it is not to be

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
        if self.verdict == "promote":
            return "Every check passed."
        if self.verdict == "no_data":
            return "No request was compared or failed in this scope: there is nothing to decide on."
        failed = _named(self.checks, lambda check: check.passed is False)
        if self.verdict == "hold":
            return f"Failed: {failed}."
        unknown = _named(self.checks, lambda check: check.passed is None and not check.unsettled)
        open_ones = _named(self.checks, lambda check: check.unsettled)
        parts = (("failed", failed), ("cannot be said", unknown), ("not settled yet", open_ones))
        said = "; ".join(f"{what}: {names}" for what, names in parts if names)
        return f"Not enough is known to decide ({said})."


def _named(checks: Sequence[Check], is_meant: Callable[[Check], bool]) -> str:
    return ", ".join(check.name for check in checks if is_meant(check))


def decide(report: Report, policy: Policy, decided_at: datetime, *, id: str | None = None) -> GateResult:  # noqa: A002 - the field's name
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
        id=id,
    )


def _verdict(report: Report, checks: Sequence[Check]) -> Verdict:
    if report.requests == 0:
        return "no_data"
    lacking = any(check.kind == "evidence" and not check.passed for check in checks)
    if lacking or any(check.passed is None and not check.unsettled for check in checks):
        return "inconclusive"
    if any(check.passed is False for check in checks):
        return "hold"
    return "inconclusive" if any(check.unsettled for check in checks) else "promote"


def _summary(report: Report) -> dict[str, object]:
    """The figures that a reader of the verdict wants, without opening the report."""
    latency, scope = report.latency, report.scope
    return {
        "model": scope.model,
        "shadow": scope.shadow,
        "run": scope.run,
        "window_start": scope.start,
        "window_end": scope.end,
        "where": scope.where,
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
        "users": report.watch.users if report.watch else None,
    }
