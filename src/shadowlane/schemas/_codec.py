"""The one-at-a-time codec: an event to framed bytes and back, with fastavro."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Generic, cast

from fastavro import schemaless_reader, schemaless_writer
from fastavro.schema import parse_schema

from shadowlane.errors import CorruptMessageError, Place, UnknownSchemaError
from shadowlane.schemas._contracts import contract
from shadowlane.schemas._events import Event, EventT
from shadowlane.schemas._framing import read_frame
from shadowlane.schemas._plain import not_unicode
from shadowlane.schemas._strict import Strict
from shadowlane.schemas._values import Features, Prediction, SamplingRates

#: From a Schema Registry's id to that schema's text (parsed JSON).
SchemaLookup = Callable[[int], dict[str, object]]

_DATETIMES = {"event_time", "failed_at", "observed_at", "started_at", "recorded_at", "set_at"}
_FEATURES = {"features", "fetched"}
_PREDICTIONS = {"prediction", "primary_prediction", "shadow_prediction", "label"}


@dataclass(frozen=True, slots=True)
class _Writer:
    """A schema that messages were written with."""

    schema: Any
    strict: Strict

    @classmethod
    def of(cls, schema: Any) -> _Writer:
        return cls(schema, Strict(schema))


class Codec(Generic[EventT]):
    """Encodes and decodes one kind of event.

    Args:
        event: The event's class.
        lookup: Where messages may come in the Confluent wire format, what resolves their schema ids;
            it raises KeyError for an id that does not exist.
        header: The frame written before each body; by default single-object encoding.
    """

    def __init__(
        self, event: type[EventT], *, lookup: SchemaLookup | None = None, header: bytes | None = None
    ) -> None:
        self.event = event
        self.contract = contract(event)
        self.header = header or self.contract.header
        self._lookup = lookup
        self._current = _Writer.of(self.contract.schema)
        self._writers: dict[bytes | int, _Writer] = {self.contract.header: self._current}

    def encode(self, event: EventT) -> bytes:
        """The event as framed bytes.

        Raises:
            TypeError, ValueError, OverflowError: a field holds what the schema has no form for; of a
                text that is no Unicode (half of a surrogate pair) the error says where it stands.
        """
        return self.encode_record(to_record(event))

    def encode_record(self, record: dict[str, Any]) -> bytes:
        """The same for a record in the schema's own shape (times may be microseconds)."""
        out = io.BytesIO()
        out.write(self.header)
        try:
            schemaless_writer(out, self.contract.schema, record)
        except UnicodeEncodeError as error:
            raise not_unicode(record, error) from None
        return out.getvalue()

    def decode(self, message: bytes | None, place: Place | None = None) -> EventT:
        """The event in a message.

        Raises:
            ForeignMessageError: the bytes carry no frame of ours.
            UnknownSchemaError: the frame names a schema that nobody here knows.
            CorruptMessageError: the body is cut, too long, or not what its schema says.
        """
        return from_record(self.event, self.decode_record(message, place))

    def decode_record(self, message: bytes | None, place: Place | None = None) -> dict[str, Any]:
        """The same in the schema's own shape."""
        return self._read(self.body(message, place), self._current, place)

    def body(self, message: bytes | None, place: Place | None = None) -> bytes:
        """A message's body, in the current schema: rewritten (slow, and rare) where it has another.

        A body that is in the current schema already is not looked at.
        """
        frame = read_frame(message, place)
        body = cast("bytes", message)[frame.size :]
        writer = self._writer(frame.schema, place)
        if writer is self._current:
            return body
        record = self._read(body, writer, place)
        try:
            return self.encode_record(record)[len(self.header) :]
        except Exception as error:  # a value of the writer's for which our schema has no form
            raise self._corrupt(error, place) from error

    def _read(self, body: bytes, writer: _Writer, place: Place | None) -> dict[str, Any]:
        """Read a body written with one schema, in the shape of the current one."""
        try:
            end = writer.strict.end(body)
            record = schemaless_reader(io.BytesIO(body), writer.schema, self.contract.schema)
        except Exception as error:
            raise self._corrupt(error, place) from error
        if end < len(body):
            raise CorruptMessageError(f"{len(body) - end} bytes too many after a {self.contract.name}", place)
        return cast("dict[str, Any]", record)

    def _corrupt(self, error: Exception, place: Place | None) -> CorruptMessageError:
        what = "cut short" if isinstance(error, EOFError) else str(error) or type(error).__name__
        return CorruptMessageError(f"not a {self.contract.name}: {what}", place)

    def _writer(self, schema: bytes | int, place: Place | None) -> _Writer:
        if schema not in self._writers:
            self._writers[schema] = (
                self._registered(schema, place) if isinstance(schema, int) else self._older(schema, place)
            )
        return self._writers[schema]

    def _older(self, header: bytes, place: Place | None) -> _Writer:
        if header not in self.contract.writers:
            raise UnknownSchemaError(
                f"fingerprint {header[2:].hex()} is no known version of {self.contract.name}", place
            )
        schema = self.contract.writers[header]
        return self._current if schema is self.contract.schema else _Writer.of(schema)

    def _registered(self, schema_id: int, place: Place | None) -> _Writer:
        if self._lookup is None:
            raise UnknownSchemaError(
                f"schema id {schema_id} (Confluent wire format), and no Schema Registry is configured", place
            )
        try:
            raw = self._lookup(schema_id)
        except KeyError as error:
            raise UnknownSchemaError(f"schema id {schema_id}: {error}", place) from error
        try:
            schema = parse_schema(raw)
        except Exception as error:
            raise UnknownSchemaError(f"schema id {schema_id} is no Avro schema: {error}", place) from error
        return self._current if _layout(schema) == _layout(self.contract.schema) else _Writer.of(schema)


def to_record(event: Event) -> dict[str, Any]:
    """An event in the shape that Avro writes."""
    return {name: _plain(getattr(event, name)) for name in event.__slots__}


def from_record(event: type[EventT], record: dict[str, Any]) -> EventT:
    """The event in a record as Avro reads it."""
    return event(**{name: _typed(name, value) for name, value in record.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, (Features, SamplingRates)):
        return {name: getattr(value, name) for name in value.__slots__}
    if isinstance(value, Prediction):
        return {name: _listed(getattr(value, name)) for name in value.__slots__}
    return value


def _listed(value: Any) -> Any:
    """A tuple as a list: in a union, fastavro would take it for a branch's name and a value."""
    return list(value) if isinstance(value, tuple) else value


def _typed(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _DATETIMES:
        return value.astimezone(UTC)
    if name in _FEATURES:
        return Features(**value)
    if name in _PREDICTIONS:
        return Prediction(**value)
    if name == "sampling":
        return SamplingRates(**value)
    return value


_LAYOUT = ("type", "name", "fields", "items", "values", "symbols", "size", "logicalType")


def _layout(schema: Any) -> Any:
    """What of a schema decides how bytes are read: all but docs, defaults and others' annotations."""
    if isinstance(schema, list):
        return [_layout(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    layout = {key: _layout(schema[key]) for key in _LAYOUT if key in schema}
    return layout["type"] if layout.keys() == {"type"} else layout
