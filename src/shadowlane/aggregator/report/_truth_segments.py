"""Ground truth by segment: whose requests have labels, and what that does to the whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from shadowlane.aggregator.report._cohorts import NONE, Block, Cohorts, Tally
from shadowlane.aggregator.report._rates import rate_of
from shadowlane.aggregator.report.figures import Correctness, CoverageGroup, Reweighted
from shadowlane.aggregator.statistics import holm, two_proportion_p
from shadowlane.lake import OpenLake

_COMPARED = [field.name for field in fields(Tally)].index("compared")

Group = tuple[str, str | None]
"""A segment and its value, or None: the requests that have no value for it."""

_COUNTS = """count(*) AS labelled, count(primary_correct) AS requests,
  count(*) FILTER (primary_correct) AS primary_correct, count(*) FILTER (shadow_correct) AS shadow_correct"""

_SHOWN = """
CREATE OR REPLACE TEMP TABLE shown_segment AS
SELECT unnest($segments::VARCHAR[]) AS segment, unnest($values::VARCHAR[]) AS value
"""

_LABELLED = f"""
CREATE OR REPLACE TEMP TABLE labelled_by_segment AS
SELECT name, entry.key AS segment, entry.value AS value, {_COUNTS}
FROM (
  SELECT judged.name, unnest(map_entries(segments)) AS entry, primary_correct, shadow_correct
  FROM judged JOIN labelled ON labelled.rowid = judged.place WHERE is_latest
)
WHERE entry.value IS NOT NULL GROUP BY name, entry.key, entry.value
"""  # noqa: S608 - of constants

_BY_VALUE = """
SELECT segment, value, labelled, requests, primary_correct, shadow_correct
FROM labelled_by_segment JOIN shown_segment USING (segment, value) WHERE name = $name
"""
_WITH_A_VALUE = """
SELECT segment, sum(labelled)::BIGINT, sum(requests)::BIGINT, sum(primary_correct)::BIGINT,
  sum(shadow_correct)::BIGINT
FROM labelled_by_segment WHERE name = $name AND segment IN (SELECT segment FROM shown_segment)
GROUP BY segment
"""
_WHOLE = f"SELECT {_COUNTS} FROM judged WHERE is_latest AND name = $name"  # noqa: S608 - of constants


@dataclass(frozen=True, slots=True)
class SegmentTruth:
    """The labelled requests of one group, and who was right about those of which it can be said."""

    labelled: int = 0
    requests: int = 0
    primary_correct: int = 0
    shadow_correct: int = 0


def sizes(cohorts: Cohorts) -> dict[Group, int]:
    """How many requests of each group were compared; the rare values of a segment are no group."""
    found: dict[Group, int] = {}
    for block in cohorts.blocks:
        for column, name in enumerate(block.names):
            found |= _of_segment(block, column, name)
    return found


def _of_segment(block: Block, column: int, name: str) -> dict[Group, int]:
    requests = np.bincount(block.places[:, column], block.counts[:, _COMPARED], minlength=NONE + 1)
    values = {(name, value): int(requests[place]) for place, value in enumerate(block.values[column])}
    return {group: size for group, size in (values | {(name, None): int(requests[NONE])}).items() if size}


def load_segments(lake: OpenLake, groups: Mapping[Group, int]) -> None:
    """Hold the labelled requests by the values of their segments."""
    named = [group for group in groups if group[1] is not None]
    lake.rows(_SHOWN, {"segments": [name for name, _ in named], "values": [value for _, value in named]})
    lake.rows(_LABELLED)


def truth_by_segment(lake: OpenLake, groups: Mapping[Group, int], name: str) -> dict[Group, SegmentTruth]:
    """The labels of one outcome, in these groups; what the values do not add up to has none."""
    found: dict[Group, SegmentTruth] = {
        (segment, value): SegmentTruth(*row) for segment, value, *row in lake.rows(_BY_VALUE, {"name": name})
    }
    [whole] = lake.rows(_WHOLE, {"name": name})
    valued = {segment: row for segment, *row in lake.rows(_WITH_A_VALUE, {"name": name})}
    for segment in {segment for segment, value in groups if value is None}:
        with_a_value = valued.get(segment, [0] * len(whole))
        found[segment, None] = SegmentTruth(*(a - b for a, b in zip(whole, with_a_value, strict=True)))
    return found


def coverage(
    truth: Mapping[Group, SegmentTruth], compared: Mapping[Group, int], labelled: int, requests: int
) -> tuple[CoverageGroup, ...]:
    """How many requests of each group have a label, against the rest; the least covered first."""
    counts = {group: (truth.get(group, SegmentTruth()).labelled, size) for group, size in compared.items()}
    p_values = [
        two_proportion_p(part, size, labelled - part, requests - size) for part, size in counts.values()
    ]
    found = [
        CoverageGroup(segment=segment, value=value, labelled=rate_of(*count), p_value=p)
        for ((segment, value), count), p in zip(counts.items(), holm(p_values).tolist(), strict=True)
    ]
    return tuple(sorted(found, key=_least_covered))


def _least_covered(each: CoverageGroup) -> tuple[float, int, str, str]:
    return each.labelled.value or 0.0, -each.labelled.whole, each.segment, each.value or ""


def reweighted(
    truth: Mapping[Group, SegmentTruth], compared: Mapping[Group, int], whole: Correctness, requests: int
) -> tuple[Reweighted, ...]:
    """Both models' correctness if labels had come for each segment's values as requests did.

    What chance a label has may differ from group to group; within one it is taken to be the same for all.
    """
    by_segment: dict[str, list[tuple[int, SegmentTruth]]] = defaultdict(list)
    for (segment, value), size in compared.items():
        by_segment[segment].append((size, truth.get((segment, value), SegmentTruth())))
    found = [
        _weighted(segment, groups, requests)
        for segment, groups in by_segment.items()
        if sum(each.requests > 0 for _, each in groups) > 1
    ]
    plain = whole.difference or 0.0
    return tuple(sorted(found, key=lambda each: (-abs(each.difference - plain), each.segment)))


def _weighted(segment: str, groups: list[tuple[int, SegmentTruth]], whole: int) -> Reweighted:
    reached = [(size, each) for size, each in groups if each.requests]
    weight = sum(size for size, _ in reached)
    primary = sum(size * each.primary_correct / each.requests for size, each in reached) / weight
    shadow = sum(size * each.shadow_correct / each.requests for size, each in reached) / weight
    return Reweighted(
        segment=segment,
        primary=primary,
        shadow=shadow,
        difference=shadow - primary,
        reached=weight / whole,
    )
