"""Columns cut into bins, and the terms that can be made of these: one bin, or several in a row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.rules._columns import Categories, Column, Flags, Numbers

Ints = NDArray[np.int64]

_CUTS = 16  # of the sought, and as many of the others
_SAMPLE = 5_000
_PEEK = 2_000
_VALUES = 60
_FEWEST = 5


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The candidates of one column that are equally simple: those from `start` to `stop`."""

    column: int
    start: int
    stop: int
    is_range: bool
    is_number: bool


@dataclass(frozen=True, slots=True, eq=False)
class Binned:
    """All columns in bins, numbered through, and all terms: each holds for the bins from `low` to `high`."""

    codes: NDArray[np.int32]  # a row for each request, a column for each column
    bins: int
    column: Ints  # of each candidate
    low: Ints
    high: Ints
    is_range: NDArray[np.bool_]
    groups: tuple[Group, ...]
    first: tuple[int, ...]  # each column's first bin
    edges: tuple[NDArray[np.float64] | None, ...]  # of columns of numbers: bin i ends with edge i
    shown: tuple[tuple[int, ...], ...]  # of columns of categories: which value each bin is
    tried_simple: int
    tried_ranges: int


def binned(columns: Sequence[Column], sought: NDArray[np.bool_]) -> Binned:
    """Cut every column, and list the terms."""
    codes = np.zeros((len(sought), len(columns)), np.int32)
    terms, groups, first, edges, shown = _Terms(), list[Group](), list[int](), [], []
    bins = tried = 0
    for place, column in enumerate(columns):
        first.append(bins)
        cuts, values, number = None, tuple[int, ...](), 1
        if isinstance(column, Numbers):
            cuts, number = _cut(column, sought), 1
            number = len(cuts) + 1
            codes[:, place] = bins + _bin_of(column.values, cuts)
            groups += terms.of_numbers(place, bins, number)
            tried += 2 * (number - 1)
        else:
            of, values, distinct = _kinds(column, sought)
            number = len(values)
            codes[:, place] = bins + of
            groups += terms.of_categories(place, bins, number)
            tried += distinct
        edges.append(cuts)
        shown.append(values)
        bins += number + 1  # the last one is in no term
    column_of, low, high, is_range = terms.arrays()
    return Binned(
        codes=codes,
        bins=bins,
        column=column_of,
        low=low,
        high=high,
        is_range=is_range,
        groups=tuple(groups),
        first=tuple(first),
        edges=tuple(edges),
        shown=tuple(shown),
        tried_simple=tried,
        tried_ranges=int(is_range.sum()),
    )


class _Terms:
    """The candidates as they are listed."""

    def __init__(self) -> None:
        self._parts: list[tuple[Ints, Ints, Ints, NDArray[np.bool_]]] = []
        self._count = 0

    def of_categories(self, column: int, first: int, number: int) -> list[Group]:
        each = np.arange(first, first + number)
        return self._add(column, each, each, is_range=False, is_number=False)

    def of_numbers(self, column: int, first: int, number: int) -> list[Group]:
        last, inner = first + number - 1, np.arange(first, first + number - 1)
        upto = (np.full(number - 1, first), inner)
        above = (inner + 1, np.full(number - 1, last))
        one_sided = self._add(
            column,
            np.concatenate((upto[0], above[0])),
            np.concatenate((upto[1], above[1])),
            is_range=False,
            is_number=True,
        )
        low, high = np.triu_indices(max(0, number - 2))
        return one_sided + self._add(column, first + 1 + low, first + 1 + high, is_range=True, is_number=True)

    def _add(self, column: int, low: Ints, high: Ints, *, is_range: bool, is_number: bool) -> list[Group]:
        if not len(low):
            return []
        self._parts.append((np.full(len(low), column), low, high, np.full(len(low), is_range)))
        self._count += len(low)
        return [Group(column, self._count - len(low), self._count, is_range, is_number)]

    def arrays(self) -> tuple[Ints, Ints, Ints, NDArray[np.bool_]]:
        if not self._parts:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, bool)
        column, low, high, is_range = zip(*self._parts, strict=True)
        return np.concatenate(column), np.concatenate(low), np.concatenate(high), np.concatenate(is_range)


def _kinds(
    column: Categories | Flags, sought: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], tuple[int, ...], int]:
    """Each request's bin, which value each bin is, and how many values there are.

    Of very many values those that are sought most often get a bin; all of them count as tried.
    """
    if isinstance(column, Flags):
        return np.where(column.values, 0, 1), (1,), 1
    codes = column.codes.astype(np.int64) + 1  # none is 0
    number = len(column.values) + 1
    hits = np.bincount(codes[sought], minlength=number)
    distinct = int(np.count_nonzero(np.bincount(codes, minlength=number)))
    if not column.is_none:
        hits[0] = 0
    likely = np.argsort(-hits, kind="stable")[:_VALUES]
    chosen = np.sort(likely[hits[likely] >= _FEWEST])
    bin_of = np.full(number, len(chosen))
    bin_of[chosen] = np.arange(len(chosen))
    return bin_of[codes], tuple((chosen - 1).tolist()), distinct


def _cut(column: Numbers, sought: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Where a column of numbers is cut: at each value where these are few, else at quantiles.

    Those of the sought ones as well, so that a rare range in which they crowd gets cuts of its own.
    """
    finite = np.isfinite(column.values)
    both = [_some(column.values[finite & each]) for each in (sought, ~sought)]
    most = 2 * _CUTS
    if all(len(np.unique(each[:_PEEK])) <= most for each in both):
        distinct = np.unique(column.values[~np.isnan(column.values)])
        if len(distinct) <= most:
            return distinct[:-1]
    levels = np.arange(1, _CUTS) / _CUTS
    cuts = [np.quantile(each, levels, method="lower") for each in both if len(each)]
    if np.isinf(column.values).any():  # infinities are in bins of their own
        cuts.append(np.array([-np.inf, column.values[finite].max(initial=-np.inf)]))
    return np.unique(np.concatenate(cuts)) if cuts else np.zeros(0)


def _some(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Some of very many values, always the same ones."""
    if len(values) <= _SAMPLE:
        return values
    places = np.random.default_rng(0).choice(len(values), _SAMPLE, replace=False, shuffle=True)
    return values[places]


def _bin_of(values: NDArray[np.float64], cuts: NDArray[np.float64]) -> NDArray[np.int64]:
    bins = np.searchsorted(cuts, values, side="left")
    bins[np.isnan(values)] = len(cuts) + 1
    return bins


def log_tried(simple: int, ranges: int, of_simple: int, of_ranges: int) -> float:
    """The logarithm of how many rules there are with so many simple terms and ranges."""
    return _log_choose(of_simple, simple) + _log_choose(of_ranges, ranges)


def _log_choose(n: int, k: int) -> float:
    return math.log(max(1, math.comb(max(n, k), k)))
