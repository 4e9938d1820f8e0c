"""The beam search: for the rule that explains most, each term more at a price."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.rules._bins import Binned, Group, Ints
from shadowlane.aggregator.rules._likelihood import Explained

_BEAM = 6
_ALIKE = 2  # rules over the same columns in the beam
_TERMS = 3
_VALUES = 3  # values of one column that are followed

#: A term more, or a second bound, must explain so much more, and so many units of log likelihood besides.
KEPT = 0.97


@dataclass(frozen=True, slots=True)
class Cut:
    """A term in bins: a column's from `low` to `high`, numbered through all columns."""

    column: int
    low: int
    high: int
    is_range: bool


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A rule in bins, and how much it explains; `rows` are those it holds for."""

    cuts: tuple[Cut, ...]
    gain: float
    rows: Ints | None = None

    @property
    def complexity(self) -> int:
        """Terms, a range as two."""
        return sum(1 + cut.is_range for cut in self.cuts)

    @property
    def key(self) -> tuple[tuple[int, int, int], ...]:
        """The same for the same rule, however it was come to."""
        return tuple(sorted((cut.column, cut.low, cut.high) for cut in self.cuts))

    @property
    def columns(self) -> frozenset[int]:
        """What it looks at."""
        return frozenset(cut.column for cut in self.cuts)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a rule must have to be worth telling."""

    fewest: int  # hits
    odds: float
    margin: float  # what a term more must explain besides its share


class Search:
    """A search among some rows, those that earlier rules left."""

    def __init__(self, binned: Binned, sought: NDArray[np.bool_], rows: Ints, bounds: Bounds) -> None:
        self._binned, self._bounds = binned, bounds
        self._sought, self._rows = sought, rows
        self._explained = Explained(int(sought[rows].sum()), len(rows))

    def best(self) -> Draft | None:
        """The rule that explains most for its simplicity; of equals the simpler one.

        Terms are added for as long as that is of use: three together matter hardly ever where no two do.
        """
        beam, best = [Draft((), 0.0, self._rows)], None
        for depth in range(_TERMS):
            grown, before = list[Draft](), best
            for parent in beam:
                gains, eligible = self._gains(parent)
                for draft in self._eligible(parent, gains, eligible):
                    if best is None or self._order(draft) < self._order(best):
                        best = draft
                if depth < _TERMS - 1:
                    grown += self._children(parent, gains)
            if depth and best is before:
                break
            beam = [self._with_rows(draft) for draft in _unlike(grown)]
        return best

    def _order(self, draft: Draft) -> tuple[float, int, tuple[tuple[int, int, int], ...]]:
        more = draft.complexity - 1
        return self._bounds.margin * more - draft.gain * KEPT**more, more, draft.key

    def _gains(self, parent: Draft) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """What each candidate would explain as a further term, and whether that rule is worth telling."""
        binned, rows = self._binned, parent.rows
        assert rows is not None  # noqa: S101 - those in the beam have them
        ends = np.zeros((2, binned.bins + 1), np.int64)
        for end, chosen in zip(ends, (rows, rows[self._sought[rows]]), strict=True):
            counts = np.bincount(binned.codes[chosen].ravel(), minlength=binned.bins)
            np.cumsum(counts, out=end[1:])
        requests, hits = (end[binned.high + 1] - end[binned.low] for end in ends)
        gains = self._explained.by(hits, requests)
        for cut in parent.cuts:
            gains[binned.column == cut.column] = 0
        eligible = (hits >= self._bounds.fewest) & (gains > 0)
        eligible[eligible] = (
            self._explained.odds_ratio(hits[eligible], requests[eligible]) >= self._bounds.odds
        )
        return gains, eligible

    def _eligible(
        self, parent: Draft, gains: NDArray[np.float64], eligible: NDArray[np.bool_]
    ) -> Iterator[Draft]:
        for is_range in (False, True):
            chosen = np.flatnonzero(eligible & (self._binned.is_range == is_range))
            if len(chosen):
                yield self._grown(parent, int(chosen[np.argmax(gains[chosen])]), gains)

    def _children(self, parent: Draft, gains: NDArray[np.float64]) -> Iterator[Draft]:
        for group in self._binned.groups:
            for place in _top(gains, group):
                if gains[place] > 0:
                    yield self._grown(parent, place, gains)

    def _grown(self, parent: Draft, place: int, gains: NDArray[np.float64]) -> Draft:
        binned = self._binned
        cut = Cut(
            int(binned.column[place]),
            int(binned.low[place]),
            int(binned.high[place]),
            bool(binned.is_range[place]),
        )
        return Draft((*parent.cuts, cut), float(gains[place]), parent.rows)

    def _with_rows(self, draft: Draft) -> Draft:
        rows, cut = draft.rows, draft.cuts[-1]
        assert rows is not None  # noqa: S101 - the parent's
        codes = self._binned.codes[rows, cut.column]
        return Draft(draft.cuts, draft.gain, rows[(codes >= cut.low) & (codes <= cut.high)])


def _top(gains: NDArray[np.float64], group: Group) -> list[int]:
    """The best few of a column's candidates: a column of numbers has one best cut, another several values."""
    some = gains[group.start : group.stop]
    if group.is_number:
        return [group.start + int(np.argmax(some))]
    return [group.start + int(place) for place in np.argsort(-some, kind="stable")[:_VALUES]]


def _order(draft: Draft) -> tuple[float, tuple[tuple[int, int, int], ...]]:
    return -draft.gain, draft.key


def _unlike(drafts: list[Draft]) -> list[Draft]:
    """The best ones, no two the same and few over the same columns."""
    chosen, seen, alike = list[Draft](), set[object](), dict[frozenset[int], int]()
    for draft in sorted(drafts, key=_order):
        if draft.key in seen or alike.get(draft.columns, 0) >= _ALIKE:
            continue
        seen.add(draft.key)
        alike[draft.columns] = alike.get(draft.columns, 0) + 1
        chosen.append(draft)
        if len(chosen) == _BEAM:
            break
    return chosen
