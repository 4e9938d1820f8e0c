"""Messages that were ever written go on being read; `tests/golden/generate.py` makes the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from golden.generate import GOLDEN, SAMPLES, SCHEMAS, load, to_json, undocumented, update, versions
from shadowlane.schemas import Codec, Event, contract, from_record
from shadowlane.schemas._contracts import FILES
from shadowlane.schemas.columns import ColumnCodec
from strategies import EVENTS, same, to_rows

_EVENT_OF = {stem: event for event, stem in FILES.items()}
_MESSAGES = sorted(path.name.removesuffix(".bin") for path in GOLDEN.glob("*.bin"))


def _expected(event: type[Event], name: str) -> dict[str, object]:
    """What a golden message must decode to: its values, and the defaults of fields that came later."""
    values = load(GOLDEN / f"{name}.json")
    fields = json.loads(contract(event).text)["fields"]
    return {field["name"]: values.get(field["name"], field.get("default")) for field in fields}


@pytest.mark.parametrize("name", _MESSAGES)
def test_each_golden_message_decodes_one_at_a_time(name: str) -> None:
    """A message of any version decodes to the values that were written."""
    event = _EVENT_OF[name.split(".", maxsplit=1)[0]]
    assert to_json(Codec(event).decode_record((GOLDEN / f"{name}.bin").read_bytes())) == _expected(
        event, name
    )


@pytest.mark.parametrize("name", _MESSAGES)
def test_each_golden_message_decodes_to_columns(name: str) -> None:
    """A message of any version becomes a row of the same values."""
    event = _EVENT_OF[name.split(".", maxsplit=1)[0]]
    message = (GOLDEN / f"{name}.bin").read_bytes()
    (row,) = to_rows(ColumnCodec(event).decode([message]).batch)
    assert same(from_record(event, row)) == same(Codec(event).decode(message))


@pytest.mark.parametrize("event", EVENTS)
def test_a_changed_schema_has_a_golden_version(event: type[Event]) -> None:
    """The current schema is the newest golden one (docs apart): `generate.py` adds a version."""
    newest = GOLDEN / f"{FILES[event]}.{versions(FILES[event])[-1]}.avsc"
    assert undocumented(load(newest)) == undocumented(load(SCHEMAS / f"{FILES[event]}.avsc"))


@pytest.mark.parametrize("event", EVENTS)
def test_each_version_has_its_files(event: type[Event]) -> None:
    """Versions count from 1 without a gap, each with two messages and their values."""
    stem = FILES[event]
    assert versions(stem) == list(range(1, len(versions(stem)) + 1))
    for version in versions(stem):
        for name in (f"{stem}.{version}", f"{stem}.{version}.bare"):
            assert (GOLDEN / f"{name}.bin").exists()
            assert (GOLDEN / f"{name}.json").exists()


@pytest.mark.parametrize("event", EVENTS)
def test_golden_messages_are_what_the_codec_writes(event: type[Event]) -> None:
    """The newest golden messages are written again byte for byte."""
    stem = FILES[event]
    full, bare = map(Codec(event).encode, SAMPLES[event])
    assert full == (GOLDEN / f"{stem}.{versions(stem)[-1]}.bin").read_bytes()
    assert bare == (GOLDEN / f"{stem}.{versions(stem)[-1]}.bare.bin").read_bytes()


@pytest.mark.parametrize("event", EVENTS)
def test_golden_values_fill_each_field(event: type[Event]) -> None:
    """The full golden message leaves no field null or at its default."""
    full, bare = SAMPLES[event]
    assert [name for name in full.__slots__ if getattr(full, name) is None] == []
    assert [name for name in full.__slots__ if getattr(full, name) == getattr(bare, name)] == []


def test_the_generator_adds_a_version_and_keeps_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed schema gets the next number, and the version before it goes to the codecs' history."""
    golden, schemas = tmp_path / "golden", tmp_path / "schemas"
    golden.mkdir()
    schemas.mkdir()
    monkeypatch.setattr("golden.generate.GOLDEN", golden)
    monkeypatch.setattr("golden.generate.SCHEMAS", schemas)
    event = EVENTS[-1]
    stem = FILES[event]
    current = json.loads(contract(event).text)
    older = {**current, "fields": current["fields"][:-1]}
    (golden / f"{stem}.1.avsc").write_text(json.dumps(older), encoding="utf-8")
    (schemas / f"{stem}.avsc").write_text(contract(event).text, encoding="utf-8")
    assert len(list(update(event, replace=False))) == 6
    assert load(schemas / "history" / f"{stem}.1.avsc") == older
    assert load(golden / f"{stem}.2.avsc") == current
    assert list(update(event, replace=False)) == []
    assert len(list(update(event, replace=True))) == 5
    assert versions(stem) == [1, 2]
