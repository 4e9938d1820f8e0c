"""Values of a suite as JSON has them, and back: held to a column's type, down to the last part of it."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_INTEGERS = {pa.int32(): 2**31, pa.int64(): 2**63}


def plain(value: Any, kind: pa.DataType) -> Any:
    """A value of a column as JSON writes it; parts that say nothing are left out."""
    if value is None:
        return None
    if pa.types.is_floating(kind):
        return (
            value
            if math.isfinite(value)
            else next(
                name
                for name, each in _NOT_FINITE.items()
                if each == value or value != value  # noqa: PLR0124 - NaN
            )
        )
    if pa.types.is_timestamp(kind):
        return value.astimezone(UTC).isoformat()
    if pa.types.is_map(kind):
        return {name: plain(each, kind.item_type) for name, each in value}
    if pa.types.is_list(kind):
        return [plain(each, kind.value_type) for each in value]
    if pa.types.is_struct(kind):
        parts = {field.name: plain(value[field.name], field.type) for field in kind}
        return {name: part for name, part in parts.items() if part not in (None, {}, [])}
    return value


def typed(value: Any, kind: pa.DataType, name: str) -> Any:
    """A value as the column takes it.

    Raises:
        ValueError: it is of another type; the message says which part, and tells no value.
    """
    if value is None:
        return None
    if pa.types.is_floating(kind):
        return _float(value, name)
    if kind in _INTEGERS:
        within = type(value) is int and -_INTEGERS[kind] <= value < _INTEGERS[kind]
        return _sure(value, within, name, "a whole number")
    if pa.types.is_boolean(kind):
        return _sure(value, type(value) is bool, name, "true or false")
    if pa.types.is_timestamp(kind):
        return _moment(value, name)
    if pa.types.is_map(kind):
        _sure(value, isinstance(value, dict), name, "an object")
        return [(_text(key, name), _there(each, kind.item_type, name)) for key, each in value.items()]
    if pa.types.is_list(kind):
        _sure(value, isinstance(value, list), name, "a list")
        return [_there(each, kind.value_type, name) for each in value]
    if pa.types.is_struct(kind):
        return _parts(value, kind, name)
    return _text(value, name)


def _there(value: Any, kind: pa.DataType, name: str) -> Any:
    return typed(_sure(value, value is not None, name, "without a null"), kind, name)


def _parts(value: Any, kind: pa.StructType, name: str) -> dict[str, Any]:
    _sure(value, isinstance(value, dict), name, "an object")
    known = {field.name: field.type for field in kind}
    _sure(value, value.keys() <= known.keys(), name, f"an object with {', '.join(known)} and no other part")
    parts = {each: typed(value.get(each), type_, f"{name}.{each}") for each, type_ in known.items()}
    # Of features each map is there, if empty; a prediction's parts may be null.
    return {each: _nothing(kind.field(each)) if part is None else part for each, part in parts.items()}


def _nothing(field: pa.Field) -> list[Any] | None:
    is_many = pa.types.is_map(field.type) or pa.types.is_list(field.type)
    return [] if is_many and not field.nullable else None


def _float(value: Any, name: str) -> float:
    if type(value) is str and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    _sure(value, type(value) in (int, float), name, "a number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is larger than a number can be") from None


def _moment(value: Any, name: str) -> datetime:
    _sure(value, type(value) is str, name, "a time")
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} is no time such as 2026-03-01T12:00:00+00:00") from None


def _text(value: Any, name: str) -> str:
    return str(_sure(value, _is_unicode(value), name, "text"))


def _is_unicode(value: Any) -> bool:
    try:
        return type(value) is str and bool(value.encode() or True)
    except UnicodeEncodeError:
        return False


def _sure(value: Any, is_so: bool, name: str, what: str) -> Any:  # noqa: FBT001 - what is found out
    if not is_so:
        raise ValueError(f"{name} is not {what}")
    return value
