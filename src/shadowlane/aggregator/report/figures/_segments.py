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
    mean_difference: float | None = None  # the shadow's score less the primary's, of two finite scores
    shadow_p50_ms: float | None = None  # only of segments that were asked for; timed alone and warm
    shadow_p99_ms: float | None = None
    primary_p50_ms: float | None = None
    primary_p99_ms: float | None = None
    distance: float | None = None  # Jensen-Shannon, over the report's bins; the same
    primary_correct: Rate | None = None  # against labels
    shadow_correct: Rate | None = None
    only_primary_correct: int | None = None  # the primary was right and the shadow was not
    only_shadow_correct: int | None = None
    correct_p: float | None = None  # McNemar, corrected for all groups looked at
    agreement_p: float | None = None  # against the rest, corrected the same way
    errors_p: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The figures by one segment, the worst group first; `other` is what the rarest values add up to."""

    name: str  # of a feature: feature:NAME
    groups: tuple[SegmentGroup, ...]
    other: SegmentGroup | None
    values: int | None = None  # how many different ones there are; None where that was not counted
    note: str = ""  # what these figures leave out or cannot say; plain text


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A segment and its value (None: requests that do not have it, or all the rarer values together)."""

    segment: str
    value: str | None
    is_other: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standout:
    """A group that fares worse than the whole lets one think. It belongs at the top of the page.

    `group` and `whole` are rates of agreement or errors; of correctness, the shadow's less the primary's;
    of a mix, how much agreement or errors changed within the groups, and on the whole.
    """

    segment: str  # of two crossed, both: "country, device"
    value: str | None
    figure: str  # "agreement", "errors", "correctness", "mix"
    group: float
    whole: float
    requests: int
    share: float  # of all requests
    p_value: float
    sentence: str  # plain text, names made visible
    terms: tuple[Term, ...] = ()  # all of them hold; none of a mix
    name: str = ""  # what the group is called: "country=BR and device=ios", "no country"; names made visible
