"""The figures by segment: each group's requests, agreement and errors."""

from __future__ import annotations

from shadowlane.aggregator.report.figures import SMALL_GROUP, Segment, SegmentGroup
from shadowlane.aggregator.statistics import rate
from shadowlane.errors import SettingsError
from shadowlane.lake import COMPARISONS, OpenLake
from shadowlane.visible import visible

_GROUPS = 50

# The worst first: the share of a group's requests that the shadow did not answer as the primary did,
# of those that no rule ignores.
# What is beyond the most frequent values is added up, never left out.
_SEGMENT = """
WITH request AS (
  SELECT cohort[$place] AS value, true AS was_compared, agreement FROM compared
  UNION ALL SELECT cohort[$place], false, false FROM errored
), every AS (
  SELECT value, count(*) AS requests, count(*) FILTER (was_compared) AS compared,
    count(*) FILTER (agreement IS NULL) AS ignored, count(*) FILTER (agreement) AS agreements,
    row_number() OVER (ORDER BY count(*) DESC, value) > $limit AS is_other
  FROM request GROUP BY value
)
SELECT is_other, CASE WHEN NOT is_other THEN value END AS shown,
  sum(requests)::BIGINT, sum(compared)::BIGINT, sum(ignored)::BIGINT, sum(agreements)::BIGINT
FROM every GROUP BY is_other, shown
ORDER BY is_other, sum(requests) < $small, sum(agreements) / nullif(sum(requests - ignored), 0) NULLS LAST,
  sum(requests) DESC, shown
"""

_HAVING = """
SELECT count(*), count(cohort[$place])
FROM (SELECT cohort FROM compared UNION ALL SELECT cohort FROM errored)
"""

_NAMES = """
CREATE OR REPLACE TEMP TABLE segment_name AS
SELECT name FROM (
  SELECT unnest(map_keys(segments)) AS name
  FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
)
GROUP BY name ORDER BY count(*) DESC, name LIMIT 20
"""


def check(lake: OpenLake, name: str, place: int) -> None:
    """Refuse a segment that no request has, when there are requests.

    Raises:
        SettingsError: there is none; it names the segments that there are.
    """
    [(requests, having)] = lake.rows(_HAVING, {"place": place + 1})
    if having or not requests:
        return
    lake.load(COMPARISONS.name, _NAMES, {})
    known = ", ".join(visible(each, 40) for (each,) in lake.rows("FROM segment_name"))
    raise SettingsError(f"no request has a segment {visible(name)!r}; known are: {known or 'none'}")


def segment(lake: OpenLake, name: str, place: int) -> Segment:
    """The figures by one segment: the one that stands at this place (from 0) of those loaded."""
    rows = lake.rows(_SEGMENT, {"place": place + 1, "limit": _GROUPS, "small": SMALL_GROUP})
    groups = [(is_other, _group(*row)) for is_other, *row in rows]
    return Segment(
        name=name,
        groups=tuple(group for is_other, group in groups if not is_other),
        other=next((group for is_other, group in groups if is_other), None),
    )


def _group(value: str | None, requests: int, compared: int, ignored: int, agreements: int) -> SegmentGroup:
    errored = requests - compared
    return SegmentGroup(
        value=value,
        requests=requests,
        compared=compared,
        agreement_rate=rate(agreements, compared - ignored),
        errored=errored,
        error_rate=rate(errored, requests),
        is_small=requests < SMALL_GROUP,
    )
