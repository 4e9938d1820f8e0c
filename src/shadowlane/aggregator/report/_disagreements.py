"""The disagreements together: how many, which way, how large, and what they share."""

from __future__ import annotations

import math

from shadowlane.aggregator.report._rates import LEVEL, interval, rate_of
from shadowlane.aggregator.report._shared import disagreement_rules
from shadowlane.aggregator.report.figures import DisagreementFigures, Interval
from shadowlane.aggregator.statistics import mean_interval
from shadowlane.lake import OpenLake

# The squares of ten billion differences must add up to a number yet.
_LARGEST = 1e140

_FIGURES = f"""
SELECT count(agreement), count(*) FILTER (NOT agreement),
  count(*) FILTER (NOT agreement AND difference <> 0), count(*) FILTER (NOT agreement AND difference > 0),
  count(difference), fsum(difference), fsum(abs(difference)), fsum(difference * difference),
  count(difference) FILTER (NOT agreement), fsum(difference) FILTER (NOT agreement)
FROM (
  SELECT agreement, CASE WHEN abs(apart) < {_LARGEST} THEN apart END AS difference
  FROM (SELECT agreement, shadow_score - primary_score AS apart FROM compared)
)
"""  # noqa: S608 - of constants


def disagreement_figures(lake: OpenLake, *, with_rules: bool = True) -> DisagreementFigures:
    """The disagreements; differences are over requests with two finite scores, whatever their labels."""
    [row] = lake.rows(_FIGURES)
    decided, disagreements, apart, higher, paired, total, absolute, squares, unlike, of_unlike = row
    mean = _mean(total, paired)
    return DisagreementFigures(
        rate=rate_of(disagreements, decided),
        shadow_higher=rate_of(higher, apart),
        mean_difference=mean,
        mean_difference_interval=_interval(mean, squares, paired),
        mean_absolute_difference=_mean(absolute, paired),
        mean_difference_of_disagreements=_mean(of_unlike, unlike),
        rules=disagreement_rules(lake) if with_rules else None,
    )


def _mean(total: float | None, count: int) -> float | None:
    return None if total is None else total / count


def _interval(mean: float | None, squares: float | None, count: int) -> Interval | None:
    if mean is None or squares is None or count < 2:  # noqa: PLR2004 - one has no spread
        return None
    variance = max(0.0, squares - count * mean * mean) / (count - 1)
    return interval(mean_interval(mean, math.sqrt(variance), count, LEVEL), LEVEL, "Student's t")
