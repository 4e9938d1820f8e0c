"""The typed classes are what the schemas say, field for field."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest

from shadowlane.schemas import Event, Features, Prediction, SamplingRates, contract
from shadowlane.schemas._codec import _DATETIMES, _FEATURES, _PREDICTIONS
from strategies import EVENTS

_PYTHON: Mapping[str, Any] = {
    "string": str,
    "double": float,
    "long": int,
    "int": int,
    "boolean": bool,
    "Features": Features,
    "Prediction": Prediction,
    "SamplingRates": SamplingRates,
}


def _schema(event: type[Event]) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(contract(event).text)
    return loaded


def _records(schema: Any) -> list[dict[str, Any]]:
    """Each record of a schema, the outermost first."""
    if isinstance(schema, list):
        return [record for each in schema for record in _records(each)]
    if not isinstance(schema, dict):
        return []
    fields = [field["type"] for field in schema.get("fields", [])]
    return ([schema] if schema["type"] == "record" else []) + _records(fields)


def _annotation(schema: Any) -> Any:
    """What a field's Avro type is in Python."""
    if isinstance(schema, list):
        assert schema[0] == "null"
        assert len(schema) == 2
        return _annotation(schema[1]) | None
    if isinstance(schema, str):
        return _PYTHON[schema]
    if schema.get("logicalType") == "timestamp-micros":
        return datetime
    match schema["type"]:
        case "map":
            return Mapping[str, _annotation(schema["values"])]  # type: ignore[misc]  # made while running
        case "array":
            return Sequence[_annotation(schema["items"])]  # type: ignore[misc]  # made while running
        case "record":
            return _PYTHON[schema["name"]]
    return _PYTHON[schema["type"]]


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    default = field.default
    return list(default) if isinstance(default, tuple) else default


def _check(kind: type[Any], schema: Mapping[str, Any]) -> None:
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    assert list(fields) == [field["name"] for field in schema["fields"]]
    for field in schema["fields"]:
        name = field["name"]
        assert hints[name] == _annotation(field["type"]), name
        default = _default(fields[name])
        assert default == field.get("default", dataclasses.MISSING), name
        assert type(default) is type(field.get("default", dataclasses.MISSING)), name


@pytest.mark.parametrize("event", EVENTS)
def test_a_class_has_its_schemas_fields(event: type[Event]) -> None:
    """Names, order, types, optionality and defaults of an event class are those of its schema."""
    schema = _schema(event)
    assert (schema["name"], schema["namespace"]) == (event.__name__, "shadowlane.v1")
    _check(event, schema)


@pytest.mark.parametrize("event", EVENTS)
def test_nested_classes_have_their_schemas_fields(event: type[Event]) -> None:
    """Features, predictions and rates are in each schema the record that their class is."""
    for record in _records(_schema(event))[1:]:
        _check(_PYTHON[record["name"]], record)


@pytest.mark.parametrize("event", EVENTS)
def test_the_codec_knows_which_fields_to_make_typed(event: type[Event]) -> None:
    """Each field that holds a time or a class of ours is known to the codec by name."""
    hints = typing.get_type_hints(event)

    def named(kind: type[Any]) -> set[str]:
        return {name for name, hint in hints.items() if kind in (hint, *typing.get_args(hint))}

    assert named(datetime) == _DATETIMES & hints.keys()
    assert named(Prediction) == _PREDICTIONS & hints.keys()
    assert named(Features) == _FEATURES & hints.keys()
    assert named(SamplingRates) == {"sampling"} & hints.keys()


@pytest.mark.parametrize("event", EVENTS)
def test_each_field_is_described(event: type[Event]) -> None:
    """Each record and field says in its schema what it means."""
    for record in _records(_schema(event)):
        assert record["doc"]
        assert all(field["doc"] for field in record["fields"])


@pytest.mark.parametrize("event", EVENTS)
def test_schemas_use_only_what_both_codecs_read(event: type[Event]) -> None:
    """No bytes, fixed, enum or items of no size in a schema; ints only at the top.

    The columnar decoder panics at the first, a few bytes of items without size fill the memory, and the
    columnar codec checks the range of ints at the top only.
    """
    text = contract(event).text
    for kind in ("bytes", "fixed", "uuid", "enum", "float"):
        assert f'"{kind}"' not in text
    assert '"items": "null"' not in text
    for record in _records(_schema(event))[1:]:
        assert all("int" not in json.dumps(field["type"]).split('"') for field in record["fields"])
