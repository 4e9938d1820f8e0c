"""What it means to fare badly, and worse by an amount that matters: of agreement, errors, correctness."""

from __future__ import annotations

import math
from dataclasses import astuple

from shadowlane.aggregator.report._cohorts import Tally
from shadowlane.aggregator.report._groups import Group
from shadowlane.aggregator.report.figures import SMALL_GROUP

FIGURES = ("agreement", "errors", "correctness")

#: A rate that is worse by this much matters...
POINTS = 0.02
#: ... and one that is so many times as bad, if it is worse by at least that much.
TIMES, LEAST = 2.0, 0.001

# So far from what is beside it lies, by chance, not one of 15,000 groups.
_DEVIATIONS = 4.0


def is_material(share: float, elsewhere: float) -> bool:
    """Whether a rate of what is bad is so much higher that it matters."""
    more = share - elsewhere
    return more >= POINTS or (more >= LEAST and share >= TIMES * elsewhere)


def bad(tally: Tally, figure: str) -> tuple[int, int]:
    """So many of so many that fare badly: disagree, or fail."""
    if figure == "errors":
        return tally.requests - tally.compared, tally.requests
    decided = tally.compared - tally.ignored
    return decided - tally.agreements, decided


def bad_rate(tally: Tally, figure: str) -> float:
    """Their share; 0 of nothing."""
    part, whole = bad(tally, figure)
    return part / whole if whole else 0.0


def difference(tally: Tally) -> float:
    """How much more often the shadow is right than the primary."""
    return (tally.only_shadow - tally.only_primary) / tally.judged if tally.judged else 0.0


def enough(tally: Tally, figure: str) -> bool:
    """Whether there are requests enough to say anything."""
    return (tally.judged if figure == "correctness" else bad(tally, figure)[1]) >= SMALL_GROUP


def is_worse(group: Group, figure: str) -> bool:
    """Whether it is worse, by an amount that matters, than all that it is held against."""
    if not enough(group.tally, figure):
        return False
    return all(is_worse_than(group.tally, around, figure) for around in group.around)


def is_worse_than(tally: Tally, around: Tally, figure: str) -> bool:
    """Of correctness: worse than the primary on the same requests, and more so than on those around."""
    if figure != "correctness":
        return is_material(bad_rate(tally, figure), bad_rate(around, figure))
    if not tally.judged:
        return False
    wrong = [1 - right / tally.judged for right in (tally.shadow_right, tally.primary_right)]
    return is_material(*wrong) and _loses_more(tally, around)


def _loses_more(tally: Tally, around: Tally) -> bool:
    """Whether the shadow's loss is not just that of all, to which chance added some: McNemar cannot tell."""
    if difference(around) >= 0:
        return True
    rest = without(around, tally)
    more = difference(rest) - difference(tally)
    return more >= POINTS and more >= _DEVIATIONS * math.sqrt(_variance(rest) + _variance(tally))


def _variance(tally: Tally) -> float:
    """Of the difference in correctness."""
    if not tally.judged:
        return 0.0
    apart = (tally.only_shadow + tally.only_primary) / tally.judged
    return max(0.0, apart - difference(tally) ** 2) / tally.judged


def without(tally: Tally, part: Tally) -> Tally:
    """What is left without a part of it."""
    return Tally(*(all_ - some for all_, some in zip(astuple(tally), astuple(part), strict=True)))


def loss(group: Group, figure: str) -> float:
    """How badly it fares, to put groups in order."""
    if figure == "correctness":
        return -difference(group.tally)
    return bad_rate(group.tally, figure)
