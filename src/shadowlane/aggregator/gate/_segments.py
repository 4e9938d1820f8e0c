"""The floors for each value of a segment: a gain on the whole must not hide a loss in one part of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from shadowlane.aggregator.gate._asked import SegmentCriteria
from shadowlane.aggregator.gate._check import Check, Operator
from shadowlane.aggregator.gate._intervals import difference_interval
from shadowlane.aggregator.gate._look import At, Look, in_sentence, points
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report.figures import CohortWatch, Rate, SegmentGroup
from shadowlane.visible import visible

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class _Cohort:
    name: str
    group: SegmentGroup
    watch: CohortWatch | None  # None: not known, so a user's requests count as all alike


def segments(look: Look, asked: SegmentCriteria) -> Iterator[Check]:
    """Each check that is asked for; of its cohorts, the worst is the one that is shown."""
    every = [*_cohorts(look)]
    least = asked.min_share * look.report.requests
    judged = [each for each in every if each.group.requests >= least]
    yield _traffic(asked, judged, [each for each in every if each not in judged])
    crowded = _crowded(look, least)

    def worst(name: str, check: Callable[[_Cohort], Check], operator: Operator, bound: float) -> Check:
        found = _worst(name, judged, check, operator, bound)
        if not crowded:
            return found
        is_open = found.passed is True
        return replace(
            found,
            passed=None if is_open else found.passed,
            unsettled=found.unsettled or is_open,
            why=f"{found.why} {crowded}",
        )

    if (floor := asked.min_agreement_rate) is not None:
        yield worst("segments_agreement_ok", lambda each: _agreement(look, each, floor), ">=", floor)
    if (ceiling := asked.max_error_rate) is not None:
        yield worst("segments_errors_ok", lambda each: _errors(look, each, ceiling), "<=", ceiling)
    if (loss := asked.max_correctness_loss) is not None:
        yield worst("segments_correctness_ok", lambda each: _correctness(look, each, loss), ">=", -loss)


def _crowded(look: Look, least: float) -> str:
    """What is said where values that must be judged one by one are only known added up; else nothing.

    The most frequent values are told apart: where the rarest of these is large enough to be judged, so may
    others be.
    """
    wanted = look.policy.segments.names if look.policy.segments else ()
    said = []
    for segment in look.report.segments:
        told = [group.requests for group in segment.groups if group.value is not None]
        if segment.name in wanted and segment.other and told and min(told) >= least:
            share = min(told) / max(1, look.report.requests)
            said.append(
                f"Of {visible(segment.name, 60)} only the {len(told)} most frequent values were judged one "
                f"by one, and others may be as frequent: ask for segments.min_share above {share:.4f}."
            )
    return " ".join(said)


def _cohorts(look: Look) -> Iterator[_Cohort]:
    wanted = look.policy.segments.names if look.policy.segments else ()
    every = look.watch.cohorts if look.watch else ()
    watches = {(each.segment, each.value): each for each in every}
    for segment in look.report.segments:
        if segment.name in wanted:
            for group in segment.groups:
                value = "(none)" if group.value is None else visible(group.value, 60)
                found = watches.get((segment.name, group.value))
                yield _Cohort(f"{visible(segment.name, 60)} = {value}", group, found)
            if segment.other:
                yield _Cohort(f"{visible(segment.name, 60)} = (all others)", segment.other, None)


def _traffic(asked: SegmentCriteria, judged: Sequence[_Cohort], left_out: Sequence[_Cohort]) -> Check:
    fewest = min(judged, key=lambda each: each.group.requests, default=None)
    value = fewest.group.requests if fewest else None
    beside = ""
    if left_out:
        share = _values.shortest(asked.min_share, _values.percent)
        beside = f" Not judged, each with less than {share} of the requests: {_named(left_out)}."
    if fewest is None or value is None:
        why = "No request of these segments was seen."
    else:
        short = [each for each in judged if each.group.requests < asked.min_requests]
        why = (
            f"The smallest cohort, {fewest.name}, has {_values.many(value, 'request')}; at least "
            f"{asked.min_requests:,} are asked for" + (f" (too few: {_named(short)})." if short else ".")
        )
    return Check(
        name="segments_sufficient",
        value=value,
        operator=">=",
        bound=asked.min_requests,
        n=value or 0,
        passed=None if value is None else value >= asked.min_requests,
        why=why + beside,
        of=fewest.name if fewest else None,
        kind="evidence",
    )


def _worst(
    name: str,
    judged: Sequence[_Cohort],
    check: Callable[[_Cohort], Check],
    operator: Operator,
    bound: float,
) -> Check:
    """The check of the cohort that fares worst: one that fails, else one that cannot be said."""
    found = [check(each) for each in judged]
    if not found:
        why = "No request of these segments was seen."
        return Check(name=name, value=None, operator=operator, bound=bound, n=0, passed=None, why=why)
    order = {False: 0, None: 1, True: 2}
    sign = 1.0 if operator == ">=" else -1.0

    def badness(each: Check) -> tuple[int, bool, float]:
        return order[each.passed], each.unsettled, sign * (each.value or 0.0)

    worst = min(found, key=badness)
    bad = [each for each in found if each.passed is worst.passed]
    more = ""
    if worst.passed is not True and len(bad) > 1:
        what = "So it fails" if worst.passed is False else "Nor can it be said"
        more = f" {what} in {len(bad)} of {len(found)} cohorts: {_listed([each.of or '' for each in bad])}."
    return replace(worst, name=name, why=worst.why + more)


def _agreement(look: Look, cohort: _Cohort, bound: float) -> Check:
    group = cohort.group
    rate = group.agreement
    counts = (rate.part, rate.whole) if rate else _counted(group)
    return look.rate(
        "segments_agreement_ok",
        counts,
        ">=",
        bound,
        effect=cohort.watch.of_disagreement if cohort.watch else look.alike,
        sentence=f"In {in_sentence(cohort.name)} the two agree on {{}} of the compared requests; "
        "at least {} is asked for.",
        none=f"In {cohort.name} no request was compared, so agreement is unknown.",
        of=cohort.name,
    )


def _counted(group: SegmentGroup) -> tuple[float, float]:
    return (
        group.agreement_rate or 0.0
    ) * group.compared, group.compared if group.agreement_rate is not None else 0


def _errors(look: Look, cohort: _Cohort, bound: float) -> Check:
    return look.rate(
        "segments_errors_ok",
        (cohort.group.errored, cohort.group.requests),
        "<=",
        bound,
        effect=cohort.watch.of_errors if cohort.watch else look.alike,
        sentence=f"In {in_sentence(cohort.name)} the shadow failed on {{}} of the requests; "
        "at most {} is asked for.",
        none=f"In {cohort.name} no request was seen.",
        of=cohort.name,
    )


def _correctness(look: Look, cohort: _Cohort, loss: float) -> Check:
    primary, shadow = cohort.group.primary_correct, cohort.group.shadow_correct
    value = None
    if primary and shadow and primary.value is not None and shadow.value is not None:
        value = shadow.value - primary.value
    return look.conclude(
        "segments_correctness_ok",
        value,
        ">=",
        -loss,
        n=shadow.whole if shadow else 0,
        sentence=f"In {in_sentence(cohort.name)} the shadow is right {{}} against the primary; "
        "at least {} is asked for.",
        write=points,
        doubts=() if value is not None else (f"In {cohort.name} no outcome is known.",),
        at=_difference_at(look, cohort, primary, shadow) if primary and shadow else None,
        of=cohort.name,
    )


def _difference_at(look: Look, cohort: _Cohort, primary: Rate, shadow: Rate) -> At | None:
    """As of two rates apart: of a cohort it is not known how often just one of the two is right."""
    level = look.level
    if level is None or not primary.whole or not shadow.whole:
        return None
    return lambda scale: difference_interval(
        (primary.part * scale, primary.whole * scale),
        (shadow.part * scale, shadow.whole * scale),
        (0.5, 0.5),
        level,
        cohort.watch.alike if cohort.watch else look.alike,
    )


def _named(cohorts: Sequence[_Cohort]) -> str:
    return _listed([each.name for each in cohorts])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
