"""What intervals rest on that hold however often one looks."""

from __future__ import annotations

from dataclasses import dataclass

from shadowlane.aggregator.report.figures._rate import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortWatch:
    """How the requests of one value of a segment cluster by user: a few may make up most of a cohort."""

    segment: str
    value: str | None
    alike: float
    of_disagreement: float
    of_errors: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How requests cluster by user, and where percentiles lie at every look at once.

    A design effect is how many requests are worth one: 1 where each has a user of its own, or none is named.
    """

    level: float
    users: int  # distinct entity_ids; a request without one stands for itself
    requests: int
    alike: float  # the effect, were all requests of a user alike: the most that it can be
    of_disagreement: float
    of_errors: float
    of_slowness: float  # of being among the slowest hundredth
    shadow_p99_ms: Interval | None  # None: too few requests to bound it
    p99_ratio: Interval | None  # the shadow's p99 by the primary's, over the same requests
    cpu_p99_ms: Interval | None
    cohorts: tuple[CohortWatch, ...] = ()  # of the segments that were asked for
