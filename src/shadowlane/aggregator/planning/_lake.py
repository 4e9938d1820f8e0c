"""What the lake says of the real traffic: how much of it there is, how often the models agree, what it takes.

Each request counts as the 1/sampling_rate that it stands for, so what the hooks sampled out is counted too.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any

from shadowlane.aggregator.planning._hours import DAY, HOUR, Hours, hours
from shadowlane.aggregator.planning._inputs import Metric, Segment
from shadowlane.aggregator.planning._words import many, percent
from shadowlane.aggregator.report._known import known_runs
from shadowlane.aggregator.report._load import load
from shadowlane.aggregator.report._scope import Scope
from shadowlane.aggregator.statistics import design_effect
from shadowlane.errors import SettingsError
from shadowlane.lake import COMPARISONS, ERRORS, LABELS, WITHDRAWN, Lake, OpenLake, read_lake
from shadowlane.visible import visible

_SECOND = 1_000_000
#: Segments of a smaller share are not relevant, unless they are named.
MIN_SHARE = 0.01

_RATE = "CASE WHEN sampling_rate > 0 AND sampling_rate <= 1 THEN sampling_rate END"

_TRAFFIC = f"""
CREATE TEMP VIEW traffic AS
SELECT epoch_us(event_time) AS moment, {_RATE} AS rate, true AS was_compared, agreement, segments
FROM compared
UNION ALL SELECT epoch_us(event_time), {_RATE}, false, NULL, segments FROM errored
"""  # noqa: S608 - of constants

_BY_HOUR = f"""
SELECT moment // {HOUR * _SECOND} AS hour, count(*), fsum(1 / coalesce(rate, 1)), min(moment), max(moment),
  coalesce(fsum(1 / coalesce(rate, 1)) FILTER (NOT was_compared), 0),
  coalesce(fsum(1 / coalesce(rate, 1)) FILTER (agreement), 0),
  coalesce(fsum(1 / coalesce(rate, 1)) FILTER (agreement IS NOT NULL), 0)
FROM traffic WHERE moment IS NOT NULL GROUP BY hour ORDER BY hour
"""  # noqa: S608 - of constants

# A segment's rate only enlarges its requests' rate, so the rate for all is the smallest that there is now.
_RATE_NOW = "SELECT min(rate) FROM traffic WHERE moment > $since"

# There may be one for each user, so that only those that matter are read.
_SEGMENTS = """
CREATE TEMP TABLE segment AS
SELECT entry.key || '=' || entry.value AS name, fsum(weight) AS weight,
  min(rate) FILTER (moment > $since) AS rate
FROM (
  SELECT unnest(map_entries(segments)) AS entry, 1 / coalesce(rate, 1) AS weight, rate, moment FROM traffic
)
WHERE entry.key <> '' AND entry.key NOT LIKE '=%' AND entry.value <> '' GROUP BY name
"""
_LARGE = "FROM segment WHERE least(1, weight / $whole) >= $share ORDER BY weight DESC, name"
_NAMED = "FROM segment WHERE name IN (SELECT unnest($names)) ORDER BY weight DESC, name"
_LARGEST = "SELECT name FROM segment ORDER BY weight DESC, name LIMIT 10000"

_TAKES = """
SELECT avg(shadow_cpu_ms) FILTER (isfinite(shadow_cpu_ms)),
  avg(shadow_latency_ms) FILTER (isfinite(shadow_latency_ms))
FROM compared WHERE latency_basis <> 'warmup'
"""

_USERS = """
SELECT count(*) FILTER (agreement) AS parts, count(*) AS wholes
FROM compared WHERE agreement IS NOT NULL GROUP BY coalesce(nullif(entity_id, ''), request) ORDER BY ALL
"""

_ROWS = """
CREATE TEMP TABLE row_count AS
SELECT count(*) AS rows FROM read_parquet($files, hive_partitioning = false)
"""

_LABELLED = f"""
CREATE TEMP TABLE labelled AS
SELECT epoch_us(compared.event_time) AS moment, epoch_us(observed_at) - epoch_us(compared.event_time) AS delay
FROM compared LEFT JOIN (
  SELECT request_id, min(observed_at) AS observed_at
  FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
  WHERE NOT ({WITHDRAWN}) GROUP BY request_id
) label ON label.request_id = compared.request_id
"""  # noqa: S608 - of constants

_DELAY = "SELECT quantile_cont(greatest(delay, 0), 0.95) FROM labelled WHERE delay IS NOT NULL"
_COVERED = "SELECT count(*), count(delay) FROM labelled WHERE moment <= $until"


@dataclass(frozen=True, slots=True)
class Measured:
    """Values for a plan, by their names; what the lake says besides; and what to know of it."""

    values: Mapping[str, Any]
    besides: Mapping[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which segments matter: those named, else those with this share."""

    names: frozenset[str]
    min_share: float


@dataclass(frozen=True, slots=True)
class _Totals:
    rows: int
    weight: float
    errored: float
    agreements: float
    judged: float
    hours: Hours

    @property
    def since(self) -> int:
        """An hour before the last request."""
        return self.hours.last - HOUR * _SECOND


def read_traffic(
    lake: Lake,
    scope: Scope,
    metric: Metric = Metric.agreement,
    named: Collection[str] = (),
    min_share: float = MIN_SHARE,
) -> Measured:
    """What the lake says of a scope's traffic, at one version of each table.

    Args:
        lake: The lake's folder or URL.
        scope: Which requests count.
        metric: The figure whose difference must be found.
        named: The segments that matter; where none is named, all with at least `min_share` of the requests.
        min_share: Segments of a smaller share are left out.

    Raises:
        SettingsError: there is no such request or segment, or too little to tell a rate from.
        DamagedLakeError: a file that a table lists is gone, cut or altered; it says which.
    """
    specs = (COMPARISONS, ERRORS, LABELS)
    wanted = _Wanted(frozenset(named), min_share)
    return read_lake(lake, scope, specs, lambda tables: _measured(tables, scope, metric, wanted))


def _measured(lake: OpenLake, scope: Scope, metric: Metric, wanted: _Wanted) -> Measured:
    load(lake, scope)
    lake.rows(_TRAFFIC)
    totals = _totals(lake, scope)
    [(sampling,)] = lake.rows(_RATE_NOW, {"since": totals.since})
    sampling = sampling or 1.0
    segments, left_out = _segments(lake, totals, wanted, sampling)
    [(cpu_ms, latency_ms)] = lake.rows(_TAKES)
    error_rate = totals.errored / totals.weight
    agreement_rate = totals.agreements / totals.judged if totals.judged else None
    truth = _truth(lake, totals) if metric is Metric.correctness else {}
    found = {
        "requests_per_second": totals.hours.average,
        "peak_factor": totals.hours.peak_factor,
        "sampling": sampling,
        "segments": segments,
        "usable": _usable(totals, metric),
        "design_effect": _design_effect(lake),
        "rate": {Metric.agreement: agreement_rate, Metric.errors: error_rate}.get(metric),
        "discordance": (1 - agreement_rate) or None if agreement_rate is not None else None,
        "cpu_ms": cpu_ms or None,
        "latency_ms": latency_ms or None,
        "comparison_bytes": _comparison_bytes(lake),
        **truth,
    }
    besides = {
        "table_versions": lake.versions,
        "requests": totals.rows,
        "requests_stood_for": totals.weight,
        "first_request": _moment(totals.hours.first),
        "last_request": _moment(totals.hours.last),
        "hours_seen": totals.hours.seen,
        "requests_per_second_by_hour": totals.hours.rates,
        "agreement_rate": agreement_rate,
        "error_rate": error_rate,
        "segments_left_out": left_out,
    }
    values = {name: value for name, value in found.items() if value is not None}
    return Measured(values, besides, _notes(totals, left_out, wanted, values))


def _totals(lake: OpenLake, scope: Scope) -> _Totals:
    rows = lake.rows(_BY_HOUR)
    if not rows:
        known = ", ".join(f"{each.model} with {each.shadow}, run {each.run}" for each in known_runs(lake))
        raise SettingsError(
            f"the lake has no request of {scope.model} with {scope.shadow}, run {scope.run}:"
            f" known are: {visible(known) or 'none'}"
        )
    first, last = min(row[3] for row in rows), max(row[4] for row in rows)
    seen = hours({row[0]: row[2] for row in rows}, first, last)
    if seen is None:
        raise SettingsError(
            f"the requests of {scope.model} with {scope.shadow}, run {scope.run}, were all made at one time,"
            " which tells no rate: give --requests-per-second"
        )
    count, weight = sum(row[1] for row in rows), math.fsum(row[2] for row in rows)
    errored, agreements, judged = (math.fsum(row[place] for row in rows) for place in (5, 6, 7))
    return _Totals(count, weight, errored, agreements, judged, seen)


def _segments(
    lake: OpenLake, totals: _Totals, wanted: _Wanted, sampling: float
) -> tuple[tuple[Segment, ...], int]:
    """The segments that matter, and how many are left out because they are small."""
    lake.rows(_SEGMENTS, {"since": totals.since})
    rows = (
        lake.rows(_NAMED, {"names": sorted(wanted.names)})
        if wanted.names
        else lake.rows(_LARGE, {"whole": totals.weight, "share": wanted.min_share})
    )
    found = tuple(
        Segment(name, min(1.0, weight / totals.weight), rate if rate and rate > sampling else None)
        for name, weight, rate in rows
    )
    if not wanted.names:
        [(every,)] = lake.rows("SELECT count(*) FROM segment")
        return found, every - len(found)
    for name in sorted(wanted.names - {each.name for each in found}):
        known = [each for (each,) in lake.rows(_LARGEST)]
        near = get_close_matches(name, known, n=1) or known[:3]
        hint = ", ".join(visible(each, 40) for each in near) or "none"
        raise SettingsError(f"no request is in a segment {visible(name)!r}; the nearest known: {hint}")
    return found, 0


def _usable(totals: _Totals, metric: Metric) -> float | None:
    """The share of the requests that has an answer to compare; an error is one where errors are counted."""
    if metric is Metric.errors:
        return 1.0
    return totals.judged / totals.weight or None


def _design_effect(lake: OpenLake) -> float | None:
    users = lake.arrays(_USERS)
    effect = design_effect(users["parts"], users["wholes"])
    return None if effect is None else max(1.0, effect)


def _comparison_bytes(lake: OpenLake) -> float | None:
    table = lake.tables[COMPARISONS.name]
    lake.load(COMPARISONS.name, _ROWS, {})
    [(rows,)] = lake.rows("FROM row_count")
    return sum(file.size for file in table.listed) / rows if rows else None


def _truth(lake: OpenLake, totals: _Totals) -> dict[str, float]:
    """How late labels come, and for which share of the requests that are old enough to have one."""
    if not lake.tables[LABELS.name].files:
        return {}
    lake.load(LABELS.name, _LABELLED, {})
    [(delay,)] = lake.rows(_DELAY)
    if delay is None:
        return {}
    [(old, covered)] = lake.rows(_COVERED, {"until": int(totals.hours.last - delay)})
    if not old or not covered:  # labels came for the newest requests only
        [(old, covered)] = lake.rows(_COVERED, {"until": totals.hours.last})
    return {"label_coverage": covered / old, "label_delay_days": delay / _SECOND / DAY}


def _notes(totals: _Totals, left_out: int, wanted: _Wanted, values: Mapping[str, Any]) -> tuple[str, ...]:
    notes = []
    if totals.hours.seen < len(totals.hours.rates):
        notes.append(
            f"only {totals.hours.seen} of 24 hours of the day were seen: the average is theirs,"
            " and the busiest hour is assumed"
        )
    if left_out:
        notes.append(
            f"{many(left_out, 'segment')} with under {percent(wanted.min_share)} of the requests: left out"
        )
    if "cpu_ms" not in values:
        notes.append("no processor time was measured: costs and cores need --cpu-ms or --cost-per-1000")
    return tuple(notes)


def _moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
