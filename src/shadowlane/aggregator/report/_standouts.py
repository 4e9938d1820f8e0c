"""Groups that fare worse than the whole lets one think: surely (corrected), and by an amount that matters.

All groups looked at are tested together, and Holm's correction keeps the chance of even one false alarm
below 5 %. That alone would still name groups whose loss is certain and tiny, so a loss must be *material*,
too: two points or more, or twice as bad and at least a tenth of a point (what the gate's default allows the
shadow to fail). A group is left out whose loss is that of another one inside it, or beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shadowlane.aggregator.report._cohorts import Cohorts, Tally
from shadowlane.aggregator.report._groups import Group, in_both
from shadowlane.aggregator.report._losses import (
    FIGURES,
    bad,
    bad_rate,
    difference,
    enough,
    is_worse,
    is_worse_than,
    loss,
    without,
)
from shadowlane.aggregator.report._told import name_of, sentence
from shadowlane.aggregator.report.figures import Standout
from shadowlane.aggregator.statistics import holm, mcnemar_p, two_proportion_p

#: The chance of one false alarm among all groups looked at.
ALPHA = 0.05
# Only the worst are compared with each other to find whose loss it is.
_NAMED = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """A group, with the p-values of what was tested, in the order of FIGURES."""

    group: Group
    p_values: tuple[float | None, ...]


def judge(singles: Sequence[Group], crossings: Sequence[Group]) -> tuple[Finding, ...]:
    """Test each group against the rest, and correct for all of them together; the singles come first.

    A crossing is worse than what it is held against if it is worse than each of these: its p-value is the
    largest. One that does not look worse by an amount that matters needs no test, and yet it was looked at.
    """
    tested = [(group, [_p_value(group, figure) for figure in FIGURES]) for group in singles]
    tested += [(group, [_p_if_worse(group, figure) for figure in FIGURES]) for group in crossings]
    adjusted = iter(holm([p for _, each in tested for p in each if p is not None]).tolist())
    return tuple(
        Finding(group, tuple(None if p is None else next(adjusted) for p in each)) for group, each in tested
    )


def standouts(findings: Iterable[Finding], cohorts: Cohorts, whole: Tally) -> tuple[Standout, ...]:
    """The groups to name: first where the sign of the difference in correctness turns, then by who is hit."""
    found: list[Standout] = []
    for place, figure in enumerate(FIGURES):
        sure = [
            (each.group, p)
            for each in findings
            if (p := each.p_values[place]) is not None and p < ALPHA and is_worse(each.group, figure)
        ]
        sure.sort(key=lambda each: (-loss(each[0], figure), -each[0].tally.requests, _place(each[0])))
        named: list[tuple[Group, float]] = []
        for group, p in sure:
            if not any(_is_explained(group, other, figure, cohorts) for other, _ in named[:_NAMED]):
                named.append((group, p))
        found += [_standout(group, figure, whole, p) for group, p in named]
    return tuple(sorted(found, key=_weight))


def _place(group: Group) -> tuple[tuple[str, str], ...]:
    return tuple((term.segment, term.value or "") for term in group.terms)


def _weight(each: Standout) -> tuple[bool, bool, float, str]:
    is_right = each.figure == "correctness"
    hit = abs(each.whole - each.group) * each.requests
    return not (is_right and each.whole >= 0), not is_right, -hit, each.name


def _p_value(group: Group, figure: str) -> float | None:
    """None where there are too few requests in the group, or none beside it."""
    if not enough(group.tally, figure):
        return None
    if figure == "correctness":
        return mcnemar_p(group.tally.only_primary, group.tally.only_shadow)
    part, whole = bad(group.tally, figure)
    tested = []
    for around in group.around:
        all_parts, all_whole = bad(around, figure)
        if all_whole == whole:
            return None
        tested.append(two_proportion_p(part, whole, all_parts - part, all_whole - whole))
    return max(tested)


def _p_if_worse(group: Group, figure: str) -> float | None:
    if enough(group.tally, figure) and not is_worse(group, figure):
        return 1.0
    return _p_value(group, figure)


def _is_explained(group: Group, other: Group, figure: str, cohorts: Cohorts) -> bool:
    """Whether the group, without the requests that are in the other one too, is not worse any more."""
    shared = in_both(cohorts, group.terms, other.terms)
    if shared is None:
        return False
    left = without(group.tally, shared)
    return not enough(left, figure) or not is_worse_than(left, group.around[0], figure)


def _standout(group: Group, figure: str, whole: Tally, p_value: float) -> Standout:
    values: tuple[float, float] = (
        (difference(group.tally), difference(whole))
        if figure == "correctness"
        else (bad_rate(group.tally, figure), bad_rate(whole, figure))
    )
    if figure == "agreement":
        values = (1 - values[0], 1 - values[1])
    name = name_of(group.terms)
    return Standout(
        segment=", ".join(term.segment for term in group.terms),
        value=None
        if any(term.value is None for term in group.terms)
        else ", ".join(term.value or "" for term in group.terms),
        figure=figure,
        group=values[0],
        whole=values[1],
        requests=group.tally.requests,
        share=group.tally.requests / whole.requests,
        p_value=p_value,
        sentence=sentence(figure, name, group.tally, whole),
        terms=group.terms,
        name=name,
    )
