"""From a topic's messages to a table's rows: pure, column by column."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from shadowlane.aggregator._gathered import Gathered
from shadowlane.errors import CorruptMessageError, SettingsError
from shadowlane.lake import DEAD_LETTERS, PREDICTIONS, REQUESTS, EventTable
from shadowlane.schemas import check_name
from shadowlane.schemas.columns import ColumnCodec, Decoded, Reject


class Landed(NamedTuple):
    """A table's new rows, and those of the dead letters."""

    rows: pa.Table
    dead_letters: pa.Table


def land(spec: EventTable, codec: ColumnCodec[Any], gathered: Gathered) -> Landed:
    """Decode the messages of one topic into rows; what cannot be decoded becomes dead letters."""
    messages = gathered.in_order()
    decoded = _without_illegal_models(codec.decode(messages.values, messages.place), messages)
    return Landed(_rows(spec, decoded, messages), _dead_letters(decoded.rejects, messages))


def _without_illegal_models(decoded: Decoded, messages: Gathered) -> Decoded:
    """Reject each row whose model cannot be a folder: one such name would stop the whole table."""
    models = decoded.batch.column("model")
    reasons = {name: reason for name in pc.unique(models).to_pylist() if (reason := _objection(name))}
    if not reasons:
        return decoded
    illegal = pc.is_in(models, pa.array(list(reasons), pa.string()))
    names = zip(decoded.kept, models.to_pylist(), strict=True)
    rejects = [
        Reject(index, CorruptMessageError(reasons[name], messages.place(index)))
        for index, name in names
        if name in reasons
    ]
    return Decoded(
        decoded.batch.filter(pc.invert(illegal)),
        [index for index, bad in zip(decoded.kept, illegal.to_pylist(), strict=True) if not bad],
        sorted([*decoded.rejects, *rejects], key=lambda reject: reject.index),
    )


def _objection(model: str | None) -> str | None:
    """Why a model's name cannot be a folder; an error's model may be unknown, and has a folder for that."""
    try:
        if model is not None:
            check_name("model", model)
    except SettingsError as error:
        return str(error)
    return None


def _rows(spec: EventTable, decoded: Decoded, messages: Gathered) -> pa.Table:
    batch = decoded.batch
    columns: dict[str, pa.Array] = {}
    for name in batch.schema.names:
        column = batch.column(name)
        prefix = PREDICTIONS.get(name)
        if prefix is None:
            columns[name] = column
        else:
            parts = zip(column.type, column.flatten(), strict=True)
            columns.update({f"{prefix}_{part.name}": values for part, values in parts})
    columns["landed_partition"] = pa.array(_kept(messages.partitions, decoded), pa.int32())
    columns["landed_offset"] = pa.array(_kept(messages.offsets, decoded), pa.int64())
    columns["date"] = _date(spec, batch)
    if spec is REQUESTS:
        columns["has_prediction"] = batch.column("prediction").is_valid()
        columns["landed_topic"] = pa.repeat(messages.topic, batch.num_rows)
    schema = spec.schema
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _kept(column: list[int], decoded: Decoded) -> list[int]:
    return [column[index] for index in decoded.kept] if decoded.rejects else column


def _date(spec: EventTable, batch: pa.RecordBatch) -> pa.Array:
    """The day (UTC) of the first time that a row knows."""
    times = [batch.column(name) for name in spec.dated_by]
    return pc.coalesce(*times).cast(pa.date32())


def _dead_letters(rejects: Sequence[Reject], messages: Gathered) -> pa.Table:
    now = datetime.now(UTC)
    rows = [
        {
            "topic": messages.topic,
            "landed_partition": messages.partitions[reject.index],
            "landed_offset": messages.offsets[reject.index],
            "error_type": type(reject.error).__name__,
            "message": reject.error.reason,
            "raw": base64.b64encode(messages.values[reject.index] or b"").decode("ascii"),
            "landed_at": now,
            "date": now.date(),
        }
        for reject in rejects
    ]
    return pa.Table.from_pylist(rows, schema=DEAD_LETTERS.schema)
