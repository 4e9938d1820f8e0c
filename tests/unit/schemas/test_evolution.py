"""A schema may change only so that it still reads what any earlier version wrote."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker
from avro.schema import parse
from fastavro import parse_schema, schemaless_writer

from golden.generate import GOLDEN, SAMPLES, SCHEMAS, load, versions
from shadowlane.errors import CorruptMessageError
from shadowlane.schemas import (
    Codec,
    Event,
    Features,
    LedgerEntry,
    ProductionRequest,
    contract,
    from_record,
    single_object_header,
    to_record,
)
from shadowlane.schemas import _contracts as contracts
from shadowlane.schemas._contracts import FILES
from shadowlane.schemas.columns import ColumnCodec
from strategies import EVENTS, same, to_rows

Schema = dict[str, Any]


def _breaks(reader: Schema, writers: list[Schema]) -> list[str]:
    """Why a schema cannot read what these wrote; nothing where it can."""
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # avro has no types here
    found: list[str] = []
    for writer in writers:
        result = checker.get_compatibility(parse(json.dumps(reader)), parse(json.dumps(writer)))
        found += sorted(result.messages)
        ours, theirs = _logical(reader), _logical(writer)
        found += [f"{path}: {ours[path]}, once {theirs[path]}" for path in ours.keys() & theirs.keys()
                  if ours[path] != theirs[path]]  # fmt: skip
    return found


def _logical(schema: Any, path: str = "") -> dict[str, str]:
    """Where a schema has logical types (which Avro's own rules of compatibility leave out)."""
    found: dict[str, str] = {}
    if isinstance(schema, list):
        for each in schema:
            found |= _logical(each, path)
    elif isinstance(schema, dict):
        found = {path: str(schema.get("logicalType"))} if schema["type"] == "long" else {}
        for field in schema.get("fields", []):
            found |= _logical(field["type"], f"{path}/{field['name']}")
        for key in ("items", "values", "type"):
            found |= _logical(schema.get(key), path) if isinstance(schema.get(key), (dict, list)) else {}
    elif schema == "long":
        found = {path: "None"}
    return found


def _golden(event: type[Event]) -> list[Schema]:
    return [load(GOLDEN / f"{FILES[event]}.{version}.avsc") for version in versions(FILES[event])]


def _field(schema: Schema, name: str) -> Schema:
    (found,) = [field for field in schema["fields"] if field["name"] == name]
    return found  # type: ignore[no-any-return]  # JSON


@pytest.mark.parametrize("event", EVENTS)
def test_the_current_schema_reads_every_version(event: type[Event]) -> None:
    """Backward-transitive: whatever version wrote a message, the current schema reads it."""
    assert _breaks(load(SCHEMAS / f"{FILES[event]}.avsc"), _golden(event)) == []


@pytest.mark.parametrize("event", EVENTS)
def test_every_older_version_is_known_to_the_codecs(event: type[Event]) -> None:
    """The history holds each golden version but the newest, unchanged."""
    stem = FILES[event]
    for version in versions(stem)[:-1]:
        assert load(SCHEMAS / "history" / f"{stem}.{version}.avsc") == load(GOLDEN / f"{stem}.{version}.avsc")


def _renamed(schema: Schema) -> None:
    _field(schema, "model")["name"] = "model_name"


def _retyped(schema: Schema) -> None:
    _field(schema, "request_id")["type"] = "long"


def _no_longer_null(schema: Schema) -> None:
    _field(schema, "latency_ms").update(type="double", default=0.0)


def _another_unit(schema: Schema) -> None:
    _field(schema, "event_time")["type"]["logicalType"] = "timestamp-millis"


def _new_without_default(schema: Schema) -> None:
    schema["fields"].append({"name": "region", "type": "string"})


def _nested_without_default(schema: Schema) -> None:
    _field(schema, "features")["type"]["fields"].append(
        {"name": "dates", "type": {"type": "map", "values": "long"}}
    )


def _another_name(schema: Schema) -> None:
    schema["name"] = "Request"


@pytest.mark.parametrize(
    "change",
    [
        _renamed,
        _retyped,
        _no_longer_null,
        _another_unit,
        _new_without_default,
        _nested_without_default,
        _another_name,
    ],
)
def test_a_breaking_change_is_found(change: Callable[[Schema], None]) -> None:
    """A change after which messages of an earlier version cannot be read does not pass the check."""
    changed = deepcopy(_golden(ProductionRequest)[-1])
    change(changed)
    assert _breaks(changed, _golden(ProductionRequest)) != []


def test_a_default_removed_is_found_against_the_first_version() -> None:
    """A default that goes two versions after its field came breaks only what the first version wrote."""
    first = _golden(ProductionRequest)[-1]
    second, third = deepcopy(first), deepcopy(first)
    second["fields"].append({"name": "region", "type": "string", "default": ""})
    third["fields"].append({"name": "region", "type": "string"})
    assert _breaks(second, [first]) == []
    assert _breaks(third, [second]) == []
    assert _breaks(third, [first, second]) != []


def _new_with_default(schema: Schema) -> None:
    schema["fields"].append({"name": "region", "type": "string", "default": ""})


def _field_removed(schema: Schema) -> None:
    schema["fields"].remove(_field(schema, "context"))


def _now_nullable(schema: Schema) -> None:
    _field(schema, "sampling_rate")["type"] = ["null", "double"]


def _doc_changed(schema: Schema) -> None:
    schema["doc"] = "Other words."


@pytest.mark.parametrize("change", [_new_with_default, _field_removed, _now_nullable, _doc_changed])
def test_a_change_that_breaks_nothing_passes(change: Callable[[Schema], None]) -> None:
    """The check lets through what keeps earlier messages readable."""
    changed = deepcopy(_golden(ProductionRequest)[-1])
    change(changed)
    assert _breaks(changed, _golden(ProductionRequest)) == []


# What follows plants an older version, in which latency_ms could not be null, the fields stood in another
# order, there was a field more, and neither producer_id nor sequence.


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Schema]:
    """An older version of the production request, in a history that the codecs read."""
    older: Schema = json.loads(contract(ProductionRequest).text)
    older["fields"] = [
        field for field in reversed(older["fields"]) if field["name"] not in {"producer_id", "sequence"}
    ]
    _field(older, "prediction")["type"].reverse()  # the record is now named first where it is null's second
    _field(older, "prediction").pop("default")
    _field(older, "latency_ms").update(type="double")
    _field(older, "latency_ms").pop("default")
    older["fields"].insert(3, {"name": "region", "type": {"type": "array", "items": "string"}})
    for stem in FILES.values():
        (tmp_path / f"{stem}.avsc").write_bytes((SCHEMAS / f"{stem}.avsc").read_bytes())
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "production_request.1.avsc").write_text(json.dumps(older), encoding="utf-8")
    monkeypatch.setattr(contracts, "_FOLDER", tmp_path)
    contracts._load.cache_clear()
    yield older
    contracts._load.cache_clear()


def _older_message(older: Schema, request: ProductionRequest) -> bytes:
    out = io.BytesIO(single_object_header(older))
    out.seek(0, io.SEEK_END)
    record = {**to_record(request), "region": ["eu", "west"]}
    schemaless_writer(out, parse_schema(older), record)
    return out.getvalue()


def _requests() -> list[ProductionRequest]:
    full, _ = SAMPLES[ProductionRequest]
    assert isinstance(full, ProductionRequest)
    return [
        ProductionRequest(
            request_id=f"request-{index}",
            event_time=full.event_time,
            model="m",
            features=full.features if index % 2 else Features(),
            prediction=full.prediction if index % 3 else None,
            latency_ms=float(index),
        )
        for index in range(12)
    ]


def test_older_messages_decode_one_at_a_time(planted: Schema) -> None:
    """A message of a version in the history decodes as the current event, with defaults for what is new."""
    codec = Codec(ProductionRequest)
    for request in _requests():
        assert same(codec.decode(_older_message(planted, request))) == same(request)


def test_older_messages_among_new_ones_keep_their_places(planted: Schema) -> None:
    """Old, new and bad messages in one batch: rows, kept indices and rejects are in the batch's order."""
    codec = Codec(ProductionRequest)
    requests = _requests()
    messages = [
        (_older_message(planted, request) if index % 2 else codec.encode(request))
        for index, request in enumerate(requests)
    ]
    messages[4] += b"\x00"  # a new one
    messages[5] = messages[5][:-1]  # an old one
    decoded = ColumnCodec(ProductionRequest).decode(messages)
    good = [index for index in range(12) if index not in (4, 5)]
    assert list(decoded.kept) == good
    assert [reject.index for reject in decoded.rejects] == [4, 5]
    assert all(isinstance(reject.error, CorruptMessageError) for reject in decoded.rejects)
    rows = [same(from_record(ProductionRequest, row)) for row in to_rows(decoded.batch)]
    assert rows == [same(requests[index]) for index in good]


def test_defaults_of_decoded_events_are_their_own(planted: Schema) -> None:
    """Two events decoded with a default map do not share it."""
    stem = FILES[LedgerEntry]
    older: Schema = json.loads(contract(LedgerEntry).text)
    older["fields"].remove(_field(older, "dropped"))
    (contracts._FOLDER / "history" / f"{stem}.1.avsc").write_text(json.dumps(older), encoding="utf-8")
    contracts._load.cache_clear()
    full, _ = SAMPLES[LedgerEntry]
    body = io.BytesIO()
    schemaless_writer(body, parse_schema(older), to_record(full))
    codec = Codec(LedgerEntry)
    one, two = (codec.decode(single_object_header(older) + body.getvalue()) for _ in range(2))
    assert one == two
    assert one.dropped == {}
    assert one.dropped is not two.dropped
