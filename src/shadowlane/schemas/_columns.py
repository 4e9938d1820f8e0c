"""The columnar codec: a batch of messages to Arrow columns and back, with pyruhvro.

The decoder of a batch reads past what it should: it ignores trailing bytes. So each body gets a tail,
one more `long` at its end with a value drawn at random in this process, and the schema one more field.
A body that is cut or too long yields another value there, or none.

Nor is a batch of messages of one version, which most batches are, unframed one by one: read as Avro, the
ten bytes of the framing are a `long` and a `double`, two more fields at the start of the schema.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from typing import Any, Generic

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyruhvro
from fastavro import schemaless_writer

from shadowlane.errors import CodecError, CorruptMessageError, Place
from shadowlane.schemas._codec import Codec, SchemaLookup
from shadowlane.schemas._contracts import contract
from shadowlane.schemas._events import Event, EventT

_TAIL_FIELD, _MARK_FIELD, _PRINT_FIELD = "shadowlane_tail", "shadowlane_mark", "shadowlane_print"
_FINGERPRINT = 8
#: The first two bytes of the framing, C3 01, as Avro reads a long.
_MARK = -98
_TAIL = 2**61 + secrets.randbelow(2**61)
_TIME = pa.timestamp("us", tz="UTC")
_MICROSECOND = 1_000_000
_EARLIEST = int(datetime(1, 1, 1, tzinfo=UTC).timestamp()) * _MICROSECOND
_LATEST = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()) * _MICROSECOND + _MICROSECOND - 1


@dataclass(frozen=True, slots=True)
class Reject:
    """A message of a batch that is not the event it should be, and where it stood in the batch."""

    index: int
    error: CodecError


@dataclass(frozen=True, slots=True)
class Decoded:
    """The good messages of a batch as columns, which messages those were, and the bad ones."""

    batch: pa.RecordBatch
    kept: Sequence[int]
    rejects: Sequence[Reject]


class ColumnCodec(Generic[EventT]):
    """Encodes and decodes one kind of event, a batch at a time."""

    def __init__(
        self, event: type[EventT], *, lookup: SchemaLookup | None = None, header: bytes | None = None
    ) -> None:
        self.schema = arrow_schema(event)
        self._one = Codec(event, lookup=lookup)
        self._header = header or self._one.contract.header
        self._text = self._one.contract.text
        self._tailed = _tailed(self._text)
        self._framed = _framed(self._tailed)
        self._fingerprint = np.frombuffer(self._one.contract.header[-_FINGERPRINT:], np.int64)[0]
        self._tail = _encode_long(_TAIL)

    def encode(self, batch: pa.RecordBatch) -> list[bytes]:
        """Each row as framed bytes. The batch has the columns of `schema`."""
        if batch.num_rows == 0:
            return []
        (encoded,) = pyruhvro.serialize_record_batch(batch, self._text, 1)
        header = self._header
        return [header + body for body in encoded.to_pylist()]

    def decode(
        self, messages: Sequence[bytes | None], place: Callable[[int], Place] | None = None
    ) -> Decoded:
        """Decode what can be decoded; return the rest apart, each with its reason and place."""
        alike = self._decode_alike(messages) if messages else None
        if alike is not None:
            return Decoded(batch=alike, kept=range(len(messages)), rejects=[])
        rejects: list[Reject] = []
        bodies = self._bodies(messages, place, rejects)
        kept = [index for index, body in enumerate(bodies) if body is not None]
        batches = self._decode_bodies(messages, bodies, kept, place, rejects)
        bad = {reject.index for reject in rejects}
        return Decoded(
            batch=_combine(batches, self.schema),
            kept=[index for index in kept if index not in bad] if bad else kept,
            rejects=sorted(rejects, key=lambda reject: reject.index),
        )

    def _decode_alike(self, messages: Sequence[bytes | None]) -> pa.RecordBatch | None:
        """All of them at once, if each is a good message of this version; None: find out which is not."""
        tail = self._tail
        try:
            framed = [message + tail for message in messages]  # type: ignore[operator] # None: the except
            marks, prints, *columns = self._decode_all(framed, self._framed).columns
            found = prints.to_numpy().view(np.int64)
            is_ours = (marks.to_numpy() == _MARK).all() and (found == self._fingerprint).all()
            return self._typed(columns) if is_ours else None
        except (TypeError, _UndecodableError):
            return None

    def _bodies(
        self,
        messages: Sequence[bytes | None],
        place: Callable[[int], Place] | None,
        rejects: list[Reject],
    ) -> list[bytes | None]:
        """Each body with its tail; None where a message was rejected."""
        header, size, tail = self._one.contract.header, len(self._one.contract.header), self._tail
        bodies: list[bytes | None] = []
        for index, message in enumerate(messages):
            if message is not None and message[:size] == header:
                bodies.append(message[size:] + tail)
                continue
            try:
                bodies.append(self._one.body(message, place and place(index)) + tail)
            except CodecError as error:
                rejects.append(Reject(index, _bare(error)))
                bodies.append(None)
        return bodies

    def _decode_bodies(
        self,
        messages: Sequence[bytes | None],
        bodies: list[bytes | None],
        indices: list[int],
        place: Callable[[int], Place] | None,
        rejects: list[Reject],
    ) -> list[pa.RecordBatch]:
        """Decode these together; where that fails, halve until the bad ones stand alone."""
        if not indices:
            return []
        try:
            batch = self._decode_all([bodies[index] for index in indices], self._tailed)
            return [self._typed(batch.columns)]
        except _UndecodableError as failure:
            if len(indices) == 1:
                (index,) = indices
                rejects.append(Reject(index, self._reason(messages[index], failure, place and place(index))))
                return []
        middle = len(indices) // 2
        return [
            batch
            for half in (indices[:middle], indices[middle:])
            for batch in self._decode_bodies(messages, bodies, half, place, rejects)
        ]

    def _decode_all(self, bodies: Sequence[bytes | None], schema: str) -> pa.RecordBatch:
        """The columns of these bodies without their tails."""
        try:
            batch = pyruhvro.deserialize_array(bodies, schema)
            batch.validate(full=True)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a native decoder may panic, and a panic is no Exception
            raise _UndecodableError(str(error)) from error
        tail = batch.num_columns - 1
        if not (batch.column(tail).to_numpy() == _TAIL).all():
            raise _UndecodableError("too short or too long")
        return batch.select(range(tail))

    def _typed(self, columns: list[pa.Array]) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays(list(map(_as_type, columns, self.schema.types)), schema=self.schema)

    def _reason(self, message: bytes | None, failure: Exception, place: Place | None) -> CodecError:
        """Why a single message cannot be decoded, in the words of the one-at-a-time codec."""
        try:
            self._one.decode(message, place)
        except CodecError as error:
            return _bare(error)
        return CorruptMessageError(f"not a {self._one.contract.name}: {failure}", place)


def _bare(error: CodecError) -> CodecError:
    """The error without where it came from: frames that know of it, which it would know, are a cycle."""
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error


class _UndecodableError(Exception):
    """Somewhere in these bodies is one that cannot be decoded."""


def arrow_schema(event: type[Event]) -> pa.Schema:
    """The columns of an event: times in UTC, nothing else added to what Avro says."""
    return _derive(contract(event).text)


@cache
def _derive(text: str) -> pa.Schema:
    derived = pyruhvro.avro_to_arrow_schema(text)
    return pa.schema([pa.field(each.name, _type_of(each.type), nullable=each.nullable) for each in derived])


def _type_of(kind: pa.DataType) -> pa.DataType:
    return _TIME if pa.types.is_timestamp(kind) else kind


def _time(column: pa.Array) -> pa.Array:
    """Microseconds as UTC times; outside the years 1 to 9999 nobody else can read them."""
    micros = column.cast(pa.int64())
    bounds = pc.min_max(micros)
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    if low is not None and (low < _EARLIEST or high > _LATEST):
        raise _UndecodableError("a time outside the years 1 to 9999")
    return micros.cast(_TIME)


def _as_type(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        return _time(column)
    try:
        return column if column.type == kind else column.cast(kind)
    except pa.ArrowInvalid as error:
        raise _UndecodableError(str(error)) from error


def _combine(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    if not batches:
        return pa.RecordBatch.from_pylist([], schema=schema)
    (combined,) = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return combined


def _tailed(text: str) -> str:
    """The schema to decode with: a tail, and each int as the long that its bytes can hold.

    An int of more than 32 bits would come back as another number, without a word.
    """
    schema: dict[str, Any] = json.loads(text)
    for field in schema["fields"]:
        field["type"] = "long" if field["type"] == "int" else field["type"]
    schema["fields"].append({"name": _TAIL_FIELD, "type": "long"})
    return json.dumps(schema)


def _framed(text: str) -> str:
    """The schema to decode whole messages with, framing and all."""
    schema: dict[str, Any] = json.loads(text)
    marks = [{"name": _MARK_FIELD, "type": "long"}, {"name": _PRINT_FIELD, "type": "double"}]
    schema["fields"] = marks + schema["fields"]
    return json.dumps(schema)


def _encode_long(value: int) -> bytes:
    out = BytesIO()
    schemaless_writer(out, "long", value)
    return out.getvalue()
