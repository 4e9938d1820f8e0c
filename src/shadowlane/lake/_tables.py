"""The lake's tables: their names, events and columns, flat and in words that no engine has reserved.

A table's columns are its event's, with each prediction spread over four columns
(`primary_score`, `primary_label`, …), the place where the event itself was read
(`landed_partition`, `landed_offset`), and the partition columns `model` and `date` at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa

from shadowlane.schemas import (
    Event,
    LedgerEntry,
    ProductionLabel,
    ProductionRequest,
    ShadowComparison,
    ShadowError,
)
from shadowlane.schemas.columns import arrow_schema

PARTITION_COLUMNS = ("model", "date")

#: Which prefix a prediction's four columns get.
PREDICTIONS: Mapping[str, str] = MappingProxyType(
    {
        "prediction": "primary",
        "primary_prediction": "primary",
        "shadow_prediction": "shadow",
        "label": "label",
    }
)


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table: its columns, those that its folders are named after, and the order of a file's rows."""

    name: str
    schema: pa.Schema
    partition_by: tuple[str, ...]
    sorted_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EventTable(TableSpec):
    """A table of one kind of event, dated by the first of these times that a row knows."""

    event: type[Event]
    dated_by: tuple[str, ...]


def _event_schema(event: type[Event], *more: pa.Field) -> pa.Schema:
    columns = [each for field in arrow_schema(event) for each in _spread(field)]
    return pa.schema(
        [
            *(column for column in columns if column.name not in PARTITION_COLUMNS),
            *more,
            pa.field("landed_partition", pa.int32()),
            pa.field("landed_offset", pa.int64()),
            pa.field("model", pa.string()),
            pa.field("date", pa.date32()),
        ]
    )


def _spread(field: pa.Field) -> list[pa.Field]:
    """A prediction becomes four columns; anything else stays, nullable, as any engine writes it."""
    prefix = PREDICTIONS.get(field.name)
    if prefix is None:
        return [field.with_nullable(True)]
    return [pa.field(f"{prefix}_{part.name}", part.type) for part in field.type]


def _of(name: str, event: type[Event], *dated_by: str, more: Sequence[pa.Field] = ()) -> EventTable:
    order = (dated_by[0], "landed_partition", "landed_offset")
    return EventTable(name, _event_schema(event, *more), PARTITION_COLUMNS, order, event, dated_by)


COMPARISONS = _of("comparisons", ShadowComparison, "event_time")
ERRORS = _of("errors", ShadowError, "event_time", "failed_at")
LABELS = _of("labels", ProductionLabel, "observed_at")
LEDGER = _of("ledger", LedgerEntry, "recorded_at")
#: The archive, for windows older than what Kafka keeps; an aggregator fills it where it is asked to.
#: From a row the message can be made again: so it says which topic it lay in, and tells a request without
#: a prediction from one whose prediction says nothing.
REQUESTS = _of(
    "requests",
    ProductionRequest,
    "event_time",
    more=[pa.field("has_prediction", pa.bool_()), pa.field("landed_topic", pa.string())],
)

#: Messages on the topics above that are not the event they should be, each with its place and bytes.
DEAD_LETTERS = TableSpec(
    "dead_letters",
    pa.schema(
        [
            pa.field("topic", pa.string()),
            pa.field("landed_partition", pa.int32()),
            pa.field("landed_offset", pa.int64()),
            pa.field("error_type", pa.string()),
            pa.field("message", pa.string()),
            pa.field("raw", pa.string()),
            pa.field("landed_at", pa.timestamp("us", tz="UTC")),
            pa.field("date", pa.date32()),
        ]
    ),
    ("date",),
    ("topic", "landed_partition", "landed_offset"),
)

#: What the gate said, and who set it aside: a row a decision, with its record as it was written.
DECISIONS = TableSpec(
    "decisions",
    pa.schema(
        [
            pa.field("decision_id", pa.string()),
            pa.field("decided_at", pa.timestamp("us", tz="UTC")),
            pa.field("kind", pa.string()),
            pa.field("shadow", pa.string()),
            pa.field("run", pa.string()),
            pa.field("verdict", pa.string()),
            pa.field("overrides", pa.string()),
            pa.field("decided_by", pa.string()),
            pa.field("reason", pa.string()),
            pa.field("policy_digest", pa.string()),
            pa.field("software_version", pa.string()),
            pa.field("record", pa.string()),
            pa.field("record_sha256", pa.string()),
            pa.field("model", pa.string()),
            pa.field("date", pa.date32()),
        ]
    ),
    PARTITION_COLUMNS,
    ("decided_at", "decision_id"),
)

EVENT_TABLES = (COMPARISONS, ERRORS, LABELS, LEDGER, REQUESTS)
TABLES: tuple[TableSpec, ...] = (*EVENT_TABLES, DEAD_LETTERS, DECISIONS)
