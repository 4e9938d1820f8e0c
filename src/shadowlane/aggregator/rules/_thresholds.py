"""A rule's thresholds: found exactly among all values, then rounded as far as that costs next to nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.rules._likelihood import Explained
from shadowlane.aggregator.rules._terms import Term, roundest

Floats = NDArray[np.float64]

# Thresholds within four units of log likelihood of the best one are as good: where a rate steps, the best
# one lies off the step by a value or two, and the step itself within this almost always.
_AS_GOOD = 4.0


class Values:
    """The numbers of the requests that a rule's other terms hold for, in order, and the sought among them."""

    def __init__(self, values: Floats, sought: NDArray[np.bool_], explained: Explained) -> None:
        known = ~np.isnan(values)
        order = np.argsort(values[known], kind="stable")
        self.values = values[known][order]
        self._hits = np.concatenate(([0], np.cumsum(sought[known][order])))
        self._explained = explained
        #: Where a threshold can lie: before these places the values change.
        self._places = np.flatnonzero(self.values[1:] > self.values[:-1]) + 1

    def cut(self, low: float | None, high: float | None) -> tuple[int, int]:
        """The places from and up to which the values lie between two bounds, both of them included."""
        first = 0 if low is None else int(np.searchsorted(self.values, low, side="left"))
        last = len(self.values) if high is None else int(np.searchsorted(self.values, high, side="right"))
        return first, last

    def moved_low(self, last: int) -> tuple[int, float, float]:
        """The best place to begin, where it ends there; and between which bounds the threshold can lie."""
        places = self._places[self._places < last]
        gains = self._gain(places, np.full(len(places), last))
        best, first, final = _run(gains)
        return int(places[best]), float(self.values[places[first] - 1]), float(self.values[places[final]])

    def moved_high(self, first: int) -> tuple[int, float, float]:
        """The best place to end, where it begins there; and the bounds."""
        places = self._places[self._places > first]
        gains = self._gain(np.full(len(places), first), places)
        best, left, right = _run(gains)
        return int(places[best]), float(self.values[places[left] - 1]), float(self.values[places[right]])

    def has_place(self, first: int, last: int) -> tuple[bool, bool]:
        """Whether a beginning before `last` and an end after `first` are to be had at all."""
        return bool((self._places < last).any()), bool((self._places > first).any())

    def _gain(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> Floats:
        return self._explained.by(self._hits[last] - self._hits[first], last - first)


def _run(gains: Floats) -> tuple[int, int, int]:
    """The best place, and the first and last of those around it that are as good."""
    best = int(np.argmax(gains))
    worse = np.flatnonzero(gains < gains[best] - _AS_GOOD)
    after = int(np.searchsorted(worse, best))
    first = int(worse[after - 1]) + 1 if after else 0
    last = int(worse[after]) - 1 if after < len(worse) else len(gains) - 1
    return best, first, last


def sharpened(name: tuple[str, str], low: float | None, high: float | None, values: Values) -> Term | None:
    """The term over these numbers that explains most: above a bound, below one or between two.

    Bounds come in as the bins have them (both included, None: open). None comes out where nothing is left
    to tell apart.
    """
    first, last = values.cut(low, high)
    lower = upper = None
    for _ in range(2):  # each bound depends on the other
        can_begin, can_end = values.has_place(first, last)
        if low is not None and can_begin:
            first, *lower = values.moved_low(last)
        if high is not None and can_end:
            last, *upper = values.moved_high(first)
    return _term(name, values.values, (first, lower), (last, upper))


def _term(
    name: tuple[str, str],
    values: Floats,
    begin: tuple[int, Sequence[float] | None],
    end: tuple[int, Sequence[float] | None],
) -> Term | None:
    (first, lower), (last, upper) = begin, end
    field, of = name
    if first >= last or (lower is None and upper is None):
        return None
    if lower is not None and upper is not None:
        least = roundest(np.nextafter(lower[0], np.inf), lower[1], values[first])
        most = roundest(upper[0], np.nextafter(upper[1], -np.inf), values[last - 1])
        least, most = (least, most) if least <= most else (float(values[first]), float(values[last - 1]))
        return Term(field, "=", least, of) if least == most else Term(field, "between", (least, most), of)
    if lower is not None:
        near = (values[first - 1] + values[first]) / 2
        return Term(field, ">", roundest(lower[0], np.nextafter(lower[1], -np.inf), near), of)
    assert upper is not None  # noqa: S101 - as above
    near = (values[last - 1] + values[last]) / 2
    return Term(field, "<", roundest(np.nextafter(upper[0], np.inf), upper[1], near), of)
