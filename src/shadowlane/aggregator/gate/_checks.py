"""The gate's five checks: a figure of the report against its bound in the policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from shadowlane.aggregator.gate._policy import Policy
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.visible import visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One criterion against its figure. `passed` is None where that cannot be said."""

    name: str
    value: float | None
    operator: Literal[">=", "<="]
    bound: float
    n: int  # over how many requests the value is
    passed: bool | None
    why: str


def run_checks(report: Report, policy: Policy) -> tuple[Check, ...]:
    """Every check, the traffic's first."""
    return (
        _traffic(report, policy),
        _agreement(report, policy),
        _latency(report, policy),
        _errors(report, policy),
        _distribution(report, policy),
    )


def _traffic(report: Report, policy: Policy) -> Check:
    # What is ignored is no evidence: a verdict must not rest on the few that are left.
    value, bound = report.requests - report.ignored, policy.min_requests
    beside = f", beside {report.ignored:,} ignored" if report.ignored else ""
    passed = value >= bound
    missing = "" if passed else f": {bound - value:,} more are needed before the rest can be judged"
    return Check(
        name="sufficient_traffic",
        value=value,
        operator=">=",
        bound=bound,
        n=value,
        passed=passed,
        why=f"{_values.many(value, 'request')} seen{beside}; at least {bound:,} are asked for{missing}.",
    )


def _agreement(report: Report, policy: Policy) -> Check:
    value, bound = report.agreement_rate, policy.min_agreement_rate
    why_none = "Each compared request is ignored by a rule" if report.compared else "No request was compared"
    return Check(
        name="agreement_ok",
        value=value,
        operator=">=",
        bound=bound,
        n=report.compared - report.ignored,
        passed=None if value is None else value >= bound,
        why=f"{why_none}, so agreement is unknown."
        if value is None
        else "The two agree on {} of the compared requests; at least {} is asked for.".format(
            *_values.apart(value, bound, _values.percent)
        ),
    )


def _latency(report: Report, policy: Policy) -> Check:
    latency, bound = report.latency and report.latency.shadow, policy.max_shadow_latency_p99_ms
    value = latency.p99_ms if latency else None
    unknown = " ".join(_latency_doubts(report))
    passed = None if value is None else value <= bound
    sentence = ""
    if value is not None:
        sentence = "99 % of the shadow's answers took at most {}; at most {} is asked for.".format(
            *_values.apart(value, bound, _values.milliseconds)
        )
    return Check(
        name="latency_ok",
        value=value,
        operator="<=",
        bound=bound,
        n=latency.measured if latency else 0,
        passed=None if passed and unknown else passed,
        why=" ".join(filter(None, [sentence, unknown])),
    )


def _latency_doubts(report: Report) -> Iterator[str]:
    """What keeps the percentile from being known, or from being a pass."""
    if report.compared == 0:
        yield "No request was compared, so the shadow's latency is unknown."
    elif report.latency is None:
        bases = ", ".join(visible(each.basis) for each in report.latencies)
        yield f"No request was timed alone and warm (only: {bases}), so the shadow's percentiles are unknown."
    elif unusable := report.latency.shadow.unusable + report.latency.shadow.unmeasured:
        yield f"Of the shadow's latencies {unusable:,} are absent, NaN, infinite or negative."


def _errors(report: Report, policy: Policy) -> Check:
    value, bound = report.error_rate, policy.max_shadow_error_rate
    return Check(
        name="errors_ok",
        value=value,
        operator="<=",
        bound=bound,
        n=report.requests,
        passed=None if value is None else value <= bound,
        why="No request was seen, so the error rate is unknown."
        if value is None
        else "The shadow failed on {} of the requests; at most {} is asked for.".format(
            *_values.apart(value, bound, _values.percent)
        ),
    )


def _distribution(report: Report, policy: Policy) -> Check:
    value, bound = report.distance, policy.max_distribution_divergence
    passed = None if value is None else value <= bound
    unknown = " ".join(_distribution_doubts(report))
    sentence = ""
    if value is not None:
        sentence = (
            "The Jensen-Shannon distance of the {} is {}; at most {} is asked for.".format(
                report.distribution_of, *_values.apart(value, bound, _values.distance)
            )
        )  # fmt: skip
    return Check(
        name="distribution_ok",
        value=value,
        operator="<=",
        bound=bound,
        n=report.compared,
        passed=None if passed and unknown else passed,
        why=" ".join(filter(None, [sentence, unknown])),
    )


def _distribution_doubts(report: Report) -> Iterator[str]:
    """What keeps the distance from being known, or from being a pass: answers that are in no bin."""
    if report.distance is None:
        yield (
            "No request was compared, so the predictions' distributions are unknown."
            if report.compared == 0
            else "Not both models gave scores that are numbers, nor labels: there is no distance to compute."
        )
    scores, labels = report.scores, report.labels
    for name, bad in (
        ("primary", scores.primary_not_finite if scores else 0),
        ("shadow", scores.shadow_not_finite if scores else 0),
    ):
        if bad:
            yield f"{_values.many(bad, 'score')} of the {name} NaN or infinite."
    judged = {"scores": scores, "labels": labels, None: scores or labels}[report.distribution_of]
    if judged and judged.one_sided:
        requests = _values.many(judged.one_sided, "request")
        yield f"On {requests} only one of the two gave a prediction of this kind."
