"""Groups that fare worse than the whole lets one think: surely (corrected), and by an amount that matters.

All groups looked at are tested together, and Holm's correction keeps the chance of even one false alarm
below 5 %. That alone would still name groups whose loss is certain and tiny, so a loss must be *material*,
too: two points or more, or twice as bad and at least a tenth of a point (what the gate's default allows the
shadow to fail). A group is left out whose loss is that of another one inside it, or beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass

from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._cohorts import Cohorts, Tally
from shadowlane.aggregator.report._groups import Group, in_both
from shadowlane.aggregator.report.figures import SMALL_GROUP, Standout, Term
from shadowlane.aggregator.statistics import holm, mcnemar_p, two_proportion_p
from shadowlane.visible import visible

#: The chance of one false alarm among all groups looked at.
ALPHA = 0.05
#: A rate that is worse by this much matters...
POINTS = 0.02
#: ... and one that is so many times as bad, if it is worse by at least that much.
TIMES, LEAST = 2.0, 0.001

# So far from what is beside it lies, by chance, not one of 15,000 groups.
_DEVIATIONS = 4.0

FIGURES = ("agreement", "errors", "correctness")

# Only the worst are compared with each other to find whose loss it is.
_NAMED = 20
_LONGEST = 60


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


def is_material(bad: float, elsewhere: float) -> bool:
    """Whether a rate of what is bad is so much higher that it matters."""
    more = bad - elsewhere
    return more >= POINTS or (more >= LEAST and bad >= TIMES * elsewhere)


def standouts(findings: Iterable[Finding], cohorts: Cohorts, whole: Tally) -> tuple[Standout, ...]:
    """The groups to name: first where the sign of the difference in correctness turns, then by who is hit."""
    found: list[Standout] = []
    for place, figure in enumerate(FIGURES):
        sure = [
            (each.group, p)
            for each in findings
            if (p := each.p_values[place]) is not None and p < ALPHA and _is_worse(each.group, figure)
        ]
        sure.sort(key=lambda each: (-_loss(each[0], figure), -each[0].tally.requests, _place(each[0])))
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


def _bad(tally: Tally, figure: str) -> tuple[int, int]:
    """So many of so many that fare badly: disagree, or fail."""
    if figure == "errors":
        return tally.requests - tally.compared, tally.requests
    decided = tally.compared - tally.ignored
    return decided - tally.agreements, decided


def _rate(tally: Tally, figure: str) -> float:
    part, whole = _bad(tally, figure)
    return part / whole if whole else 0.0


def _difference(tally: Tally) -> float:
    """How much more often the shadow is right than the primary."""
    return (tally.only_shadow - tally.only_primary) / tally.judged if tally.judged else 0.0


def _enough(tally: Tally, figure: str) -> bool:
    return (tally.judged if figure == "correctness" else _bad(tally, figure)[1]) >= SMALL_GROUP


def _p_value(group: Group, figure: str) -> float | None:
    """None where there are too few requests in the group, or none beside it."""
    if not _enough(group.tally, figure):
        return None
    if figure == "correctness":
        return mcnemar_p(group.tally.only_primary, group.tally.only_shadow)
    part, whole = _bad(group.tally, figure)
    tested = []
    for around in group.around:
        all_parts, all_whole = _bad(around, figure)
        if all_whole == whole:
            return None
        tested.append(two_proportion_p(part, whole, all_parts - part, all_whole - whole))
    return max(tested)


def _p_if_worse(group: Group, figure: str) -> float | None:
    if _enough(group.tally, figure) and not _is_worse(group, figure):
        return 1.0
    return _p_value(group, figure)


def _is_worse(group: Group, figure: str) -> bool:
    """Whether it is worse, by an amount that matters, than all that it is held against."""
    if not _enough(group.tally, figure):
        return False
    return all(_is_worse_than(group.tally, around, figure) for around in group.around)


def _is_worse_than(tally: Tally, around: Tally, figure: str) -> bool:
    """Of correctness: worse than the primary on the same requests, and more so than on those around."""
    if figure != "correctness":
        return is_material(_rate(tally, figure), _rate(around, figure))
    if not tally.judged:
        return False
    wrong = [1 - right / tally.judged for right in (tally.shadow_right, tally.primary_right)]
    return is_material(*wrong) and _loses_more(tally, around)


def _loses_more(tally: Tally, around: Tally) -> bool:
    """Whether the shadow's loss is not just that of all, to which chance added some: McNemar cannot tell."""
    if _difference(around) >= 0:
        return True
    rest = _without(around, tally)
    more = _difference(rest) - _difference(tally)
    return more >= POINTS and more >= _DEVIATIONS * math.sqrt(_variance(rest) + _variance(tally))


def _variance(tally: Tally) -> float:
    """Of the difference in correctness."""
    if not tally.judged:
        return 0.0
    return ((tally.only_shadow + tally.only_primary) / tally.judged - _difference(tally) ** 2) / tally.judged


def _without(tally: Tally, part: Tally) -> Tally:
    return Tally(*(all_ - some for all_, some in zip(astuple(tally), astuple(part), strict=True)))


def _loss(group: Group, figure: str) -> float:
    if figure == "correctness":
        return -_difference(group.tally)
    return _rate(group.tally, figure)


def _is_explained(group: Group, other: Group, figure: str, cohorts: Cohorts) -> bool:
    """Whether the group, without the requests that are in the other one too, is not worse any more."""
    shared = in_both(cohorts, group.terms, other.terms)
    if shared is None:
        return False
    left = _without(group.tally, shared)
    return not _enough(left, figure) or not _is_worse_than(left, group.around[0], figure)


def _standout(group: Group, figure: str, whole: Tally, p_value: float) -> Standout:
    values: tuple[float, float] = (
        (_difference(group.tally), _difference(whole))
        if figure == "correctness"
        else (_rate(group.tally, figure), _rate(whole, figure))
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
        sentence=f"{name}: {_SENTENCES[figure](group.tally, whole)}.",
        terms=group.terms,
        name=name,
    )


def name_of(terms: Sequence[Term]) -> str:
    """What a group is called: country=BR and device=ios."""
    return " and ".join(map(_name, terms))


def _name(term: Term) -> str:
    segment = visible(term.segment, _LONGEST)
    if term.value is None:
        return f"the rarer values of {segment}" if term.is_other else f"no {segment}"
    return f"{segment}={visible(term.value, _LONGEST) or '(empty)'}"


def _of_agreement(tally: Tally, whole: Tally) -> str:
    decided = tally.compared - tally.ignored
    return (
        f"the two agree on {_values.percent(1 - _rate(tally, 'agreement'), 1)} of "
        f"{_values.many(decided, 'request')} ({_share(tally, whole)}), "
        f"against {_values.percent(1 - _rate(whole, 'agreement'), 1)} overall"
    )


def _of_errors(tally: Tally, whole: Tally) -> str:
    return (
        f"the shadow fails on {_values.percent(_rate(tally, 'errors'), 1)} of "
        f"{_values.many(tally.requests, 'request')} ({_share(tally, whole)}), "
        f"against {_values.percent(_rate(whole, 'errors'), 1)} overall"
    )


def _of_correctness(tally: Tally, whole: Tally) -> str:
    turns = _difference(whole) >= 0
    overall = "the shadow is the better one" if _difference(whole) > 0 else "the two are equally good"
    return (
        f"on {_values.many(tally.judged, 'labelled request')} (the group is {_share(tally, whole)}) the "
        f"shadow is right on {_values.percent(tally.shadow_right / tally.judged, 1)}, the primary on "
        f"{_values.percent(tally.primary_right / tally.judged, 1)}, "
        + (f"although overall {overall}: " if turns else "against overall ")
        + f"{_values.percent(whole.shadow_right / whole.judged, 1)} and "
        f"{_values.percent(whole.primary_right / whole.judged, 1)}"
    )


def _share(tally: Tally, whole: Tally) -> str:
    return f"{_values.percent(tally.requests / whole.requests, 1)} of all"


_SENTENCES: dict[str, Callable[[Tally, Tally], str]] = {
    "agreement": _of_agreement,
    "errors": _of_errors,
    "correctness": _of_correctness,
}
