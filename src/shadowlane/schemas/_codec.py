"""The one-at-a-time codec: an event to framed bytes and back, with fastavro."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC
from typing import Any, Generic, cast

from fastavro import schemaless_reader, schemaless_writer
from fastavro.schema import SchemaParseException, parse_schema

from shadowlane.errors import CorruptMessageError, Place, UnknownSchemaError
from shadowlane.schemas._contracts import contract
from shadowlane.schemas._events import Event, EventT
from shadowlane.schemas._framing import read_frame
from shadowlane.schemas._values import Features, Prediction

#: From a Schema Registry's id to that schema's text (parsed JSON).
SchemaLookup = Callable[[int], dict[str, object]]

_DATETIMES = {"event_time", "failed_at", "observed_at", "started_at", "recorded_at"}
_PREDICTIONS = {"prediction", "primary_prediction", "shadow_prediction", "label"}


class Codec(Generic[EventT]):
    """Encodes and decodes one kind of event.

    Args:
        event: The event's class.
        lookup: Where messages may come in the Confluent wire format, what resolves their schema ids.
        header: The frame written before each body; by default single-object encoding.
    """

    def __init__(
        self, event: type[EventT], *, lookup: SchemaLookup | None = None, header: bytes | None = None
    ) -> None:
        self.event = event
        self.contract = contract(event)
        self.header = header or self.contract.header
        self._lookup = lookup
        self._registered: dict[int, Any] = {}

    def encode(self, event: EventT) -> bytes:
        """The event as framed bytes.

        Raises:
            TypeError, ValueError, OverflowError: a field holds what the schema has no form for.
        """
        return self.encode_record(to_record(event))

    def encode_record(self, record: dict[str, Any]) -> bytes:
        """The same for a record in the schema's own shape (times may be microseconds)."""
        out = io.BytesIO()
        out.write(self.header)
        schemaless_writer(out, self.contract.schema, record)
        return out.getvalue()

    def decode(self, message: bytes | None, place: Place | None = None) -> EventT:
        """The event in a message.

        Raises:
            ForeignMessageError: the bytes carry no frame of ours.
            UnknownSchemaError: the frame names a schema that nobody here knows.
            CorruptMessageError: the body is cut, too long, or not what its schema says.
        """
        record = self.decode_record(message, place)
        try:
            return from_record(self.event, record)
        except (TypeError, KeyError, ValueError) as error:
            raise CorruptMessageError(f"not a {self.contract.name}: {error}", place) from error

    def decode_record(self, message: bytes | None, place: Place | None = None) -> dict[str, Any]:
        """The same in the schema's own shape, read with the reader's schema."""
        frame = read_frame(message, place)
        writer = self._writer(frame.schema, place)
        body = io.BytesIO(cast("bytes", message))
        body.seek(frame.size)
        try:
            record = schemaless_reader(body, writer, self.contract.schema)
        except EOFError as error:
            raise CorruptMessageError(f"not a {self.contract.name}: cut short", place) from error
        except Exception as error:
            what = str(error) or type(error).__name__
            raise CorruptMessageError(f"not a {self.contract.name}: {what}", place) from error
        left = len(cast("bytes", message)) - body.tell()
        if left:
            raise CorruptMessageError(f"{left} bytes too many after a {self.contract.name}", place)
        return cast("dict[str, Any]", record)

    def _writer(self, schema: bytes | int, place: Place | None) -> Any:
        if isinstance(schema, bytes):
            if schema not in self.contract.writers:
                raise UnknownSchemaError(
                    f"fingerprint {schema[2:].hex()} is no known version of {self.contract.name}", place
                )
            return self.contract.writers[schema]
        return self._registered_writer(schema, place)

    def _registered_writer(self, schema_id: int, place: Place | None) -> Any:
        if schema_id not in self._registered:
            if self._lookup is None:
                raise UnknownSchemaError(
                    f"schema id {schema_id} (Confluent wire format), and no Schema Registry is configured",
                    place,
                )
            try:
                self._registered[schema_id] = parse_schema(self._lookup(schema_id))
            except (SchemaParseException, KeyError) as error:
                raise UnknownSchemaError(f"schema id {schema_id}: {error}", place) from error
        return self._registered[schema_id]


def to_record(event: Event) -> dict[str, Any]:
    """An event in the shape that Avro writes."""
    return {name: _plain(getattr(event, name)) for name in event.__slots__}


def from_record(event: type[EventT], record: dict[str, Any]) -> EventT:
    """The event in a record as Avro reads it."""
    return event(**{name: _typed(name, value) for name, value in record.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, (Features, Prediction)):
        return {name: getattr(value, name) for name in value.__slots__}
    return value


def _typed(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _DATETIMES:
        return value.astimezone(UTC)
    if name == "features":
        return Features(**value)
    if name in _PREDICTIONS:
        return Prediction(**value)
    return value
