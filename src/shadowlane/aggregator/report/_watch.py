"""How requests cluster by user, and percentiles' ranks, for a gate that is looked at again and again.

It costs a pass over the users' ids, so it is read only where a policy names a confidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.report._rates import LEVEL
from shadowlane.aggregator.report.figures import CohortWatch, Interval, Watch
from shadowlane.aggregator.statistics import quantile_sequence_ranks
from shadowlane.aggregator.statistics._normal import deviations, student_deviations
from shadowlane.lake import OpenLake

_P99 = 0.99
_MOST_COHORTS = 1_000
_METHOD = "order statistics, by a confidence sequence"

_LATENCIES = """
SELECT shadow_latency_ms AS shadow, primary_latency_ms AS primary_ FROM compared
WHERE latency_basis = 'single'
"""
_CPU = "SELECT shadow_cpu_ms AS cpu FROM compared WHERE isfinite(shadow_cpu_ms) AND shadow_cpu_ms >= 0"

# Of each user within a cohort: the requests, those judged and those that disagree, the errors, those timed
# and the slow ones. Who has no id stands alone. The sums are of whole numbers: no order changes them.
_USERS = """
WITH request AS (
  SELECT {cohort} AS value, entity_id,
    agreement IS NOT NULL AS judged, coalesce(NOT agreement, false) AS disagrees,
    false AS failed, latency_basis = 'single' AS timed,
    latency_basis = 'single' AND shadow_latency_ms > $slow AS slow
  FROM compared
  UNION ALL SELECT {cohort}, entity_id, false, false, true, false, false FROM errored
), one AS (
  SELECT value, count(*) AS requests, count_if(judged) AS judged, count_if(disagrees) AS disagrees,
    count_if(failed) AS failed, count_if(timed) AS timed, count_if(slow) AS slow
  FROM request WHERE entity_id IS NOT NULL GROUP BY value, hash(entity_id)
  UNION ALL
  SELECT value, 1, judged::BIGINT, disagrees::BIGINT, failed::BIGINT, timed::BIGINT, slow::BIGINT
  FROM request WHERE entity_id IS NULL
)
SELECT value, {sums} FROM one GROUP BY value ORDER BY count(*) DESC, value LIMIT {most}
"""
_OF = """
count_if({whole} > 0), sum({whole}), sum({part}),
sum({whole} * {whole})::HUGEINT, sum({part} * {part})::HUGEINT, sum({whole} * {part})::HUGEINT
"""
_RATES = (("judged", "disagrees"), ("requests", "failed"), ("timed", "slow"))


def watch(lake: OpenLake, level: float | None = None, by: Sequence[str] = ()) -> Watch:
    """What is needed to look again and again, at this level; of these segments' cohorts, too."""
    level = LEVEL if level is None else level
    latencies = lake.arrays(_LATENCIES)
    shadow, primary = latencies["shadow"], latencies["primary_"]
    is_timed, is_timed_too = _is_usable(shadow), _is_usable(primary)
    timed = np.sort(shadow[is_timed])
    threshold = float(timed[_place(len(timed))]) if len(timed) else math.inf
    judged, failed, slow = _sums(lake, threshold).get(None, _NOTHING)
    of_slowness = slow.effect(level)
    both = is_timed & is_timed_too
    half = 1 - (1 - level) / 2
    return Watch(
        level=level,
        users=failed.clusters,
        requests=failed.whole,
        alike=failed.alike,
        of_disagreement=judged.effect(level),
        of_errors=failed.effect(level),
        of_slowness=of_slowness,
        shadow_p99_ms=_p99(timed, level, of_slowness),
        p99_ratio=_ratio(
            _p99(np.sort(shadow[both]), half, of_slowness),
            _p99(np.sort(primary[both]), half, of_slowness),
            level,
        ),
        cpu_p99_ms=_p99(np.sort(lake.arrays(_CPU)["cpu"]), level, of_slowness),
        cohorts=tuple(
            CohortWatch(
                segment=segment,
                value=value,
                alike=failed.alike,
                of_disagreement=judged.effect(level),
                of_errors=failed.effect(level),
            )
            for segment in by
            for value, (judged, failed, _) in _sums(lake, threshold, segment).items()
        ),
    )


def _is_usable(values: NDArray[Any]) -> NDArray[np.bool_]:
    usable: NDArray[np.bool_] = np.isfinite(values) & (values >= 0)
    return usable


def _place(n: int) -> int:
    return min(n - 1, math.floor(n * _P99))


class _Clusters:
    """The sums over users of one rate: of requests and events, of their squares and products."""

    def __init__(self, clusters: int, whole: int, part: int, whole2: int, part2: int, both: int) -> None:
        self.clusters, self.whole, self.part = clusters, whole, part
        self._whole2, self._part2, self._both = whole2, part2, both

    @property
    def alike(self) -> float:
        """The design effect, were all requests of a user alike."""
        return self._whole2 / self.whole if self.whole else 1.0

    def effect(self, level: float) -> float:
        """The design effect that a handful of events cannot make out to be small.

        It starts where all requests of a user are alike, as if one event had shown that. A bound may be so
        low that next to nothing is seen below it, and a user's requests may all fail for one reason: so it
        assumes more than `statistics.clustered_sequence` does. Of few users, or a few large ones, little is
        known: the interval is to be as much wider as Student's is.
        """
        if self._whole2 == self.whole:  # each request has a user of its own
            return 1.0
        few = student_deviations(level, self.whole**2 / self._whole2 - 1) / deviations(level)
        if math.isinf(few):
            return math.inf
        p = self.part / self.whole
        squares = self._part2 - 2 * p * self._both + p * p * self._whole2
        squares *= self.clusters / (self.clusters - 1)
        return max(1.0, (squares + self.alike) / (self.whole * p * (1 - p) + 1)) * few * few


_NOTHING = (_Clusters(0, 0, 0, 0, 0, 0),) * 3


def _sums(lake: OpenLake, slow: float, segment: str | None = None) -> dict[str | None, tuple[_Clusters, ...]]:
    """Of each value of a segment, the sums of the three rates; of no segment, of all requests."""
    columns = ", ".join(_OF.format(whole=whole, part=part) for whole, part in _RATES)
    cohort = "NULL::VARCHAR" if segment is None else "map_extract(segments, $segment)[1]"
    statement = _USERS.format(sums=columns, cohort=cohort, most=_MOST_COHORTS)
    named = {} if segment is None else {"segment": segment}
    return {
        value: tuple(
            _Clusters(*(int(each) for each in row[place : place + 6])) for place in range(0, len(row), 6)
        )
        for value, *row in lake.rows(statement, {"slow": slow, **named})
    }


def _p99(ordered: NDArray[np.float64], level: float, effect: float) -> Interval | None:
    """Where it lies, of values in order; ranks are those of as many requests as these are worth."""
    n = len(ordered)
    worth = math.floor(n / effect)
    ranks = quantile_sequence_ranks(worth, _P99, level) if worth else None
    if ranks is None:
        return None
    low = math.floor(ranks[0] / worth * n)
    high = min(n - 1, math.ceil((ranks[1] + 1) / worth * n) - 1)
    return Interval(low=float(ordered[low]), high=float(ordered[high]), level=level, method=_METHOD)


def _ratio(shadow: Interval | None, primary: Interval | None, level: float) -> Interval | None:
    """Both percentiles' intervals hold at once, so their ratio lies between their ends."""
    if shadow is None or primary is None or primary.low <= 0:
        return None
    return Interval(
        low=shadow.low / primary.high, high=shadow.high / primary.low, level=level, method=_METHOD
    )
