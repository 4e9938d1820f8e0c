"""What the lake knows of a model's labels: how many, how sure, how late, and of which of its requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from shadowlane.aggregator.labels._figures import REPEATS
from shadowlane.lake import (
    COMPARISONS,
    ERRORS,
    LABELS,
    LATEST_FIRST,
    LATEST_LAST,
    REQUESTS,
    WITHDRAWN,
    Everything,
    Lake,
    OpenLake,
    read_lake,
)
from shadowlane.schemas import check_name

# A model's labels alone are loaded, so that its name is no part of the key.
_ROW = f"""
CREATE TEMP TABLE row AS
SELECT name, request_id, observed_at, landed_partition, landed_offset, {WITHDRAWN} AS is_withdrawn,
  hash(request_id, name) AS key, hash(label_score, label_label, label_vector, label_ranking) AS value
FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
"""  # noqa: S608 - of constants

_LATEST = f"""
CREATE TEMP TABLE latest AS
SELECT name, request_id, observed_at, is_withdrawn FROM row
QUALIFY row_number() OVER (PARTITION BY key ORDER BY {LATEST_FIRST}) = 1
"""  # noqa: S608 - of constants

_KNOWN = """
{into} SELECT request_id, {compared} AS is_compared, min(event_time) AS event_time
FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
WHERE nullif(request_id, '') IS NOT NULL
GROUP BY ALL
"""
_COMPARED = "($shadow IS NULL OR shadow = $shadow)"

_REQUEST = """
CREATE TEMP TABLE request AS
SELECT request_id, bool_or(is_compared) AS is_compared,
  coalesce(min(event_time) FILTER (is_compared), min(event_time)) AS event_time
FROM known GROUP BY request_id
"""

_ROWS = """
SELECT name, count(*), coalesce(any_value(duplicates), 0), coalesce(any_value(corrections), 0)
FROM row LEFT JOIN ({repeats} GROUP BY name) AS repeat USING (name)
GROUP BY name ORDER BY name
""".replace("{repeats}", REPEATS.format(groups="name,", order=LATEST_LAST))

_LABELLED = """
SELECT latest.name, count(*) FILTER (NOT is_withdrawn), count(*) FILTER (is_withdrawn),
  count(*) FILTER (request.request_id IS NULL),
  count(*) FILTER (is_compared AND NOT is_withdrawn),
  quantile_cont(epoch_us(observed_at) - epoch_us(event_time), [0.5, 0.9, 1.0]) FILTER (NOT is_withdrawn),
  count(*) FILTER (observed_at < event_time AND NOT is_withdrawn)
FROM latest LEFT JOIN request USING (request_id)
GROUP BY latest.name
"""

_DAYS = """
WITH compared AS (SELECT request_id, CAST(event_time AS DATE) AS day FROM request WHERE is_compared),
  whole AS (SELECT day, count(*) AS requests FROM compared GROUP BY day),
  labelled AS (
    SELECT day, count(*) AS requests FROM compared JOIN latest USING (request_id)
    WHERE name = $name AND NOT is_withdrawn GROUP BY day)
SELECT day, whole.requests, coalesce(labelled.requests, 0)
FROM whole LEFT JOIN labelled USING (day) ORDER BY day
"""


@dataclass(frozen=True, slots=True)
class LabelledDay:
    """How many requests of one day (UTC) were compared, and how many of these have a label."""

    day: date | None
    compared: int
    labelled: int


@dataclass(frozen=True, slots=True)
class Lateness:
    """How long after their requests labels were observed, in seconds; of those whose request is known."""

    p50_seconds: float
    p90_seconds: float
    max_seconds: float


@dataclass(frozen=True, slots=True)
class NamedLabels:
    """The labels of one name.

    Attributes:
        rows: Rows of the table.
        requests: Requests that have a label: of several rows for one, the latest counts.
        withdrawn: Requests whose latest row takes the label back.
        duplicates: Rows that say again what the row before them said.
        corrections: Rows that say something else than the row before them.
        unknown_ids: Requests that are in none of comparisons, errors and requests.
        covered: Requests that were compared and have a label.
        before_request: Labels that were observed before the request that they are for.
        days: The compared requests by day.
    """

    name: str
    rows: int
    requests: int
    withdrawn: int
    duplicates: int
    corrections: int
    unknown_ids: int
    covered: int
    before_request: int
    lateness: Lateness | None
    days: tuple[LabelledDay, ...]


@dataclass(frozen=True, slots=True)
class LabelsStatus:
    """A model's labels; `compared` are its requests that were compared, with this shadow if one is named."""

    model: str
    shadow: str | None
    compared: int
    names: tuple[NamedLabels, ...]


def labels_status(
    lake: Lake, model: str | None = None, shadow: str | None = None
) -> tuple[LabelsStatus, ...]:
    """The labels of a model, or of each model that has some.

    Raises:
        LakeError: the lake cannot be read.
    """
    if shadow is not None:
        check_name("shadow", shadow)
    models = [model] if model else read_lake(lake, Everything(), (LABELS,), _models)
    tables = (LABELS, COMPARISONS, ERRORS, REQUESTS)
    return tuple(read_lake(lake, Everything(each), tables, partial(_status, each, shadow)) for each in models)


def _models(tables: OpenLake) -> list[str]:
    return sorted(tables.tables[LABELS.name].by_model)


def _status(model: str, shadow: str | None, tables: OpenLake) -> LabelsStatus:
    tables.load(LABELS.name, _ROW, {})
    tables.rows(_LATEST)
    known = _KNOWN.format(into="CREATE TEMP TABLE known AS", compared=_COMPARED)
    tables.load(COMPARISONS.name, known, {"shadow": shadow})
    for spec in (ERRORS, REQUESTS):
        tables.load(spec.name, _KNOWN.format(into="INSERT INTO known", compared="false"), {})
    tables.rows(_REQUEST)
    [(compared,)] = tables.rows("SELECT count(*) FROM request WHERE is_compared")
    labelled = {name: row for name, *row in tables.rows(_LABELLED)}
    names = tuple(_named(row, labelled[row[0]], tables) for row in tables.rows(_ROWS))
    return LabelsStatus(model, shadow, compared, names)


def _named(rows: Sequence[Any], labelled: Sequence[Any], tables: OpenLake) -> NamedLabels:
    name, count, duplicates, corrections = rows
    requests, withdrawn, unknown, covered, lateness, before = labelled
    return NamedLabels(
        name=name,
        rows=count,
        requests=requests,
        withdrawn=withdrawn,
        duplicates=duplicates,
        corrections=corrections,
        unknown_ids=unknown,
        covered=covered,
        before_request=before,
        lateness=lateness and Lateness(*(each / 1e6 for each in lateness)),
        days=tuple(LabelledDay(*day) for day in tables.rows(_DAYS, {"name": name})),
    )
