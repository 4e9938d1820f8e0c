"""The figures by segment."""

from __future__ import annotations

from dataclasses import dataclass

from shadowlane.aggregator.report.figures._rate import Rate

#: A group of fewer requests than this is marked as small: its rates say little.
SMALL_GROUP = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentGroup:
    """The requests of one value of a segment (None: those that do not have it)."""

    value: str | None
    requests: int
    compared: int
    agreement_rate: float | None
    errored: int
    error_rate: float | None
    is_small: bool
    agreement: Rate | None = None
    errors: Rate | None = None
    mean_difference: float | None = None  # the shadow's score less the primary's
    shadow_p99_ms: float | None = None  # only of segments that were asked for
    primary_p99_ms: float | None = None
    distance: float | None = None  # Jensen-Shannon, over the report's bins; the same
    primary_correct: Rate | None = None  # against labels
    shadow_correct: Rate | None = None
    correct_p: float | None = None  # McNemar, corrected for all groups looked at
    agreement_p: float | None = None  # against the rest, corrected the same way
    errors_p: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The figures by one segment, the worst group first; `other` is what the rarest values add up to."""

    name: str
    groups: tuple[SegmentGroup, ...]
    other: SegmentGroup | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standout:
    """A group that fares worse than the whole lets one think. It belongs at the top of the page."""

    segment: str
    value: str | None
    figure: str  # "agreement", "errors", "correctness", "latency"
    group: float
    whole: float
    requests: int
    share: float  # of all requests
    p_value: float
    sentence: str  # plain text, names made visible
