"""From rows of the archive to the messages that they were, byte for byte what the worker's loop expects."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shadowlane.lake import PREDICTIONS
from shadowlane.replay_worker._message import ArchivedMessage
from shadowlane.schemas import ProductionRequest
from shadowlane.schemas.columns import ColumnCodec

_CODEC = ColumnCodec(ProductionRequest)
_PREDICTION = "prediction"
_PREFIX = PREDICTIONS[_PREDICTION]
#: What a message is made of, beside the model, which is the folder's name.
COLUMNS = [
    *(name for name in _CODEC.schema.names if name not in (_PREDICTION, "model")),
    *(f"{_PREFIX}_{part.name}" for part in _CODEC.schema.field(_PREDICTION).type),
    "has_prediction",
    "landed_topic",
    "landed_partition",
    "landed_offset",
]


def messages(rows: pa.Table, model: str) -> list[ArchivedMessage]:
    """The messages of a model's rows."""
    batch = requests(rows, model)
    ids = (batch.column(name).to_pylist() for name in ("entity_id", "request_id"))
    keys = [entity or request for entity, request in zip(*ids, strict=True)]
    # 0 is "now" to librdkafka, and there is no time before Kafka's.
    times = pc.max_element_wise(pc.divide(batch.column("event_time").cast(pa.int64()), 1000), 1)
    columns = (
        rows.column(name).to_pylist() for name in ("landed_topic", "landed_partition", "landed_offset")
    )
    return list(map(ArchivedMessage, *columns, keys, times.to_pylist(), _CODEC.encode(batch)))


def requests(rows: pa.Table, model: str) -> pa.RecordBatch:
    """A model's rows as the columns of its requests."""
    count = rows.num_rows
    columns = []
    for field in _CODEC.schema:
        if field.name == "model":
            columns.append(pa.repeat(pa.scalar(model, pa.string()), count))
        elif field.name == _PREDICTION:
            parts = [_whole(rows.column(f"{_PREFIX}_{part.name}"), part.type) for part in field.type]
            given = _whole(rows.column("has_prediction"), pa.bool_())
            columns.append(pa.StructArray.from_arrays(parts, fields=list(field.type), mask=pc.invert(given)))
        else:
            columns.append(_whole(rows.column(field.name), field.type))
    return pa.RecordBatch.from_arrays(columns, schema=_CODEC.schema)


def _whole(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    """A column in one piece, of a type that differs at most in which of its parts may be null."""
    return _as(column.combine_chunks(), kind)


def _as(array: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if array.type == kind:
        return array
    if pa.types.is_struct(kind):
        parts = [_as(part, field.type) for part, field in zip(array.flatten(), kind, strict=True)]
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=array.is_null())
    return array.cast(kind)
