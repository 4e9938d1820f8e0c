"""Rules for what is sought: search, sharpen, test, set the explained aside, and again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.rules._bins import Binned, Ints, binned, log_tried
from shadowlane.aggregator.rules._columns import Categories, Column, Flags, Numbers
from shadowlane.aggregator.rules._likelihood import Explained, log_tail
from shadowlane.aggregator.rules._search import KEPT, Bounds, Cut, Draft, Search
from shadowlane.aggregator.rules._terms import NONE, Term, holds_for
from shadowlane.aggregator.rules._thresholds import Values, sharpened

#: The chance to find a rule where there is none, once corrected for all that were tried.
_CHANCE = 0.01
# Kinds of rules by terms and ranges, three of them at most: each kind gets its share of that chance.
_KINDS = 9
_RULES = 5
_FEWEST = 5
_SHARE = 0.01
_ODDS = 1.5
_MARGIN = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class FoundRule:
    """A rule, for how many of the rows it holds, and how many of these are sought.

    The p-value is of the rows that the rules before it left, corrected for all rules that were tried.
    """

    terms: tuple[Term, ...]
    requests: int
    hits: int
    p_value: float
    holds: NDArray[np.bool_]


def find_rules(
    columns: Sequence[Column], sought: NDArray[np.bool_], *, most: int = _RULES
) -> tuple[FoundRule, ...]:
    """The few short rules that explain most of what is sought, the one that explains most first.

    The rows may be a sample, so long as the sought and the others are each drawn without regard to the
    columns: which of two rules is better does not depend on how many of each were drawn.
    """
    columns = [column for column in columns if _varies(column)]
    total = int(sought.sum())
    if not columns or total < _FEWEST or total == len(sought):
        return ()
    bins, rows, found = binned(columns, sought), np.arange(len(sought)), list[FoundRule]()
    margin = math.log(bins.tried_simple + bins.tried_ranges + 1) + _MARGIN
    bounds = Bounds(max(_FEWEST, math.ceil(_SHARE * total)), _ODDS, margin)
    while len(found) < most and int(sought[rows].sum()) >= bounds.fewest:
        rule = _next(columns, bins, sought, rows, bounds)
        if rule is None:
            break
        found.append(rule)
        rows = rows[~rule.holds[rows]]
    return tuple(found)


def _next(
    columns: Sequence[Column], bins: Binned, sought: NDArray[np.bool_], rows: Ints, bounds: Bounds
) -> FoundRule | None:
    draft = Search(bins, sought, rows, bounds).best()
    if draft is None:
        return None
    explained = Explained(int(sought[rows].sum()), len(rows))
    terms = _sharp(columns, bins, sought, rows, draft, explained)
    if not terms:
        return None
    terms = _needed(terms, columns, sought, rows, explained, bounds.margin)
    holds = holds_for(terms, columns)
    p_value = _corrected(terms, bins, sought[rows], holds[rows])
    if p_value > _CHANCE or int((holds & sought)[rows].sum()) < bounds.fewest:
        return None
    return FoundRule(terms, int(holds.sum()), int((holds & sought).sum()), p_value, holds)


def _sharp(
    columns: Sequence[Column],
    bins: Binned,
    sought: NDArray[np.bool_],
    rows: Ints,
    draft: Draft,
    explained: Explained,
) -> tuple[Term, ...]:
    """The rule with its thresholds found exactly, each given the others; in the order of the columns."""
    cuts = sorted(draft.cuts, key=lambda cut: cut.column)
    held = [_in_bins(bins, rows, cut) for cut in cuts]
    terms: list[Term | None] = [None] * len(cuts)
    for _ in range(2):
        for place, cut in enumerate(cuts):
            column = columns[cut.column]
            if not isinstance(column, Numbers):
                terms[place] = _plain(column, bins, cut)
                continue
            others = np.ones(len(rows), bool)
            for each, holds in enumerate(held):
                if each != place:
                    others &= holds
            values = Values(column.values[rows[others]], sought[rows[others]], explained)
            low, high = _bounds(bins, cut)
            term = sharpened((column.name, column.of), low, high, values)
            terms[place] = term
            held[place] = np.ones(len(rows), bool) if term is None else holds_for([term], [column])[rows]
    return tuple(term for term in terms if term is not None)


def _needed(
    terms: tuple[Term, ...],
    columns: Sequence[Column],
    sought: NDArray[np.bool_],
    rows: Ints,
    explained: Explained,
    margin: float,
) -> tuple[Term, ...]:
    """The terms without those that explain nothing any more, now that the thresholds are exact."""

    def gain(of: Sequence[Term]) -> float:
        holds = holds_for(of, columns)[rows]
        return float(explained.by((holds & sought[rows]).sum(), holds.sum()))

    while len(terms) > 1:
        fewer = [terms[:place] + terms[place + 1 :] for place in range(len(terms))]
        best = max(fewer, key=gain)
        if gain(best) < gain(terms) * KEPT - margin:
            break
        terms = best
    return terms


def _in_bins(bins: Binned, rows: Ints, cut: Cut) -> NDArray[np.bool_]:
    codes = bins.codes[rows, cut.column]
    return np.asarray((codes >= cut.low) & (codes <= cut.high))


def _bounds(bins: Binned, cut: Cut) -> tuple[float | None, float | None]:
    """Between which values a cut lies, both included; None: it is open there."""
    edges, first = bins.edges[cut.column], bins.first[cut.column]
    assert edges is not None  # noqa: S101 - a column of numbers
    low, high = cut.low - first, cut.high - first
    return (
        None if low == 0 else float(np.nextafter(edges[low - 1], np.inf)),
        None if high == len(edges) else float(edges[high]),
    )


def _plain(column: Categories | Flags, bins: Binned, cut: Cut) -> Term:
    if isinstance(column, Flags):
        return Term(column.name, "is", column.says, column.of)
    value = bins.shown[cut.column][cut.low - bins.first[cut.column]]
    if value < 0:
        return Term(column.name, "is", NONE, column.of)
    return Term(column.name, "=", column.values[value], column.of)


def _corrected(
    terms: Sequence[Term], bins: Binned, sought: NDArray[np.bool_], holds: NDArray[np.bool_]
) -> float:
    """How likely chance finds as good a rule of this kind among all there are."""
    by_chance = log_tail(int((holds & sought).sum()), int(holds.sum()), int(sought.sum()), len(sought))
    ranges = sum(isinstance(term.value, tuple) for term in terms)
    tried = log_tried(len(terms) - ranges, ranges, bins.tried_simple, bins.tried_ranges)
    return math.exp(min(0.0, by_chance + tried + math.log(_KINDS)))


def _varies(column: Column) -> bool:
    values = column.codes if isinstance(column, Categories) else column.values
    if not len(values):
        return False
    if isinstance(column, Numbers):
        known = values[~np.isnan(values)]
        return len(known) > 0 and bool(known.min() < known.max() or len(known) < len(values))
    return bool((values != values[0]).any())
