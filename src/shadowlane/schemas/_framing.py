"""Which schema wrote a message: the few bytes before its body.

Avro single-object encoding: C3 01 and the schema's CRC-64-AVRO fingerprint (little-endian, 8 bytes).
Confluent wire format: 00 and a Schema Registry's id (big-endian, 4 bytes).
"""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

from fastavro.schema import fingerprint, to_parsing_canonical_form

from shadowlane.errors import ForeignMessageError, Place

_SINGLE_OBJECT = b"\xc3\x01"
_REGISTERED = b"\x00"
_SINGLE_OBJECT_SIZE = 10
_REGISTERED_SIZE = 5


class Frame(NamedTuple):
    """How a message names its writer's schema, and where its body starts."""

    schema: bytes | int
    size: int


def single_object_header(schema: dict[str, object]) -> bytes:
    """The ten bytes before a body written with this schema."""
    digest = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
    return _SINGLE_OBJECT + bytes.fromhex(digest)


def known_headers(schema: dict[str, object]) -> set[bytes]:
    """What writers put before a body written with this schema: the header that Avro demands, and another.

    Avro's canonical form turns `{"type": "long", "logicalType": "timestamp-micros"}` into `"long"`. Apache
    Avro for Python (1.12.2) leaves `{"type": "long"}`, and so arrives at a fingerprint of its own.
    """
    canonical = json.loads(to_parsing_canonical_form(schema))
    text = json.dumps(_unreduced(schema, canonical), separators=(",", ":"))
    digest = fingerprint(text, "CRC-64-AVRO")
    return {single_object_header(schema), _SINGLE_OBJECT + bytes.fromhex(digest)}


def _unreduced(schema: Any, canonical: Any) -> Any:
    """The canonical form again, with each logical type as `{"type": ...}`."""
    if isinstance(canonical, list):
        return [_unreduced(*pair) for pair in zip(schema, canonical, strict=True)]
    if isinstance(canonical, dict):
        return {key: _unreduced(schema[key], value) for key, value in canonical.items()}
    return {"type": canonical} if isinstance(schema, dict) and "logicalType" in schema else canonical


def registered_header(schema_id: int) -> bytes:
    """The five bytes before a body whose schema lies in a Schema Registry."""
    return _REGISTERED + struct.pack(">I", schema_id)


def read_frame(message: bytes | None, place: Place | None = None) -> Frame:
    """Tell the two framings apart by the first byte.

    Raises:
        ForeignMessageError: neither of the two.
    """
    if not message:
        raise ForeignMessageError("no bytes (an empty value or a tombstone)", place)
    if message[:2] == _SINGLE_OBJECT and len(message) >= _SINGLE_OBJECT_SIZE:
        return Frame(message[:_SINGLE_OBJECT_SIZE], _SINGLE_OBJECT_SIZE)
    if message[:1] == _REGISTERED and len(message) >= _REGISTERED_SIZE:
        return Frame(struct.unpack(">I", message[1:_REGISTERED_SIZE])[0], _REGISTERED_SIZE)
    start = message[:4].hex(" ")
    raise ForeignMessageError(
        f"starts with {start}, which is neither Avro single-object encoding (c3 01 and a fingerprint) "
        "nor the Confluent wire format (00 and a schema id)",
        place,
    )
