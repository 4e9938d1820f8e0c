"""The errors in clusters: requests that failed at one stage, by one type and with one message."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shadowlane.aggregator._message_shape import LONGEST_SHAPE, shape_sql
from shadowlane.aggregator.report._rates import rate_of
from shadowlane.aggregator.report._shared import error_rules
from shadowlane.aggregator.report._shared_sample import NO_FEATURES
from shadowlane.aggregator.report._shared_sql import MAPS
from shadowlane.aggregator.report.figures import ErrorCluster, Rules
from shadowlane.lake import OpenLake
from shadowlane.visible import visible

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLUSTERS = 20
_WITH_RULES = 10
#: So many quoted words of a message are sought among the features: each takes a pass.
_WORDS = 3

# A KeyError says no more than the key that it quotes: few keys are told apart, many are one cluster.
_SHAPED = f"""
CREATE OR REPLACE TEMP TABLE shaped AS
WITH said AS (
  SELECT *, left(message, {2 * LONGEST_SHAPE}) AS text FROM errored
), shape AS (
  SELECT * EXCLUDE (text, message), {shape_sql("text")} AS general,
    {shape_sql("text", keep_quoted=True)} AS particular
  FROM said
), alike AS (
  SELECT stage, error_type, general, count(DISTINCT particular) AS kinds, count(*) AS requests
  FROM shape GROUP BY ALL
)
SELECT request, event_time, stage, error_type, segments, missing_features, model_version, shadow_version,
  source_topic, source_partition, source_offset,
  CASE WHEN kinds = 1 OR (kinds <= 5 AND requests >= 10 * kinds) THEN particular ELSE general END AS shape
FROM shape JOIN alike USING (stage, error_type, general)
"""  # noqa: S608 - of constants

_CLUSTERED = """
CREATE OR REPLACE TEMP TABLE clustered AS
WITH ranked AS (
  SELECT stage, error_type, shape,
    row_number() OVER (ORDER BY count(*) DESC, stage, error_type, shape) AS place
  FROM shaped GROUP BY stage, error_type, shape
)
SELECT shaped.*, place, CASE WHEN place <= $with_rules THEN place ELSE -1 END::INTEGER AS cluster
FROM shaped JOIN ranked USING (stage, error_type, shape)
"""

_LISTED = """
SELECT stage, error_type, shape, count(*), epoch_us(min(event_time)), epoch_us(max(event_time)),
  list(request ORDER BY event_time, request) FILTER (seat <= 3)
FROM (
  SELECT *, row_number() OVER (PARTITION BY place ORDER BY event_time, request) AS seat FROM clustered
)
WHERE place <= $clusters GROUP BY place, stage, error_type, shape ORDER BY place
"""


_HAS_IT = "len(map_extract(features.{}, $name)) > 0"
_CARRIED = f"""
SELECT 1 FROM compared
WHERE features.missing IS NOT NULL AND (list_contains(features.missing, $name) OR
  {" OR ".join(map(_HAS_IT.format, MAPS))})
LIMIT 1
"""  # noqa: S608 - of constants
_WORD = re.compile(r"'([^'…]+)'|\"([^\"…]+)\"")


def error_clusters(lake: OpenLake, requests: int, *, with_rules: bool = True) -> tuple[ErrorCluster, ...]:
    """The largest clusters of errors, of so many requests, and what the requests of each share."""
    lake.rows(_SHAPED)
    lake.rows(_CLUSTERED, {"with_rules": _WITH_RULES})
    rows = lake.rows(_LISTED, {"clusters": _CLUSTERS})
    sought = min(len(rows), _WITH_RULES) if with_rules else 0
    rules: Sequence[Rules | None] = error_rules(lake, sought) if sought else ()
    return tuple(
        _cluster(row, requests, _hinted(lake, row[2], rules[place]) if place < len(rules) else None)
        for place, row in enumerate(rows)
    )


def _hinted(lake: OpenLake, shape: str, rules: Rules | None) -> Rules | None:
    """Where features could not be set side by side: whether the message names one, as a KeyError does."""
    if rules is None or rules.rules or NO_FEATURES not in rules.note:
        return rules
    words = [first or second for first, second in _WORD.findall(shape)][:_WORDS]
    named = next((word for word in words if lake.rows(_CARRIED, {"name": word})), None)
    if named is None:
        return rules
    said = f"The message names {visible(named)}, a feature that compared requests carry."
    return replace(rules, note=f"{said} {rules.note}")


def _cluster(row: Sequence[Any], requests: int, rules: Rules | None) -> ErrorCluster:
    stage, error_type, shape, failed, first, last, examples = row
    return ErrorCluster(
        stage=stage,
        error_type=error_type,
        shape=shape,
        rate=rate_of(failed, requests),
        first_seen=_moment(first),
        last_seen=_moment(last),
        examples=tuple(examples),
        rules=rules,
    )


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
