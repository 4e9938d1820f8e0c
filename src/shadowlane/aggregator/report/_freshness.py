"""How long after the request the shadow was asked, and whether the hour of day or that lag matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shadowlane.aggregator.report._at_once import at_once
from shadowlane.aggregator.report._columns import LAG, NO_HOUR, Columns, Part, finite, is_finite
from shadowlane.aggregator.report._distributions import Binned
from shadowlane.aggregator.report._ranked import Counts, Places, Ranked, Shelves
from shadowlane.aggregator.report._rates import rate_of
from shadowlane.aggregator.report.figures import Freshness, Slice
from shadowlane.aggregator.statistics import BINS, jensen_shannon

# In milliseconds: each range begins at its edge. A clock that is ahead makes a lag below 0.
_EDGES = (1e3, 1e4, 6e4, 6e5, 3.6e6, 8.64e7)
_RANGES = (
    "under 1 s",
    "1 s to 10 s",
    "10 s to 1 min",
    "1 min to 10 min",
    "10 min to 1 h",
    "1 h to 1 day",
    "1 day and more",
    "unknown",
)
_UNKNOWN = len(_RANGES) - 1
_HOURS = NO_HOUR + 1
_CELLS = _HOURS * len(_RANGES)
_IGNORED = 2


@dataclass(frozen=True, slots=True)
class _Table:
    """Counts by hour of day and range of lag."""

    answers: Counts  # [hour, range, disagreement or agreement or ignored]
    primary: Counts  # [hour, range, bin of the score]
    shadow: Counts


def freshness(columns: Columns, binned: Binned | None) -> Freshness | None:
    """How fresh the shadow's view was, by hour of day and by lag; None where nothing was compared."""
    if not len(columns):
        return None
    lags = Ranked(finite(part.numbers(LAG)) for part in columns.parts)
    table = _table(columns, binned, lags)
    p50, p99, most = lags.quantiles([0.5, 0.99, 1.0]) or (None, None, None)
    return Freshness(
        lag_p50_ms=p50,
        lag_p99_ms=p99,
        lag_max_ms=most,
        by_hour=_slices([f"{hour:02}:00" for hour in range(NO_HOUR)], _along(table, 1)),
        by_lag=tuple(each for each in _slices(_RANGES, _along(table, 0)) if each.requests),
    )


def _table(columns: Columns, binned: Binned | None, lags: Ranked) -> _Table:
    shelves = Shelves(lags.buckets, _EDGES) if lags.count else None
    places: Sequence[tuple[Places, ...]] = binned.places if binned else [()] * len(columns.parts)
    rows = [*zip(columns.parts, places, strict=True)]
    halves = at_once(lambda half: _counted(half, lags, shelves), (rows[::2], rows[1::2]))
    answers, spread = (sum(counts) for counts in zip(*halves, strict=True))
    primary, shadow = spread.reshape(2, _HOURS, len(_RANGES), BINS + 1)
    return _Table(answers.reshape(_HOURS, len(_RANGES), 3), primary, shadow)


def _counted(
    rows: Sequence[tuple[Part, tuple[Places, ...]]], lags: Ranked, shelves: Shelves | None
) -> tuple[Counts, Counts]:
    answers = np.zeros(_CELLS * 3, np.int64)
    spread = np.zeros((2, _CELLS * (BINS + 1)), np.int64)
    for part, places in rows:
        cells = part.hour_of_day() * len(_RANGES) + _ranges(part, lags, shelves)
        answers += np.bincount(cells * 3 + _answers(part), minlength=len(answers))
        cells *= BINS + 1
        for side, of_side in enumerate(places):
            spread[side] += np.bincount(cells + of_side, minlength=spread.shape[1])
    return answers, spread


def _ranges(part: Part, lags: Ranked, shelves: Shelves | None) -> Places:
    values = part.numbers(LAG)
    if shelves is None:
        return np.full(len(values), _UNKNOWN, np.uint8)
    flags = is_finite(values)
    if flags is None:
        return shelves.of(values, lags.buckets.codes(values))
    places = np.full(len(values), _UNKNOWN, np.uint8)
    places[flags] = shelves.of(values[flags], lags.buckets.codes(values[flags]))
    return places


def _answers(part: Part) -> Places:
    """0: they disagree, 1: they agree, 2: a rule ignores the pair."""
    answers = part.is_true("agreement").astype(np.uint8)
    if part.given("agreement") < len(part):
        answers[~part.is_given("agreement")] = _IGNORED
    return answers


def _along(table: _Table, axis: int) -> _Table:
    return _Table(*(counts.sum(axis=axis) for counts in (table.answers, table.primary, table.shadow)))


def _slices(names: list[str] | tuple[str, ...], table: _Table) -> tuple[Slice, ...]:
    return tuple(
        Slice(
            name=name,
            requests=int(answers.sum()),
            agreement=rate_of(int(answers[1]), int(answers[0] + answers[1])),
            distance=jensen_shannon(primary[:BINS], shadow[:BINS]),
        )
        for name, answers, primary, shadow in zip(
            names, table.answers, table.primary, table.shadow, strict=False
        )
    )
