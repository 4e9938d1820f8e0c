"""Hypothesis strategies for events, drawn from the schemas themselves, and what compares events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from hypothesis import settings
from hypothesis import strategies as st

from shadowlane.schemas import Event, EventT, contract, from_record, to_record
from shadowlane.schemas._contracts import FILES

#: Every event class; tests are parametrized with it.
EVENTS: Sequence[type[Event]] = tuple(FILES)

#: How hard the property tests try: enough to find, quick enough to run at each change.
moderate = settings(max_examples=60, deadline=None)

_TIMES = st.datetimes(timezones=st.just(UTC)) | st.sampled_from(
    [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)]
)
_LONGS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), 2**63 - 1, 0, -1, 63, 64, -64, -65])
_INTS = st.integers(-(2**31), 2**31 - 1) | st.sampled_from([-(2**31), 2**31 - 1])
_TEXTS = st.text(max_size=12) | st.sampled_from(["", "\x00", "grüße 東京 🌒", "e\u0301", "\ufeff", "x" * 200])
_PLAIN: Mapping[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "string": _TEXTS,
    "double": st.floats() | st.sampled_from([float("nan"), float("inf"), -float("inf"), -0.0, 5e-324]),
    "long": _LONGS,
    "int": _INTS,
    "boolean": st.booleans(),
}


def events(event: type[EventT]) -> st.SearchStrategy[EventT]:
    """Any valid event of a class."""
    return records(event).map(lambda record: from_record(event, record))


def records(event: type[Event]) -> st.SearchStrategy[dict[str, Any]]:
    """Any valid record of an event's schema."""
    return _of(contract(event).schema, {})


def _of(schema: Any, named: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    if isinstance(schema, list):
        return st.one_of([_of(each, named) for each in schema])
    if isinstance(schema, str):
        return _PLAIN[schema] if schema in _PLAIN else named[schema]
    if schema.get("logicalType") == "timestamp-micros":
        return _TIMES
    match schema["type"]:
        case "array":
            return st.lists(_of(schema["items"], named), max_size=4)
        case "map":
            return st.dictionaries(_TEXTS, _of(schema["values"], named), max_size=3)
        case "record":
            fields = {field["name"]: _of(field["type"], named) for field in schema["fields"]}
            named[schema["name"]] = st.fixed_dictionaries(fields)
            return named[schema["name"]]
    return _of(schema["type"], named)


def same(value: Any) -> str:
    """An event or record as text that is equal for equal values, NaN and -0.0 included."""
    return repr(_normal(to_record(value) if isinstance(value, Event) else value))


def _normal(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Mapping):
        return {key: _normal(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_normal(each) for each in value]
    return value


def to_batch(schema: pa.Schema, written: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    """Records as columns, by Arrow's own means."""
    return pa.RecordBatch.from_pylist([_pairs(record, schema) for record in written], schema=schema)


def to_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Columns as records; of two entries with one key the last counts, as in any map."""
    return [_mappings(row, batch.schema) for row in batch.to_pylist()]


def _mappings(value: Any, kind: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, pa.Schema) or pa.types.is_struct(kind):
        return {field.name: _mappings(value[field.name], field.type) for field in kind}
    return dict(value) if pa.types.is_map(kind) else value


def _pairs(value: Any, kind: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, pa.Schema) or pa.types.is_struct(kind):
        return {field.name: _pairs(value[field.name], field.type) for field in kind}
    if pa.types.is_map(kind):
        return list(value.items())
    return value
