"""How both models' labels are spread, and which ones the shadow turned into which."""

from __future__ import annotations

import numpy as np

from shadowlane.aggregator.report._distributions import divergence
from shadowlane.aggregator.report._ranked import Counts
from shadowlane.aggregator.report.figures import LabelCount, LabelDistribution, LabelFlip
from shadowlane.aggregator.statistics import jensen_shannon
from shadowlane.lake import OpenLake

_SHOWN = 20
#: The swaps are simulated for up to so many labels: what they cost grows with the square.
_MOST_SWAPPED = 128

_PAIRS = """
CREATE OR REPLACE TEMP TABLE label_pair AS
SELECT primary_label AS one, shadow_label AS other, count(*) AS requests
FROM compared WHERE primary_label IS NOT NULL OR shadow_label IS NOT NULL GROUP BY ALL
"""

_COUNTS = """
CREATE OR REPLACE TEMP TABLE label_count AS
SELECT label, sum(of_primary)::BIGINT AS n_primary, sum(of_shadow)::BIGINT AS n_shadow,
  row_number() OVER (ORDER BY sum(of_primary + of_shadow) DESC, label) - 1 AS seat
FROM (
  SELECT one AS label, requests AS of_primary, 0 AS of_shadow FROM label_pair
  UNION ALL SELECT other, 0, requests FROM label_pair
)
WHERE label IS NOT NULL GROUP BY label
"""

_SHOWN_COUNTS = "SELECT label, n_primary, n_shadow FROM label_count ORDER BY seat LIMIT $shown"
_ALL_COUNTS = "SELECT n_primary, n_shadow FROM label_count ORDER BY seat"

_ONE_SIDED = "SELECT coalesce(sum(requests), 0)::BIGINT FROM label_pair WHERE one IS NULL OR other IS NULL"

_FLIPS = """
SELECT one, other, requests FROM label_pair WHERE one <> other
ORDER BY requests DESC, one, other LIMIT $shown
"""

_JOINT = """
SELECT coalesce(a.seat, $none) AS one, coalesce(b.seat, $none) AS other, requests
FROM label_pair LEFT JOIN label_count a ON a.label = one LEFT JOIN label_count b ON b.label = other
"""


def labels(lake: OpenLake) -> LabelDistribution | None:
    """Both models' labels; None where neither model gives labels."""
    lake.rows(_PAIRS)
    lake.rows(_COUNTS)
    shown = lake.rows(_SHOWN_COUNTS, {"shown": _SHOWN})
    if not shown:
        return None
    counts = lake.arrays(_ALL_COUNTS)
    primary, shadow = counts["n_primary"], counts["n_shadow"]
    [(one_sided,)] = lake.rows(_ONE_SIDED)
    return LabelDistribution(
        labels=tuple(LabelCount(label=label, primary=p, shadow=s) for label, p, s in shown),
        other=_together(primary[_SHOWN:], shadow[_SHOWN:]),
        one_sided=one_sided,
        distance=jensen_shannon(primary, shadow),
        divergence=divergence(primary, shadow, _joint(lake, len(primary))),
        flips=tuple(
            LabelFlip(primary=one, shadow=other, requests=requests)
            for one, other, requests in lake.rows(_FLIPS, {"shown": _SHOWN})
        ),
    )


def _together(primary: Counts, shadow: Counts) -> LabelCount | None:
    if not len(primary):
        return None
    return LabelCount(label=None, primary=int(primary.sum()), shadow=int(shadow.sum()))


def _joint(lake: OpenLake, labels: int) -> Counts | None:
    """How many requests have the primary's label in this row and the shadow's in that column."""
    if labels > _MOST_SWAPPED:
        return None
    joint = np.zeros((labels + 1, labels + 1), np.int64)
    for one, other, requests in lake.rows(_JOINT, {"none": labels}):
        joint[one, other] = requests
    return joint
