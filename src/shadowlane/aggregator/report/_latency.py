"""How long the models took: percentiles with their intervals, request by request, and the slow tail."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.report._at_once import at_once
from shadowlane.aggregator.report._columns import LATENCIES, MOMENT, Columns, Floats, is_usable, usable
from shadowlane.aggregator.report._ranked import Ranked, quantiles, ranks_of
from shadowlane.aggregator.report._rates import LEVEL, rate_of
from shadowlane.aggregator.report.figures import (
    Interval,
    Latency,
    LatencyBasis,
    PairedLatency,
    SlowRequest,
    Tail,
)
from shadowlane.aggregator.statistics import quantile_ranks
from shadowlane.lake import OpenLake

#: Where the latency curve is read off; the report's percentiles are among these.
LEVELS = (0.0, 0.01, *(step / 20 for step in range(1, 20)), 0.975, 0.99, 0.995, 0.999, 1.0)

_JUDGED = (0.5, 0.95, 0.99)

#: So many times its median is slow for a model.
SLOW = 10
_SLOWEST = 10
_MOST_MOMENTS = 100
_METHOD = "order statistics"

_SLOWEST_REQUESTS = """
SELECT request, primary_latency_ms, shadow_latency_ms FROM compared
WHERE shadow_latency_ms BETWEEN $least AND $most AND latency_basis = $basis AND {when}
ORDER BY shadow_latency_ms DESC, event_time, request LIMIT $shown
"""


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Some requests' latencies; of those that were not measured NaN."""

    primary: Floats
    shadow: Floats
    moments: NDArray[Any]  # microseconds since 1970; NaN among them where one is not known
    primary_given: int
    shadow_given: int


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Values in order, some of their quantiles, and the intervals that these lie in."""

    ranked: Ranked
    curve: Mapping[float, float]
    intervals: Mapping[float, Interval]  # of those that there are enough values for


def latencies(lake: OpenLake, columns: Columns) -> tuple[LatencyBasis, ...]:
    """Both models' latencies, the requests timed in each way apart.

    The tail is None where the requests' moments were not read: a gate needs none.
    """
    return tuple(_basis(lake, columns, basis) for basis in columns.bases)


def _pairs(columns: Columns, basis: str) -> Iterator[_Pairs]:
    for part, flags in columns.of_basis(basis):
        primary, shadow = (part.numbers(name) for name in LATENCIES)
        moments = part.numbers(MOMENT) if columns.has(MOMENT) else np.empty(len(part))
        if flags is None:
            yield _Pairs(primary, shadow, moments, *(part.given(name) for name in LATENCIES))
        else:
            given = (np.count_nonzero(part.is_given(name)[flags]) for name in LATENCIES)
            yield _Pairs(primary[flags], shadow[flags], moments[flags], *map(int, given))


def _basis(lake: OpenLake, columns: Columns, basis: str) -> LatencyBasis:
    pairs = [*_pairs(columns, basis)]
    requests = sum(len(each.shadow) for each in pairs)
    given = (sum(each.primary_given for each in pairs), sum(each.shadow_given for each in pairs))
    both = [_both(each) for each in pairs]
    tasks: tuple[Callable[[], _Ranked], ...] = (
        lambda: _ranked([usable(each.primary) for each in pairs], LEVELS, _JUDGED),
        lambda: _ranked([usable(each.shadow) for each in pairs], LEVELS, _JUDGED),
        lambda: _ranked([shadow - primary for primary, shadow in both], _JUDGED, (0.5,)),
        lambda: _ranked([_ratios(primary, shadow) for primary, shadow in both], (0.5,), ()),
    )
    primary, shadow, differences, ratios = at_once(lambda task: task(), tasks)
    return LatencyBasis(
        basis=basis,
        requests=requests,
        primary=_latency(requests, given[0], primary),
        shadow=_latency(requests, given[1], shadow),
        paired=_paired(both, differences, ratios),
        tail=_tail(lake, basis, pairs, shadow) if columns.has(MOMENT) else None,
    )


def _ranked(pieces: Sequence[Floats], levels: Sequence[float], bounded: Sequence[float]) -> _Ranked:
    ranked = Ranked(pieces)
    if not ranked.count:
        return _Ranked(ranked, {}, {})
    bounds = {level: quantile_ranks(ranked.count, level, LEVEL) for level in bounded}
    sought = [rank for ranks in bounds.values() for rank in ranks or ()]
    found = ranked.at([*ranks_of(ranked.count, levels), *sought])
    intervals = {
        level: Interval(low=found[ranks[0]], high=found[ranks[1]], level=LEVEL, method=_METHOD)
        for level, ranks in bounds.items()
        if ranks
    }
    return _Ranked(ranked, dict(zip(levels, quantiles(found, ranked.count, levels), strict=True)), intervals)


def _latency(requests: int, reported: int, found: _Ranked) -> Latency:
    return Latency(
        measured=found.ranked.count,
        unmeasured=requests - reported,
        unusable=reported - found.ranked.count,
        p50_ms=found.curve.get(0.5),
        p95_ms=found.curve.get(0.95),
        p99_ms=found.curve.get(0.99),
        curve=tuple(found.curve.items()),
        p50_interval=found.intervals.get(0.5),
        p95_interval=found.intervals.get(0.95),
        p99_interval=found.intervals.get(0.99),
    )


def _paired(
    both: Sequence[tuple[Floats, Floats]], differences: _Ranked, ratios: _Ranked
) -> PairedLatency | None:
    """The shadow's less the primary's, of the requests that have both; None where none has."""
    requests = differences.ranked.count
    if not requests:
        return None
    slower = sum(int(np.count_nonzero(shadow > primary)) for primary, shadow in both)
    return PairedLatency(
        requests=requests,
        median_ms=differences.curve[0.5],
        median_interval=differences.intervals.get(0.5),
        p95_ms=differences.curve[0.95],
        p99_ms=differences.curve[0.99],
        slower=rate_of(slower, requests),
        median_ratio=ratios.curve.get(0.5),
    )


def _both(pairs: _Pairs) -> tuple[Floats, Floats]:
    flags = [each for each in (is_usable(pairs.primary), is_usable(pairs.shadow)) if each is not None]
    if not flags:
        return pairs.primary, pairs.shadow
    chosen = np.logical_and.reduce(flags)
    return pairs.primary[chosen], pairs.shadow[chosen]


def _ratios(primary: Floats, shadow: Floats) -> Floats:
    """How many times as long the shadow took, of those whose primary took any time."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return usable(shadow / primary)


def _tail(lake: OpenLake, basis: str, pairs: Sequence[_Pairs], found: _Ranked) -> Tail | None:
    """The slow requests; None where nothing was measured, or takes no time."""
    shadow = found.ranked
    threshold = SLOW * found.curve.get(0.5, 0.0)
    if not 0 < threshold < math.inf:
        return None
    slow, slow_time = shadow.from_value(threshold)
    return Tail(
        threshold_ms=threshold,
        slow=rate_of(slow, shadow.count),
        of_whole_time=slow_time / shadow.total(),
        slowest=_slowest(lake, basis, pairs, shadow, min(slow, _SLOWEST)) if slow else (),
        rules=None,
    )


def _slowest(
    lake: OpenLake, basis: str, pairs: Sequence[_Pairs], shadow: Ranked, shown: int
) -> tuple[SlowRequest, ...]:
    found = shadow.at([shadow.count - shown, shadow.count - 1])
    least, most = min(found.values()), max(found.values())
    statement = _SLOWEST_REQUESTS.format(when=_made_when(pairs, least, most))
    values = {"least": least, "most": most, "basis": basis, "shown": shown}
    return tuple(
        SlowRequest(request_id=request, primary_ms=_time(primary), shadow_ms=slow)
        for request, primary, slow in lake.rows(statement, values)
    )


def _made_when(pairs: Sequence[_Pairs], least: float, most: float) -> str:
    """A condition that spares the engine what it need not look at: files are in the order of time."""
    are_slow = [np.flatnonzero((each.shadow >= least) & (each.shadow <= most)) for each in pairs]
    moments = np.concatenate([each.moments[slow] for each, slow in zip(pairs, are_slow, strict=True)])
    if np.isnan(moments).any() or len(moments) > _MOST_MOMENTS:
        return "true"
    listed = ", ".join(f"make_timestamptz({moment}::BIGINT)" for moment in moments.astype(np.int64).tolist())
    return f"event_time IN ({listed})"


def _time(value: float | None) -> float | None:
    return value if value is not None and 0 <= value < math.inf else None
