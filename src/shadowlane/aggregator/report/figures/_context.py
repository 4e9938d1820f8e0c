"""What the figures rest on: features, how fresh, at what cost, and over which days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from shadowlane.aggregator.report.figures._rate import Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFigure:
    """One feature: how often the shadow had to do without it, or was handed it and does not know it."""

    name: str
    missing: Rate  # requests that had no value for it, of all
    missing_of_disagreements: float | None
    unexpected: int  # by the workers' counts
    fetched_differently: Rate | None  # fetched for the shadow, and other than what the primary had


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The features that are not what they should be, the most often first."""

    features: tuple[FeatureFigure, ...]
    requests_with_missing: Rate
    source: str  # where missing features are known from: "comparisons and errors" or "the workers' counts"
    others: int = 0  # features beyond those shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The requests of one hour of the day, or of one range of replay lag."""

    name: str
    requests: int
    agreement: Rate
    distance: float | None  # of scores, over the report's bins


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How long after the request the shadow was asked, and whether that matters."""

    lag_p50_ms: float | None
    lag_p99_ms: float | None
    lag_max_ms: float | None
    by_hour: tuple[Slice, ...]  # 24, UTC; hours without requests have none
    by_lag: tuple[Slice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a request costs the shadow; nothing is known of the primary but its latency."""

    measured: int
    cpu_mean_ms: float | None
    cpu_p50_ms: float | None
    cpu_p99_ms: float | None
    gpu_mean_ms: float | None
    memory_p50_mb: float | None
    memory_max_mb: float | None
    cpu_hours: float | None  # over all requests of the report
    primary_busy_ms: float | None  # the primary's mean latency: the most that its CPU can have been


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCoverage:
    """The requests of one day (UTC), and in how many of its hours there were any."""

    day: date
    requests: int
    hours: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Which part of a business cycle (a full week, hour by hour) the requests come from."""

    days: tuple[DayCoverage, ...]
    weekdays: int  # of 7, with requests
    hours_of_week: int  # of 168
    first: datetime | None
    last: datetime | None
    longest_gap_hours: int
    is_full_week: bool
