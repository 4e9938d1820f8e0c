"""The lake's tables: their names, topics and columns, flat and in words that no engine has reserved.

A table's columns are its event's, with each prediction spread over four columns
(`primary_score`, `primary_label`, …), the place where the event itself was read
(`landed_partition`, `landed_offset`), and the partition columns `model` and `date` at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa

from shadowlane.schemas import (
    Event,
    LedgerEntry,
    ProductionLabel,
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
    """A table: which event lands in it, and by which time its rows are dated (the first that is known)."""

    name: str
    event: type[Event]
    dated_by: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        """The table's columns."""
        columns = [each for field in arrow_schema(self.event) for each in _spread(field)]
        return pa.schema(
            [
                *(column for column in columns if column.name != "model"),
                pa.field("landed_partition", pa.int32()),
                pa.field("landed_offset", pa.int64()),
                pa.field("model", pa.string()),
                pa.field("date", pa.date32()),
            ]
        )


COMPARISONS = TableSpec("comparisons", ShadowComparison, ("event_time",))
ERRORS = TableSpec("errors", ShadowError, ("event_time", "failed_at"))
LABELS = TableSpec("labels", ProductionLabel, ("observed_at",))
LEDGER = TableSpec("ledger", LedgerEntry, ("recorded_at",))
TABLES = (COMPARISONS, ERRORS, LABELS, LEDGER)

#: Messages on the topics above that are not the event they should be, each with its place and bytes.
DEAD_LETTERS = "dead_letters"
DEAD_LETTERS_SCHEMA = pa.schema(
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
)


def _spread(field: pa.Field) -> list[pa.Field]:
    """A prediction becomes four columns; anything else stays, nullable, as any engine writes it."""
    prefix = PREDICTIONS.get(field.name)
    if prefix is None:
        return [field.with_nullable(True)]
    return [pa.field(f"{prefix}_{part.name}", part.type) for part in field.type]
