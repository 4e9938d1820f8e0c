"""A segment or a feature that was asked for by name: all its figures, whatever stands out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.report._by_feature import BY_VALUE, Split, by_feature
from shadowlane.aggregator.report._cohorts import (
    COMPARED,
    COUNTS,
    ERRORED,
    JUDGED,
    MOST_VALUES,
    PLACES,
    Cohorts,
    Tally,
)
from shadowlane.aggregator.statistics import jensen_shannon
from shadowlane.errors import SettingsError
from shadowlane.lake import OpenLake
from shadowlane.visible import visible

#: How a feature is asked for, to tell it from a segment.
FEATURE = "feature:"

_LISTED = 20

_TOP = """
SELECT value, count(*) OVER () FROM (
  SELECT {value} AS value FROM {compared} UNION ALL SELECT {value} FROM {errored}
) WHERE value IS NOT NULL GROUP BY value ORDER BY count(*) DESC, value LIMIT $most
"""
# As the report's own percentiles: of requests that the shadow answered alone and warm.
_USABLE = "latency_basis = 'single' AND isfinite({side}_latency_ms) AND {side}_latency_ms >= 0"
_QUANTILES = ", ".join(
    f"quantile_cont({side}_latency_ms, [0.5, 0.99]) FILTER ({_USABLE.format(side=side)})"
    for side in ("primary", "shadow")
)
_COUNTED = (
    "SELECT place, [{counts}]::DOUBLE[]{more} FROM (SELECT *, {place} AS place FROM {source}) GROUP BY place"
)
_SCORES = """
SELECT place, primary_score, shadow_score FROM (SELECT *, ({place})::UTINYINT AS place FROM {source})
WHERE primary_score IS NOT NULL OR shadow_score IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Part:
    """The figures of the requests of one value."""

    tally: Tally
    primary_ms: tuple[float, float] | None  # p50 and p99
    shadow_ms: tuple[float, float] | None
    distance: float | None


@dataclass(frozen=True, slots=True)
class Asked:
    """All values of a segment or feature; by place, where OTHER and NONE are what they are in cohorts."""

    name: str
    values: tuple[str, ...]
    variety: int | None
    parts: Mapping[int, Part]
    note: str = ""


def asked(lake: OpenLake, name: str, cohorts: Cohorts, edges: tuple[float, ...]) -> Asked:
    """The figures by a segment, or by a feature as `feature:NAME`.

    Raises:
        SettingsError: no request has it; or what is kept of it would mislead.
    """
    if name.startswith(FEATURE):
        return _asked(lake, name, by_feature(lake, name.removeprefix(FEATURE)), edges, has_outcomes=False)
    values, variety = _values_of(lake, name, cohorts)
    place = BY_VALUE.format(value="segments[$name]")
    split = Split("compared", "errored", place, {"name": name, "values": [*values]}, values, variety)
    return _asked(lake, name, split, edges, has_outcomes=cohorts.outcome is not None)


def _values_of(lake: OpenLake, name: str, cohorts: Cohorts) -> tuple[tuple[str, ...], int | None]:
    if cohorts.sampled is None and name in cohorts.names:
        [block] = cohorts.blocks
        return block.values[block.names.index(name)], cohorts.variety[name]
    statement = _TOP.format(value="segments[$name]", compared="compared", errored="errored")
    rows = lake.rows(statement, {"name": name, "most": MOST_VALUES})
    if not rows and whole_requests(cohorts):
        known = ", ".join(visible(each, 40) for each in cohorts.names[:_LISTED])
        raise SettingsError(f"no request has a segment {visible(name)!r}; known are: {known or 'none'}")
    return tuple(value for value, _ in rows), rows[0][1] if rows else 0


def whole_requests(cohorts: Cohorts) -> int:
    """How many requests there are."""
    return int(cohorts.blocks[0].counts[:, 0].sum()) if cohorts.blocks else 0


def _asked(lake: OpenLake, name: str, split: Split, edges: tuple[float, ...], *, has_outcomes: bool) -> Asked:
    counted: dict[int, NDArray[np.float64]] = {}
    latencies: dict[int, tuple[Any, Any]] = {}
    sources = {split.compared: COMPARED, split.errored: ERRORED} | (
        {"outcome": JUDGED} if has_outcomes else {}
    )
    for source, counts in sources.items():
        if source is None:
            continue
        more = f", {_QUANTILES}" if counts is COMPARED else ""
        statement = _COUNTED.format(counts=counts, more=more, place=split.place, source=source)
        for place, row, *quantiles in lake.rows(statement, split.parameters):
            counted[place] = counted.get(place, np.zeros(COUNTS)) + np.array(row, np.float64)
            if quantiles:
                latencies[place] = (quantiles[0], quantiles[1])
    distances = _distances(lake, split, edges) if edges else {}
    parts = {}
    for place, row in counted.items():
        primary, shadow = latencies.get(place, (None, None))
        parts[place] = Part(
            Tally.of(row),
            primary and (primary[0], primary[1]),
            shadow and (shadow[0], shadow[1]),
            distances.get(place),
        )
    return Asked(name, split.labels, split.variety, parts, split.note)


def _distances(lake: OpenLake, split: Split, edges: tuple[float, ...]) -> dict[int, float | None]:
    """How far apart both models' scores are in each group, over the bins of the report."""
    rows = lake.arrays(_SCORES.format(place=split.place, source=split.compared), split.parameters)
    bins = len(edges) - 1
    counts = [_binned(rows[side], rows["place"], edges) for side in ("primary_score", "shadow_score")]
    return {
        int(place): jensen_shannon(*(each[place].tolist() for each in counts))
        for place in np.unique(rows["place"])
        if bins
    }


def _binned(
    scores: NDArray[np.float64], places: NDArray[np.uint8], edges: tuple[float, ...]
) -> NDArray[np.int64]:
    """How many scores of each place lie in each bin; the last one holds its upper edge, too."""
    is_finite = np.isfinite(scores)
    bins = len(edges) - 1
    found = np.searchsorted(edges, scores[is_finite], side="right") - 1
    whole = places[is_finite].astype(np.int64) * bins + np.clip(found, 0, bins - 1)
    return np.bincount(whole, minlength=PLACES * bins).reshape(PLACES, bins)
