"""How long the models took."""

from __future__ import annotations

from dataclasses import dataclass

from shadowlane.aggregator.report.figures._rate import Interval, Rate
from shadowlane.aggregator.report.figures._rules import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """One model's latencies in milliseconds, exact over the rows."""

    measured: int
    unmeasured: int  # no latency was reported
    unusable: int  # NaN, infinite or negative
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    curve: tuple[tuple[float, float], ...]  # (share of the requests, no slower than this)
    #: By order statistics; None where there are too few requests for such an interval.
    p50_interval: Interval | None = None
    p95_interval: Interval | None = None
    p99_interval: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedLatency:
    """The shadow's latency less the primary's, request by request."""

    requests: int
    median_ms: float
    median_interval: Interval | None
    p95_ms: float
    p99_ms: float
    slower: Rate  # requests on which the shadow took longer
    median_ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowRequest:
    """One of the slowest answers of the shadow."""

    request_id: str
    primary_ms: float | None
    shadow_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The requests that took the shadow ten times its median, or longer."""

    threshold_ms: float
    slow: Rate
    of_whole_time: float  # the share of all time that went into them
    slowest: tuple[SlowRequest, ...]
    rules: Rules | None  # what they share; None where it was not sought


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBasis:
    """Both models' latencies over the same requests: those whose shadow was timed in one way."""

    basis: str
    requests: int
    primary: Latency
    shadow: Latency
    paired: PairedLatency | None = None
    tail: Tail | None = None
