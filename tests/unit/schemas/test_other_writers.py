"""What other Avro libraries write from the `.avsc` files is read as if we had written it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import avro.io
import avro.schema
import pytest
from fastavro import parse_schema, schemaless_writer

from golden.generate import GOLDEN, SAMPLES, SCHEMAS, load
from shadowlane.errors import CorruptMessageError, Place, UnknownSchemaError
from shadowlane.schemas import (
    Codec,
    Event,
    ProductionLabel,
    ProductionRequest,
    contract,
    from_record,
    registered_header,
    to_record,
)
from shadowlane.schemas._contracts import FILES
from shadowlane.schemas.columns import ColumnCodec
from strategies import EVENTS, same, to_rows

_JAVA = [line.split() for line in (GOLDEN / "java" / "messages.txt").read_text("ascii").splitlines()]
_EVENT_OF = {stem: event for event, stem in FILES.items()}


def _both(
    event: type[Event], message: bytes, lookup: Callable[[int], dict[str, object]] | None = None
) -> str:
    """The event in a message, which is the same to both codecs."""
    (row,) = to_rows(ColumnCodec(event, lookup=lookup).decode([message]).batch)
    one = same(Codec(event, lookup=lookup).decode(message))
    assert same(from_record(event, row)) == one
    return one


def _avro_message(event: type[Event], sample: Event, header: bytes) -> bytes:
    """A message as Apache Avro for Python writes it, framed by hand."""
    schema = avro.schema.parse((SCHEMAS / f"{FILES[event]}.avsc").read_text(encoding="utf-8"))
    out = io.BytesIO()
    out.write(header)
    record = _lists(to_record(sample))
    avro.io.DatumWriter(schema).write(record, avro.io.BinaryEncoder(out))
    return out.getvalue()


def _lists(value: Any) -> Any:
    """Tuples as lists, which is what that library asks for."""
    if isinstance(value, dict):
        return {key: _lists(each) for key, each in value.items()}
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("event", EVENTS)
def test_apache_avro_for_python_flows_through(event: type[Event]) -> None:
    """Events written by the `avro` package, with the header put before them by hand, are read."""
    for sample in SAMPLES[event]:
        message = _avro_message(event, sample, contract(event).header)
        assert _both(event, message) == same(sample)
        assert message == Codec(event).encode(sample)


@pytest.mark.parametrize("event", EVENTS)
def test_the_fingerprint_of_apache_avro_for_python_is_known(event: type[Event]) -> None:
    """That package's fingerprint of our schemas is another than Avro's own, and known all the same."""
    schema = avro.schema.parse(contract(event).text)
    message = _avro_message(event, SAMPLES[event][0], b"\xc3\x01" + schema.fingerprint("CRC-64-AVRO"))
    assert _both(event, message) == same(SAMPLES[event][0])


@pytest.mark.parametrize("event", EVENTS)
def test_apache_avro_for_python_reads_ours(event: type[Event]) -> None:
    """The body after our header is read by the `avro` package with the schema alone."""
    schema = avro.schema.parse(contract(event).text)
    for sample in SAMPLES[event]:
        body = io.BytesIO(Codec(event).encode(sample)[10:])
        read = avro.io.DatumReader(schema, schema).read(avro.io.BinaryDecoder(body))
        assert same(read) == same(sample)


@pytest.mark.parametrize(("name", "fingerprint", "message"), _JAVA)
def test_apache_avro_for_java_flows_through(name: str, fingerprint: str, message: str) -> None:
    """What Java's BinaryMessageEncoder wrote (and its blocking encoder) decodes to the golden values."""
    golden, *blocks = name.split(":")
    event = _EVENT_OF[golden.split(".", maxsplit=1)[0]]
    ours = (GOLDEN / f"{golden}.bin").read_bytes()
    assert _both(event, bytes.fromhex(message)) == same(Codec(event).decode(ours))
    assert blocks or bytes.fromhex(message) == ours
    assert b"\xc3\x01" + bytes.fromhex(fingerprint) in contract(event).writers


@pytest.mark.parametrize("event", EVENTS)
def test_our_fingerprint_is_javas(event: type[Event]) -> None:
    """The header that our codecs write has the fingerprint that Java computes of the same schema."""
    javas = {fingerprint for name, fingerprint, _ in _JAVA if name.startswith(f"{FILES[event]}.")}
    assert contract(event).header[2:].hex() in javas


def _annotated(schema: Any) -> Any:
    """A schema as Java writers register it: with annotations of theirs at each string."""
    if isinstance(schema, list):
        return [_annotated(each) for each in schema]
    if isinstance(schema, dict):
        return {
            key: value if key in ("name", "default", "doc") else _annotated(value)
            for key, value in schema.items()
        }
    return {"type": "string", "avro.java.string": "String"} if schema == "string" else schema


@pytest.mark.parametrize("annotate", [lambda schema: schema, _annotated])
@pytest.mark.parametrize("event", EVENTS)
def test_the_confluent_wire_format_flows_through(event: type[Event], annotate: Callable[[Any], Any]) -> None:
    """A message framed with a registry's id is read once something resolves the id, which it does once."""
    asked: list[int] = []

    def lookup(schema_id: int) -> dict[str, object]:
        asked.append(schema_id)
        annotated: dict[str, object] = annotate(json.loads(contract(event).text))
        return annotated

    messages = [registered_header(2**32 - 1) + Codec(event).encode(sample)[10:] for sample in SAMPLES[event]]
    columns = ColumnCodec(event, lookup=lookup)
    decoded = columns.decode(messages * 10)
    assert decoded.rejects == []
    assert [same(from_record(event, row)) for row in to_rows(decoded.batch)] == [
        *map(same, SAMPLES[event])
    ] * 10
    assert asked == [2**32 - 1]
    assert _both(event, messages[0], lookup) == same(SAMPLES[event][0])


def test_a_registered_schema_equal_to_ours_is_not_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages of a registered schema that differs from ours in words only take the fast path."""

    def forbidden(*_: object) -> None:
        pytest.fail("translated")

    columns = ColumnCodec(
        ProductionLabel, lookup=lambda _: _annotated(json.loads(contract(ProductionLabel).text))
    )
    monkeypatch.setattr(columns._one, "_read", forbidden)
    message = registered_header(1) + Codec(ProductionLabel).encode(SAMPLES[ProductionLabel][0])[10:]  # type: ignore[arg-type]
    assert columns.decode([message]).batch.num_rows == 1


def _registered(
    change: Callable[[dict[str, Any]], None], record: dict[str, Any]
) -> tuple[bytes, dict[str, Any]]:
    """A request written with a changed schema, and that schema."""
    schema: dict[str, Any] = json.loads(contract(ProductionRequest).text)
    change(schema)
    out = io.BytesIO()
    out.write(registered_header(5))
    schemaless_writer(out, parse_schema(schema), record)
    return out.getvalue(), schema


def _request() -> dict[str, Any]:
    return to_record(SAMPLES[ProductionRequest][0])


def _set_type(schema: dict[str, Any], name: str, kind: Any) -> None:
    (field,) = [field for field in schema["fields"] if field["name"] == name]
    field.update(type=kind)
    field.pop("default", None)


def test_a_registered_schema_may_differ_as_avro_allows() -> None:
    """A writer's schema that resolves to ours (fewer fields, narrower types, no logical type) is read."""

    def change(schema: dict[str, Any]) -> None:
        schema["fields"] = [
            field for field in schema["fields"] if field["name"] not in {"context", "sequence"}
        ]
        _set_type(schema, "event_time", "long")
        _set_type(schema, "latency_ms", "float")
        _set_type(schema, "sampling_rate", "int")
        schema["fields"].append({"name": "region", "type": "bytes"})

    record = {**_request(), "event_time": 1_700_000_000_000_001, "sampling_rate": 1, "region": b"eu"}
    message, schema = _registered(change, record)
    found = _both(ProductionRequest, message, lambda _: schema)
    assert "'event_time': '2023-11-14T22:13:20.000001+00:00'" in found
    assert "'latency_ms': 12.25" in found
    assert "'context': {}" in found
    assert "'sequence': -1" in found


def test_times_of_another_unit_are_the_same_instant() -> None:
    """A registered schema whose time counts milliseconds is not read as if it counted microseconds."""
    message, schema = _registered(
        lambda schema: _set_type(schema, "event_time", {"type": "long", "logicalType": "timestamp-millis"}),
        _request(),
    )
    assert "'event_time': '2026-03-29T01:59:59.999000+00:00'" in _both(
        ProductionRequest, message, lambda _: schema
    )


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("request_id", "long", 5),
        ("latency_ms", "string", "12"),
        ("event_time", {"type": "long", "logicalType": "time-micros"}, 5),
        ("request_id", {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, b"\x01"),
        ("request_id", "bytes", b"\xff"),
    ],
)
def test_a_registered_schema_that_does_not_resolve_is_corrupt(name: str, kind: Any, value: object) -> None:
    """A value for which our schema has no form is an error of that message, in both codecs."""
    message, schema = _registered(lambda schema: _set_type(schema, name, kind), {**_request(), name: value})
    place = Place("t", 0, 1)
    with pytest.raises(CorruptMessageError, match=r"t\[0\]@1: not a ProductionRequest"):
        Codec(ProductionRequest, lookup=lambda _: schema).decode(message, place)
    good = Codec(ProductionRequest).encode(SAMPLES[ProductionRequest][0])  # type: ignore[arg-type]
    columns = ColumnCodec(ProductionRequest, lookup=lambda _: schema)
    decoded = columns.decode([good, message, good], lambda _: place)
    assert list(decoded.kept) == [0, 2]
    assert isinstance(decoded.rejects[0].error, CorruptMessageError)


@pytest.mark.parametrize(
    "text", ['{"type": "nothing"}', '{"type": "record"}', "[]", "5", '{"no": "type"}', "null"]
)
def test_what_a_registry_gives_may_be_no_schema(text: str) -> None:
    """An id that resolves to something else than a schema is an unknown schema, and names the id."""
    codec = Codec(ProductionLabel, lookup=lambda _: json.loads(text))
    with pytest.raises((UnknownSchemaError, CorruptMessageError)):
        codec.decode(registered_header(7) + b"body")


def test_an_id_that_does_not_exist_is_unknown() -> None:
    """A lookup that raises KeyError makes an unknown schema; any other error is not the message's fault."""

    def missing(schema_id: int) -> dict[str, object]:
        raise KeyError(schema_id)

    def unreachable(_: int) -> dict[str, object]:
        raise ConnectionError("the registry does not answer")

    message = registered_header(7) + b"body"
    with pytest.raises(UnknownSchemaError, match="schema id 7"):
        Codec(ProductionLabel, lookup=missing).decode(message)
    for decode in (
        lambda: Codec(ProductionLabel, lookup=unreachable).decode(message),
        lambda: ColumnCodec(ProductionLabel, lookup=unreachable).decode([message]),
    ):
        with pytest.raises(ConnectionError):
            decode()


def test_golden_schemas_are_plain_avro() -> None:
    """Each `.avsc` is read by another library as it stands."""
    for path in SCHEMAS.glob("*.avsc"):
        assert avro.schema.parse(path.read_text(encoding="utf-8")).get_prop("name") == load(path)["name"]
