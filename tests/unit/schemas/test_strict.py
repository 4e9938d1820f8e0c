"""What no writer writes is refused, although fastavro would read it as something."""

from __future__ import annotations

import io
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.schemas import Codec, Event
from shadowlane.schemas._strict import Strict, _number
from strategies import EVENTS, events, moderate

_EVERYTHING: dict[str, Any] = {
    "type": "record",
    "name": "Everything",
    "fields": [
        {"name": "fixed", "type": {"type": "fixed", "name": "Two", "size": 2}},
        {"name": "again", "type": "Two"},
        {"name": "enum", "type": {"type": "enum", "name": "Suit", "symbols": ["CLUBS", "HEARTS"]}},
        {"name": "bytes", "type": "bytes"},
        {"name": "float", "type": "float"},
        {"name": "nested", "type": {"type": "map", "values": {"type": "array", "items": ["null", "int"]}}},
        {"name": "next", "type": ["null", "Everything"]},
    ],
}


def number(value: int) -> bytes:
    """A number as Avro writes it."""
    out = io.BytesIO()
    schemaless_writer(out, "long", value)
    return out.getvalue()


@given(st.integers(-(2**63), 2**63 - 1))
def test_numbers_are_read_as_they_are_written(value: int) -> None:
    """Each long that fastavro writes is read back, and its end found."""
    written = number(value)
    assert _number(b"\xff" + written + b"\x01", 1) == (value, 1 + len(written))


@given(st.binary(min_size=1, max_size=12))
def test_numbers_of_any_bytes_are_what_fastavro_reads(raw: bytes) -> None:
    """Whatever bytes make a number, in however many bytes up to ten, it is the one fastavro sees."""
    try:
        value, end = _number(raw, 0)
    except (IndexError, ValueError):
        return
    body = io.BytesIO(raw)
    assert (value, end) == (schemaless_reader(body, "long", None), body.tell())


@pytest.mark.parametrize("event", EVENTS)
@moderate
@given(data=st.data())
def test_the_end_of_each_valid_body_is_found(event: type[Event], data: st.DataObject) -> None:
    """A body that a codec wrote ends where it ends, whatever follows."""
    codec = Codec(event)
    body = codec.encode(data.draw(events(event)))[len(codec.header) :]
    assert Strict(codec.contract.schema).end(body + b"\x01\x02") == len(body)


def test_schemas_of_others_may_use_all_that_avro_has() -> None:
    """A schema from a registry may have types that the events do not use, and may name itself."""
    inner = {"fixed": b"ab", "again": b"cd", "enum": "HEARTS", "bytes": b"\xff", "float": 0.5}
    record = {**inner, "nested": {"a": [1, None, -3], "b": []}, "next": {**inner, "nested": {}, "next": None}}
    schema = parse_schema(_EVERYTHING)
    out = io.BytesIO()
    schemaless_writer(out, schema, record)
    strict = Strict(schema)
    assert strict.end(out.getvalue()) == len(out.getvalue())
    for size in range(len(out.getvalue())):
        with pytest.raises(EOFError):
            strict.end(out.getvalue()[:size])


@pytest.mark.parametrize(
    ("schema", "body", "reason"),
    [
        (["null", "double"], number(2), "branch of a union 2 of 2"),
        (["null", "double"], number(-1) + bytes(8), "branch of a union -1 of 2"),
        ("boolean", b"\x02", "byte 2 is no boolean"),
        ("int", number(2**31), "does not fit an int"),
        ("int", number(-(2**31) - 1), "does not fit an int"),
        ("long", b"\x80" * 10 + b"\x00", "more than ten bytes"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, number(-1), "symbol of an enum -1 of 1"),
    ],
)
def test_what_nobody_writes_is_no_value(schema: Any, body: bytes, reason: str) -> None:
    """A branch that is none, a byte that is no boolean, an int too large: an error that says so."""
    with pytest.raises(ValueError, match=reason):
        Strict(parse_schema(schema)).end(body)


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        ("string", number(5) + b"four"),
        ("string", number(-1) + b"x"),
        ("string", number(2**62) + b"x"),
        ("double", bytes(7)),
        ("long", b"\x80\x80"),
        ("boolean", b""),
        ({"type": "array", "items": "double"}, number(2**62)),
        ({"type": "array", "items": "double"}, number(1 - 2**63) + number(1)),
        ({"type": "array", "items": "null"}, number(10**12) + number(0)),
        ({"type": "map", "values": "long"}, number(1) + b"\x02a\x02"),
    ],
)
def test_what_is_not_there_is_not_read(schema: Any, body: bytes) -> None:
    """A length or count beyond the body is its end, at once, however large."""
    with pytest.raises(EOFError):
        Strict(parse_schema(schema)).end(body)


def test_a_count_without_an_opposite_is_an_empty_block() -> None:
    """A count of -2**63 is read as both decoders read it: no items, and the next block follows."""
    body = number(-(2**63)) + number(1) + number(1) + bytes(8) + number(0)
    assert Strict({"type": "array", "items": "double"}).end(body) == len(body)
