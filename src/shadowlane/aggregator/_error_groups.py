"""What goes wrong, in groups: the errors of the lake, or of the topic, by what was said.

Of a request's errors the last one counts, as in the report. Messages that differ only in what they name
(numbers, ids, quoted words) are one message.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import duckdb
import pyarrow as pa

from shadowlane.aggregator._message_shape import LONGEST_SHAPE, shape_sql
from shadowlane.errors import Place
from shadowlane.kafka import TopicNames, read_to_end
from shadowlane.lake import COMPARISONS, ERRORS, Everything, Lake, OpenLake, read_lake
from shadowlane.schemas import ShadowError
from shadowlane.schemas.columns import ColumnCodec, arrow_schema
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = (
    *("model", "shadow", "run", "stage", "error_type", "message", "request_id", "failed_at"),
    *("source_topic", "source_partition", "source_offset"),
)

# A null model has a folder of its own; the names of models need no escape in a path.
_FOLDER = r"regexp_extract(filename, '[/\\]model=([^/\\]+)[/\\]', 1)"
_MODEL = f"CASE WHEN {_FOLDER} NOT IN ('', '__HIVE_DEFAULT_PARTITION__') THEN {_FOLDER} END"

_ERROR = f"""
CREATE TEMP TABLE error AS
SELECT {_MODEL} AS model, shadow, run, stage, error_type, message, request_id, failed_at,
  source_topic, source_partition, source_offset
FROM read_parquet($files, hive_partitioning = false, union_by_name = true, filename = true)
"""  # noqa: S608 - of constants

_COMPARED = f"""
CREATE TEMP TABLE compared AS
SELECT DISTINCT {_MODEL} AS model, shadow, run, request_id, source_topic, source_partition, source_offset
FROM read_parquet($files, hive_partitioning = false, union_by_name = true, filename = true) AS row
WHERE EXISTS (
  FROM error WHERE error.source_topic = row.source_topic
    AND error.source_partition = row.source_partition AND error.source_offset = row.source_offset)
"""  # noqa: S608 - of constants

_LAST = """
CREATE TEMP TABLE last AS
SELECT coalesce(model, '') AS model, shadow, run,
  coalesce(stage, 'unknown') AS stage, coalesce(error_type, 'unknown') AS error_type,
  left(coalesce(message, ''), $longest) AS message,
  request_id, failed_at, source_topic, source_partition, source_offset
FROM error
WHERE ($model IS NULL OR model = $model) AND ($shadow IS NULL OR shadow = $shadow)
  AND ($run IS NULL OR run = $run)
QUALIFY row_number() OVER (
  PARTITION BY model, shadow, run, source_topic, source_partition, source_offset, request_id
  ORDER BY failed_at DESC
) = 1
"""

_GROUPS = """
SELECT model, shadow, run, stage, error_type, {shape} AS shape,
  count(*), count(*) FILTER (EXISTS (
    FROM compared
    WHERE compared.model = last.model AND compared.shadow = last.shadow AND compared.run = last.run
      AND compared.source_topic = last.source_topic
      AND compared.source_partition = last.source_partition
      AND compared.source_offset = last.source_offset
      AND (last.request_id IS NULL OR compared.request_id = last.request_id))),
  epoch_us(min(failed_at)), epoch_us(max(failed_at)),
  arg_max([source_topic, source_partition::VARCHAR, source_offset::VARCHAR, request_id], failed_at)
FROM last
WHERE (len($stages) = 0 OR stage IN (SELECT unnest($stages)))
  AND ($since::TIMESTAMPTZ IS NULL OR failed_at >= $since::TIMESTAMPTZ)
GROUP BY ALL
ORDER BY model, shadow, run, count(*) DESC, stage, error_type, shape
"""


@dataclass(frozen=True, slots=True)
class ErrorFilter:
    """Which errors are listed; what is not given does not matter."""

    model: str | None = None
    shadow: str | None = None
    run: str | None = None
    stages: Sequence[str] = ()
    #: Which happened since then.
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Requests of one shadow and run that failed in the same way."""

    model: str
    shadow: str
    run: str
    stage: str
    error_type: str
    #: What was said, without what differs from request to request.
    message: str
    requests: int
    #: Of these: compared later, redriven say. None: only the lake knows.
    compared_since: int | None
    first_seen: datetime
    last_seen: datetime
    #: The latest of them.
    example: Place
    example_request: str | None


def errors_in_lake(lake: Lake, chosen: ErrorFilter) -> tuple[ErrorGroup, ...]:
    """The errors that have landed, the most frequent of each shadow and run first.

    Raises:
        LakeError: the lake cannot be read.
    """

    def read(tables: OpenLake) -> list[tuple[Any, ...]]:
        if tables.versions[ERRORS.name] is None:
            log.warning("the lake %s has no table of errors: nothing has landed there yet", lake)
        tables.load(ERRORS.name, _ERROR, {})
        tables.load(COMPARISONS.name, _COMPARED, {})
        tables.rows(_LAST, _which(chosen))
        return tables.rows(_GROUPS.format(shape=shape_sql("message")), _when(chosen))

    rows = read_lake(lake, Everything(chosen.model), (COMPARISONS, ERRORS), read)
    return tuple(_group(row) for row in rows)


def errors_in_topic(
    kafka: KafkaSettings, chosen: ErrorFilter, stop: Event | None = None
) -> tuple[ErrorGroup, ...]:
    """The same of the errors that the topic holds, landed or not."""
    codec, topic = ColumnCodec(ShadowError), TopicNames(kafka.topic_prefix).errors
    batches = (
        codec.decode([message.value() for message in messages]).batch.select(_COLUMNS)
        for messages in read_to_end(kafka, topic, stop=stop)
    )
    return _groups_of(batches, chosen)


def _groups_of(batches: Iterable[pa.RecordBatch], chosen: ErrorFilter) -> tuple[ErrorGroup, ...]:
    schema = arrow_schema(ShadowError)
    errors = pa.Table.from_batches(batches, pa.schema([schema.field(name) for name in _COLUMNS]))
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("error", errors)
        connection.execute("CREATE TEMP TABLE compared AS SELECT * FROM error WHERE false")
        connection.execute(_LAST, _which(chosen))
        rows = connection.execute(_GROUPS.format(shape=shape_sql("message")), _when(chosen)).fetchall()
    return tuple(_group((*row[:7], None, *row[8:])) for row in rows)


def _which(chosen: ErrorFilter) -> dict[str, Any]:
    return {
        "model": chosen.model,
        "shadow": chosen.shadow,
        "run": chosen.run,
        "longest": 2 * LONGEST_SHAPE,
    }


def _when(chosen: ErrorFilter) -> dict[str, Any]:
    return {"stages": [*chosen.stages], "since": chosen.since}


def _group(row: Sequence[Any]) -> ErrorGroup:
    model, shadow, run, stage, error_type, message, requests, compared_since, first, last, example = row
    topic, partition, offset, request_id = example
    return ErrorGroup(
        model=model,
        shadow=shadow,
        run=run,
        stage=stage,
        error_type=error_type,
        message=message,
        requests=requests,
        compared_since=compared_since,
        first_seen=_EPOCH + timedelta(microseconds=first),
        last_seen=_EPOCH + timedelta(microseconds=last),
        example=Place(topic or "", int(partition or 0), int(offset or 0)),
        example_request=request_id,
    )
