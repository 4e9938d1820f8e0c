"""Shifts of the mix: what changes on the whole from the earlier half of the time to the later, not within.

More requests of a group that always fared worse make the whole look worse, though nothing got worse; and a
mix that becomes easier can hide that every group got worse (Simpson's paradox). So the change on the whole
is held against the change within the values of each segment, weighted as if their mix had stayed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._cohorts import PLACES, Block, Cohorts, Tally
from shadowlane.aggregator.report._groups import summed, term
from shadowlane.aggregator.report._losses import is_material
from shadowlane.aggregator.report._standouts import ALPHA
from shadowlane.aggregator.report._told import name_of
from shadowlane.aggregator.report.figures import SMALL_GROUP, Standout
from shadowlane.aggregator.statistics import holm, two_proportion_p
from shadowlane.visible import visible

# The values that are in both halves must make up so much of the requests, or nothing can be said.
_COVERED = 0.8
# A change within the groups of less than this part of the whole's is another one.
_SAME = 0.5

Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Shift:
    """How one rate of what is bad changed, by one segment; each pair is the earlier and the later half."""

    figure: str
    segment: str
    rates: tuple[float, float]
    within: float
    p_value: float
    grown: str  # the value whose share grew the most
    shares: tuple[float, float]

    @property
    def change(self) -> float:
        return self.rates[1] - self.rates[0]

    @property
    def is_material(self) -> bool:
        large, small = max(abs(self.change), abs(self.within)), min(abs(self.change), abs(self.within))
        is_another = self.change * self.within < 0 or small <= _SAME * large
        return is_another and is_material(min(self.rates) + large, min(self.rates))


def mix_shifts(cohorts: Cohorts, whole: Tally) -> tuple[Standout, ...]:
    """Of agreement and of errors, the segment whose mix changes the picture the most, where one does."""
    shifts = [
        shift
        for block in cohorts.blocks
        for column in range(len(block.names))
        for shift in _shifts(block, column)
    ]
    adjusted = holm([shift.p_value for shift in shifts]).tolist()
    found = [(shift, p) for shift, p in zip(shifts, adjusted, strict=True) if p < ALPHA and shift.is_material]
    found.sort(key=lambda each: (-abs(each[0].change - each[0].within), each[0].segment))
    worst = {shift.figure: (shift, p) for shift, p in reversed(found)}
    return tuple(_standout(*worst[figure], whole) for figure in sorted(worst))


def _shifts(block: Block, column: int) -> Iterator[_Shift]:
    places = block.places[:, column]
    earlier, later = (
        summed(places[half], block.counts[half], PLACES) for half in (~block.is_later, block.is_later)
    )
    shares = [half[:, 0] / max(1.0, half[:, 0].sum()) for half in (earlier, later)]
    grown = int(np.argmax(shares[1] - shares[0]))
    for figure, bad in (("agreement", _disagreements), ("errors", _errors)):
        parts, wholes = zip(bad(earlier), bad(later), strict=True)
        found = _change(parts, wholes)
        if found:
            yield _Shift(
                figure,
                block.names[column],
                *found,
                name_of((term(block, column, grown),)),
                (float(shares[0][grown]), float(shares[1][grown])),
            )


def _disagreements(counts: Counts) -> tuple[Counts, Counts]:
    decided = counts[:, 1] - counts[:, 2]
    return decided - counts[:, 3], decided


def _errors(counts: Counts) -> tuple[Counts, Counts]:
    return counts[:, 0] - counts[:, 1], counts[:, 0]


def _change(
    parts: tuple[Counts, Counts], wholes: tuple[Counts, Counts]
) -> tuple[tuple[float, float], float, float] | None:
    """The rates of both halves, the change within the groups, and the p-value of the larger change."""
    is_in_both = (wholes[0] >= SMALL_GROUP) & (wholes[1] >= SMALL_GROUP)
    if any(whole[is_in_both].sum() < max(1.0, _COVERED * whole.sum()) for whole in wholes):
        return None
    part, whole = ([each[is_in_both] for each in both] for both in (parts, wholes))
    weights = (whole[0] + whole[1]) / (whole[0] + whole[1]).sum()
    within = float(np.sum(weights * (part[1] / whole[1] - part[0] / whole[0])))
    # With one of each added, the variance of a rate that is 0 or 1 is not 0.
    smooth = [(p + 1) / (n + 2) for p, n in zip(part, whole, strict=True)]
    variance = sum(np.sum(weights**2 * p * (1 - p) / n) for p, n in zip(smooth, whole, strict=True))
    totals = [(int(p.sum()), int(n.sum())) for p, n in zip(parts, wholes, strict=True)]
    rates = (totals[0][0] / totals[0][1], totals[1][0] / totals[1][1])
    if abs(within) > abs(rates[1] - rates[0]):
        return rates, within, math.erfc(abs(within) / math.sqrt(2 * float(variance)))
    return rates, within, two_proportion_p(*totals[0], *totals[1])


def _standout(shift: _Shift, p_value: float, whole: Tally) -> Standout:
    sign = -1 if shift.figure == "agreement" else 1
    segment = visible(shift.segment, 60)
    return Standout(
        segment=shift.segment,
        value=None,
        figure="mix",
        group=sign * shift.within,
        whole=sign * shift.change,
        requests=whole.requests,
        share=1.0,
        p_value=p_value,
        sentence=_sentence(shift, sign, segment),
        name=f"the mix of {segment}",
    )


def _sentence(shift: _Shift, sign: int, segment: str) -> str:
    rates = [1 - rate if sign < 0 else rate for rate in shift.rates]
    what = "agreement" if sign < 0 else "the rate of errors"
    points = f"{sign * shift.within * 100:.1f}"
    within = "not within its values" if float(points) == 0 else f"within its values by {points} points"
    return (
        f"the mix of {segment} changed: from the earlier half of the time to the later, {what} went from "
        f"{_values.percent(rates[0], 1)} to {_values.percent(rates[1], 1)}, but {within}; "
        f"{shift.grown} went from {_values.percent(shift.shares[0], 1)} to "
        f"{_values.percent(shift.shares[1], 1)} of the requests."
    )
