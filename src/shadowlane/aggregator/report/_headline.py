"""What must be seen first: the findings that change how every other figure is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import Correctness, Finding, Rules
from shadowlane.visible import visible

#: More than this of the delivered requests without a trace is an alarm; so it is for the gate.
MOST_UNEXPLAINED = 0.001
#: Fewer requests than this with a label say little of the others.
FEW_LABELLED = 0.05
_MANY_LOST = 0.01
_A_POINT = 0.01
_OFTEN = 0.90
_RULES = 3
_LONG_GAP_HOURS = 24
_HOURS = 168

_WEIGHTS = ("alarm", "warning", "remark")


def headline(report: Report) -> tuple[Finding, ...]:
    """The findings, the weightiest first."""
    if not report.requests:
        return ()
    found = [
        *_standouts(report),
        *_truth(report),
        *_losses(report),
        *_errors(report),
        *_disagreements(report),
        *_answers(report),
        *_sampling(report),
        *_noise(report),
        *_coverage(report),
    ]
    return tuple(sorted(found, key=lambda each: _WEIGHTS.index(each.weight)))


def _standouts(report: Report) -> Iterator[Finding]:
    for each in report.standouts or ():
        weight: Literal["alarm", "warning"] = "warning" if each.figure == "mix" else "alarm"
        yield Finding(weight=weight, section="segments", sentence=each.sentence)


def _truth(report: Report) -> Iterator[Finding]:
    for outcome in report.truth.outcomes if report.truth else ():
        name = visible(outcome.name)
        found = outcome.correctness
        if found and found.difference is not None and found.difference_interval:
            yield Finding(
                weight="alarm" if found.difference_interval.high < 0 else "remark",
                section="truth",
                sentence=_right(name, found),
            )
        whole = (found and found.difference) or 0.0
        for each in outcome.reweighted:
            if each.difference * whole < 0:
                yield Finding(
                    weight="alarm",
                    section="truth",
                    sentence=f"Weighted as the requests are by {visible(each.segment)}, the {name} says the "
                    f"opposite: {each.difference * 100:+.2f} points for the shadow, against "
                    f"{whole * 100:+.2f} of the labelled.",
                )
        covered = outcome.labelled.value
        if covered is not None and covered < FEW_LABELLED:
            yield Finding(
                weight="warning",
                section="truth",
                sentence=f"Only {_values.percent(covered)} of the compared requests have a {name} yet.",
            )


def _right(name: str, found: Correctness) -> str:
    difference, interval = found.difference or 0.0, found.difference_interval
    side = "more" if difference > 0 else "less"
    known = ""
    if interval:
        known = f", {_points(interval.low)} to {_points(interval.high)} points"
        known += "" if interval.low > 0 or interval.high < 0 else ": no difference that is certain"
    return (
        f"By the {name} of {_values.many(found.requests, 'request')}, the shadow is right "
        f"{_points(abs(difference))} points {side} often than the primary ("
        f"{_values.percent(found.shadow.value)} against {_values.percent(found.primary.value)}{known})."
    )


def _points(share: float) -> str:
    return f"{share * 100:+.2f}" if share < 0 else f"{share * 100:.2f}"


def _losses(report: Report) -> Iterator[Finding]:
    found, ledger = report.completeness, report.ledger
    if found and found.unexplained_rate and found.unexplained_rate > MOST_UNEXPLAINED:
        yield Finding(
            weight="alarm",
            section="completeness",
            sentence=f"{_values.many(found.unexplained or 0, 'request')}, "
            f"{_values.percent(found.unexplained_rate)} of the delivered, are in no count: waiting, or lost.",
        )
    lost = sum(ledger.dropped.values()) + ledger.failed if ledger else 0
    if ledger and ledger.observed and lost / ledger.observed > _MANY_LOST:
        yield Finding(
            weight="warning",
            section="completeness",
            sentence=f"{_values.percent(lost / ledger.observed)} of the observed requests never came to be "
            "replayed (dropped, or not delivered); what is lost under load is not lost at random.",
        )


def _errors(report: Report) -> Iterator[Finding]:
    for cluster in (report.error_clusters or ())[:_RULES]:
        if (cluster.rate.value or 0) < MOST_UNEXPLAINED:
            continue
        found = cluster.rules.rules if cluster.rules else ()
        where = f"; {_values.percent(found[0].share, 1)} of these where {found[0].text}" if found else ""
        yield Finding(
            weight="warning",
            section="errors",
            sentence=f"{visible(cluster.error_type, 60)} on {_values.percent(cluster.rate.value)} of the "
            f"requests{where}.",
        )


def _disagreements(report: Report) -> Iterator[Finding]:
    if report.agreement_rate is not None and report.agreement_rate < _OFTEN:
        yield Finding(
            weight="warning",
            section="agreement",
            sentence=f"The two disagree on {_values.percent(1 - report.agreement_rate)} of the requests.",
        )
    rules: Rules | None = report.disagreement_figures.rules if report.disagreement_figures else None
    for rule in rules.rules[:_RULES] if rules else ():
        yield Finding(
            weight="warning",
            section="disagreements",
            sentence=f"{_values.percent(rule.share, 1)} of the disagreements where {rule.text}: "
            f"{_values.percent(rule.rate.value)} of {_values.many(rule.requests, 'such request')} "
            f"({rule.lift:.1f} times as often as overall).",
        )


def _answers(report: Report) -> Iterator[Finding]:
    scores, many = report.scores, MOST_UNEXPLAINED * report.requests
    if scores and (no_numbers := scores.primary_not_finite + scores.shadow_not_finite) > many:
        sentence = f"{_values.many(no_numbers, 'score')} NaN or infinite."
        yield Finding(weight="warning", section="predictions", sentence=sentence)
    if scores and scores.one_sided > many:
        sentence = f"On {_values.many(scores.one_sided, 'request')} only one of the two gave a score."
        yield Finding(weight="warning", section="predictions", sentence=sentence)


def _sampling(report: Report) -> Iterator[Finding]:
    found = report.agreement
    if found and found.weighted is not None and found.rate.value is not None:
        apart = abs(found.weighted - found.rate.value)
        yield Finding(
            weight="warning" if apart >= _A_POINT else "remark",
            section="agreement",
            sentence="Requests were sampled at several rates: each counted for those that it stands for, "
            f"agreement is {_values.percent(found.weighted)}, not {_values.percent(found.rate.value)}.",
        )


def _noise(report: Report) -> Iterator[Finding]:
    floor = report.agreement.noise_floor if report.agreement else None
    if not floor:
        return
    if floor.excess is None or floor.excess_interval is None:
        sentence = f"The control {visible(floor.shadow)} has no comparisons to take the noise from."
        yield Finding(weight="warning", section="agreement", sentence=sentence)
        return
    low, high = _points(floor.excess_interval.low), _points(floor.excess_interval.high)
    yield Finding(
        weight="remark",
        section="agreement",
        sentence=f"The primary disagrees with itself on {_values.percent(floor.disagreement.value)}; "
        f"the shadow beyond that by {_points(floor.excess)} points ({low} to {high}).",
    )


def _coverage(report: Report) -> Iterator[Finding]:
    found = report.coverage
    if found is None:
        return
    if not found.is_full_week:
        missing = (
            f"{found.weekdays} of 7 weekdays and {found.hours_of_week} of the week's 168 hours were seen"
            if found.hours_of_week < _HOURS
            else f"each hour of the week was seen, and for {found.longest_gap_hours:,} hours on end none was"
        )
        sentence = f"Less than a business cycle: {missing}."
        yield Finding(weight="warning", section="coverage", sentence=sentence)
    elif found.longest_gap_hours >= _LONG_GAP_HOURS:
        sentence = f"For {found.longest_gap_hours:,} hours on end there is no request."
        yield Finding(weight="warning", section="coverage", sentence=sentence)
