"""How both models' predictions are spread: scores in bins, labels by category."""

from __future__ import annotations

from shadowlane.aggregator.report.figures import LabelCount, LabelDistribution, ScoreDistribution
from shadowlane.aggregator.statistics import BINS, bin_edges, jensen_shannon
from shadowlane.lake import OpenLake

_SHOWN_LABELS = 20

_RANGE = """
SELECT
  min(least(primary_finite, shadow_finite)), max(greatest(primary_finite, shadow_finite)),
  count(primary_score) - count(primary_finite), count(shadow_score) - count(shadow_finite),
  count(*) FILTER ((primary_score IS NULL) <> (shadow_score IS NULL)),
  quantile_cont(primary_finite, 0.5), quantile_cont(shadow_finite, 0.5),
  count(primary_score) + count(shadow_score)
FROM (
  SELECT primary_score, shadow_score,
    CASE WHEN isfinite(primary_score) THEN primary_score END AS primary_finite,
    CASE WHEN isfinite(shadow_score) THEN shadow_score END AS shadow_finite
  FROM compared
)
"""

# The bin by proportion, put right by its edges: then each value lies in the bin whose edges enclose it,
# to the last digit (0.3 belongs in the bin that begins at 0.3). Halves, so that no range overflows.
_BINS = """
WITH score AS (
  SELECT primary_score AS value, 1 AS of_primary FROM compared WHERE isfinite(primary_score)
  UNION ALL SELECT shadow_score, 0 FROM compared WHERE isfinite(shadow_score)
), guess AS (
  SELECT value, of_primary, $edges AS edges,
    least($bins - 1, floor((value / 2 - $low / 2) / ($high / 2 - $low / 2) * $bins)::INTEGER) AS guess
  FROM score
)
SELECT
  guess - (value < edges[guess + 1])::INTEGER
        + (guess < $bins - 1 AND value >= edges[guess + 2])::INTEGER AS bin,
  sum(of_primary)::BIGINT, sum(1 - of_primary)::BIGINT
FROM guess GROUP BY bin
"""

_LABELS = """
SELECT label, sum(of_primary)::BIGINT AS n_primary, sum(1 - of_primary)::BIGINT AS n_shadow
FROM (
  SELECT primary_label AS label, 1 AS of_primary FROM compared WHERE primary_label IS NOT NULL
  UNION ALL SELECT shadow_label, 0 FROM compared WHERE shadow_label IS NOT NULL
)
GROUP BY label ORDER BY count(*) DESC, label
"""

_ONE_SIDED_LABELS = "SELECT count(*) FROM compared WHERE (primary_label IS NULL) <> (shadow_label IS NULL)"


def scores(lake: OpenLake) -> ScoreDistribution | None:
    """Both models' scores in shared bins; None where neither model gives scores."""
    [(lowest, highest, primary_not_finite, shadow_not_finite, one_sided, *medians, given)] = lake.rows(_RANGE)
    if not given:
        return None
    edges: tuple[float, ...] = ()
    primary = shadow = [0] * BINS
    if lowest is not None:
        edges = bin_edges(lowest, highest)
        primary, shadow = _count(lake, edges)
    return ScoreDistribution(
        edges=edges,
        primary=tuple(primary),
        shadow=tuple(shadow),
        primary_not_finite=primary_not_finite,
        shadow_not_finite=shadow_not_finite,
        one_sided=one_sided,
        primary_median=medians[0],
        shadow_median=medians[1],
        distance=jensen_shannon(primary, shadow),
    )


def _count(lake: OpenLake, edges: tuple[float, ...]) -> tuple[list[int], list[int]]:
    primary, shadow = [0] * BINS, [0] * BINS
    values = {"edges": [*edges], "low": edges[0], "high": edges[-1], "bins": BINS}
    for place, of_primary, of_shadow in lake.rows(_BINS, values):
        primary[place], shadow[place] = of_primary, of_shadow
    return primary, shadow


def labels(lake: OpenLake) -> LabelDistribution | None:
    """Both models' labels; None where neither model gives labels."""
    counts = [LabelCount(label=label, primary=p, shadow=s) for label, p, s in lake.rows(_LABELS)]
    if not counts:
        return None
    [(one_sided,)] = lake.rows(_ONE_SIDED_LABELS)
    rest = counts[_SHOWN_LABELS:]
    return LabelDistribution(
        labels=tuple(counts[:_SHOWN_LABELS]),
        other=_together(rest) if rest else None,
        one_sided=one_sided,
        distance=jensen_shannon([each.primary for each in counts], [each.shadow for each in counts]),
    )


def _together(counts: list[LabelCount]) -> LabelCount:
    return LabelCount(
        label=None,
        primary=sum(each.primary for each in counts),
        shadow=sum(each.shadow for each in counts),
    )
