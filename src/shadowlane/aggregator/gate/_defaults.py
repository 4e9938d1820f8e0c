"""The five checks that every gate makes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace

from shadowlane.aggregator.gate._check import Check
from shadowlane.aggregator.gate._intervals import distance_interval
from shadowlane.aggregator.gate._look import At, Look, more_to_settle_rate
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._notes import CROWDED
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import Latency
from shadowlane.visible import visible

_SLOWEST = 0.01
#: With fewer there is no interval of order statistics for a 99th percentile, at a confidence of 95 %.
FEWEST_FOR_P99 = 368


def traffic(look: Look) -> Check:
    """Whether there are requests enough; what is ignored is no evidence."""
    report, bound = look.report, look.policy.min_requests
    value = report.requests - report.ignored
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
        more_needed=None if passed else bound - value,
        kind="evidence",
    )


def agreement(look: Look) -> Check:
    """Whether the two agree often enough."""
    report = look.report
    nothing = "Each compared request is ignored by a rule" if report.compared else "No request was compared"
    judged = report.compared - report.ignored
    bound = look.policy.min_agreement_rate
    return look.rate(
        "agreement_ok",
        (report.agreements, judged),
        ">=",
        bound,
        effect=look.watch.of_disagreement if look.watch else 1.0,
        sentence="The two agree on {} of the compared requests; at least {} is asked for.",
        none=f"{nothing}, so agreement is unknown.",
    )


def latency(look: Look) -> Check:
    """Whether the shadow is fast enough."""
    report, bound = look.report, look.policy.max_shadow_latency_p99_ms
    found = report.latency.shadow if report.latency else None
    value = found.p99_ms if found else None
    return look.conclude(
        "latency_ok",
        value,
        "<=",
        bound,
        n=found.measured if found else 0,
        sentence="99 % of the shadow's answers took at most {}; at most {} is asked for.",
        write=_values.milliseconds,
        doubts=[*latency_doubts(report), *_too_few_timed(report, look.policy.min_requests)],
        interval=look.watch.shadow_p99_ms if look.watch else None,
        needed=lambda: _needed(look, found, bound) if found else None,
    )


def _too_few_timed(report: Report, asked: int) -> Iterator[str]:
    """Of fewer requests a percentile this far out is the largest of them, or nearly."""
    least = min(asked, FEWEST_FOR_P99)
    timed = report.latency.shadow.measured if report.latency else least
    if timed < least:
        yield f"Only {_values.many(timed, 'request')} timed alone and warm; {least} are the least for a p99."


def _needed(look: Look, found: Latency, bound: float) -> int | None:
    """How many more requests would tell on which side of 99 % the share of those within the bound lies."""
    slower, n = 1 - _share_within(found, bound), found.measured
    if look.level is None or look.watch is None:
        return None
    return more_to_settle_rate(slower * n, n, _SLOWEST, look.level, look.watch.of_slowness)


def _share_within(found: Latency, bound: float) -> float:
    """By the latency's curve, in proportion between its points."""
    shares, times = zip(*found.curve, strict=True)
    place = bisect_right(times, bound)
    if place == 0 or place == len(times):
        return float(place > 0)
    span = times[place] - times[place - 1]
    return float(shares[place - 1] + (shares[place] - shares[place - 1]) * (bound - times[place - 1]) / span)


def latency_doubts(report: Report) -> Iterator[str]:
    """What keeps the percentile from being known, or from being a pass."""
    if report.compared == 0:
        yield "No request was compared, so the shadow's latency is unknown."
    elif report.latency is None:
        bases = ", ".join(visible(each.basis) for each in report.latencies)
        yield f"No request was timed alone and warm (only: {bases}), so the shadow's percentiles are unknown."
    elif unusable := report.latency.shadow.unusable + report.latency.shadow.unmeasured:
        yield f"Of the shadow's latencies {unusable:,} are absent, NaN, infinite or negative."


def errors(look: Look) -> Check:
    """Whether the shadow fails seldom enough."""
    report = look.report
    found = look.rate(
        "errors_ok",
        (report.errored, report.requests),
        "<=",
        look.policy.max_shadow_error_rate,
        effect=look.watch.of_errors if look.watch else 1.0,
        sentence="The shadow failed on {} of the requests; at most {} is asked for.",
        none="No request was seen, so the error rate is unknown.",
    )
    if not report.errors_left_out:
        return found
    left_out = _values.many(report.errors_left_out, "error")
    doubt = f" The condition speaks of what errors do not have: {left_out} of this window are in no count."
    return replace(found, passed=found.passed and None, why=found.why + doubt)


def distribution(look: Look) -> Check:
    """Whether the two answer alike on the whole."""
    report, bound = look.report, look.policy.max_distribution_divergence
    return look.conclude(
        "distribution_ok",
        report.distance,
        "<=",
        bound,
        n=report.compared,
        sentence=f"The Jensen-Shannon distance of the {report.distribution_of} is {{}}; "
        "at most {} is asked for.",
        write=_values.distance,
        doubts=[
            *_distribution_doubts(report),
            *_blind_spots(report, bound),
        ],
        at=_distance_at(look),
    )


def _blind_spots(report: Report, bound: float) -> Iterator[str]:
    """What the bins do not show: a few far values stretch them, and all others fall into one."""
    scores = report.scores
    if report.distribution_of != "scores" or not scores or scores.kolmogorov_smirnov is None:
        return
    both = [p + s for p, s in zip(scores.primary, scores.shadow, strict=True)]
    share = max(both, default=0) / max(1, sum(both))
    if share >= CROWDED and scores.kolmogorov_smirnov > bound:
        yield (
            f"{_values.percent(share, 1)} of the scores lie in one bin, stretched by a few far values, and "
            f"the distance is blind to them: their distributions are {scores.kolmogorov_smirnov:.2f} apart "
            "(Kolmogorov-Smirnov)."
        )


def _distance_at(look: Look) -> At | None:
    level, value, effect = look.level, look.report.distance, look.alike
    counts = _counts(look.report)
    if level is None or value is None or counts is None:
        return None
    return lambda scale: distance_interval(value, *counts, level, effect / scale)


def _counts(report: Report) -> tuple[list[int], list[int]] | None:
    """Both models' counts: of scores in bins, or of labels, the rarest taken together."""
    if report.distribution_of == "scores" and report.scores:
        return [*report.scores.primary], [*report.scores.shadow]
    if report.distribution_of == "labels" and report.labels:
        every = [*report.labels.labels, *filter(None, [report.labels.other])]
        return [each.primary for each in every], [each.shadow for each in every]
    return None


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
