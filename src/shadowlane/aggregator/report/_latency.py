"""How long the models took: percentiles with their intervals, request by request, and the slow tail."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from shadowlane.aggregator.report._columns import LATENCIES, Columns, Flags, Floats, can_be_time, usable
from shadowlane.aggregator.report._ranked import Ranked
from shadowlane.aggregator.report._rates import LEVEL, interval, rate_of
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

#: So many times its median is slow for a model.
SLOW = 10
_SLOWEST = 10
_METHOD = "order statistics"

_SLOWEST_REQUESTS = """
SELECT request, primary_latency_ms, shadow_latency_ms FROM compared
WHERE shadow_latency_ms BETWEEN $least AND $most AND latency_basis = $basis
ORDER BY shadow_latency_ms DESC, event_time, request LIMIT $shown
"""


@dataclass(frozen=True, slots=True)
class _Pair:
    """Some requests' latencies; of those that were not measured NaN."""

    primary: Floats
    shadow: Floats
    primary_given: Flags
    shadow_given: Flags

    def __len__(self) -> int:
        return len(self.shadow)


def latencies(lake: OpenLake, columns: Columns) -> tuple[LatencyBasis, ...]:
    """Both models' latencies, the requests timed in each way apart."""
    return tuple(_basis(lake, basis, [*_pairs(columns, basis)]) for basis in columns.bases)


def _pairs(columns: Columns, basis: str) -> Iterator[_Pair]:
    for part, of_basis in columns.of_basis(basis):
        primary, shadow = (part.numbers(name)[of_basis] for name in LATENCIES)
        yield _Pair(primary, shadow, *(part.is_given(name)[of_basis] for name in LATENCIES))


def _basis(lake: OpenLake, basis: str, pairs: Sequence[_Pair]) -> LatencyBasis:
    requests = sum(map(len, pairs))
    primary, shadow = (
        Ranked(usable(each.primary) for each in pairs),
        Ranked(usable(each.shadow) for each in pairs),
    )
    given = [(np.count_nonzero(each.primary_given), np.count_nonzero(each.shadow_given)) for each in pairs]
    return LatencyBasis(
        basis=basis,
        requests=requests,
        primary=_latency(requests, sum(int(p) for p, _ in given), primary),
        shadow=_latency(requests, sum(int(s) for _, s in given), shadow),
        paired=_paired(pairs),
        tail=_tail(lake, basis, shadow),
    )


def _latency(requests: int, reported: int, ranked: Ranked) -> Latency:
    curve = dict(zip(LEVELS, ranked.quantiles(LEVELS), strict=False))
    return Latency(
        measured=ranked.count,
        unmeasured=requests - reported,
        unusable=reported - ranked.count,
        p50_ms=curve.get(0.5),
        p95_ms=curve.get(0.95),
        p99_ms=curve.get(0.99),
        curve=tuple(curve.items()),
        p50_interval=_interval(ranked, 0.5),
        p95_interval=_interval(ranked, 0.95),
        p99_interval=_interval(ranked, 0.99),
    )


def _interval(ranked: Ranked, level: float) -> Interval | None:
    """Where the quantile at this level lies; None where there are too few requests to say."""
    ranks = quantile_ranks(ranked.count, level, LEVEL)
    if ranks is None:
        return None
    found = ranked.at(ranks)
    return interval((found[ranks[0]], found[ranks[1]]), LEVEL, _METHOD)


def _paired(pairs: Sequence[_Pair]) -> PairedLatency | None:
    """The shadow's less the primary's, of the requests that have both; None where none has."""
    both = [(each.primary[_is_both(each)], each.shadow[_is_both(each)]) for each in pairs]
    slower = sum(int(np.count_nonzero(shadow > primary)) for primary, shadow in both)
    differences = Ranked(shadow - primary for primary, shadow in both)
    if not differences.count:
        return None
    median, p95, p99 = differences.quantiles([0.5, 0.95, 0.99])
    ratios = Ranked(_ratios(primary, shadow) for primary, shadow in both)
    return PairedLatency(
        requests=differences.count,
        median_ms=median,
        median_interval=_interval(differences, 0.5),
        p95_ms=p95,
        p99_ms=p99,
        slower=rate_of(slower, differences.count),
        median_ratio=next(iter(ratios.quantiles([0.5])), None),
    )


def _is_both(pair: _Pair) -> Flags | slice:
    flags = can_be_time(pair.primary) & can_be_time(pair.shadow)
    return slice(None) if flags.all() else flags


def _ratios(primary: Floats, shadow: Floats) -> Floats:
    """How many times as long the shadow took, of those whose primary took any time."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return usable(shadow / primary)


def _tail(lake: OpenLake, basis: str, shadow: Ranked) -> Tail | None:
    """The slow requests; None where nothing was measured, or takes no time."""
    threshold = SLOW * next(iter(shadow.quantiles([0.5])), 0.0)
    if not 0 < threshold < math.inf:
        return None
    slow, slow_time = shadow.from_value(threshold)
    return Tail(
        threshold_ms=threshold,
        slow=rate_of(slow, shadow.count),
        of_whole_time=slow_time / shadow.sum(),
        slowest=_slowest(lake, basis, shadow, min(slow, _SLOWEST)) if slow else (),
        rules=None,
    )


def _slowest(lake: OpenLake, basis: str, shadow: Ranked, shown: int) -> tuple[SlowRequest, ...]:
    # A bound that only few are beyond spares the engine most groups of rows.
    [(_, least)] = shadow.at([shadow.count - shown]).items()
    [(_, most)] = shadow.at([shadow.count - 1]).items()
    values = {"least": least, "most": most, "basis": basis, "shown": shown}
    return tuple(
        SlowRequest(request_id=request, primary_ms=_time(primary), shadow_ms=slow)
        for request, primary, slow in lake.rows(_SLOWEST_REQUESTS, values)
    )


def _time(value: float | None) -> float | None:
    return value if value is not None and 0 <= value < math.inf else None
