"""Rows of Arrow as values that JSON knows: whole numbers whole, times in ISO 8601, maps as objects."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

Plain = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a zone is written where the column has one
_EPOCH_DAY = _EPOCH.toordinal()
_A_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_FAR_DAYS = 2**31 - 1


def plain_rows(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    """The rows of a batch."""
    columns = [_column(column) for column in batch.columns]
    return zip(*columns, strict=True) if columns else iter(())


def _column(array: pa.Array) -> list[Any]:
    """Times go as numbers: the calendar of Python ends before the engine's does."""
    kind = array.type
    if pa.types.is_timestamp(kind):
        zone = "Z" if kind.tz else ""
        return [_moment(each, kind.unit, zone) for each in array.cast(pa.int64()).to_pylist()]
    if pa.types.is_date32(kind):
        return [_day(each) for each in array.cast(pa.int32()).to_pylist()]
    convert = _converter(kind)
    return [None if each is None else convert(each) for each in array.to_pylist()]


def _moment(value: int | None, unit: str, zone: str) -> str | None:
    if value is None:
        return None
    seconds, rest = divmod(value, _A_SECOND[unit])
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return _never(value)
    digits = f"{rest:0{len(str(_A_SECOND[unit])) - 1}d}".rstrip("0") if rest else ""
    return moment.isoformat() + (f".{digits}" if digits else "") + zone


def _day(value: int | None) -> str | None:
    if value is None:
        return None
    try:
        return date.fromordinal(_EPOCH_DAY + value).isoformat()
    except (OverflowError, ValueError):
        return _never(value)


def _never(value: int) -> str:
    return "infinity" if value > 0 else "-infinity"


def _converter(kind: pa.DataType) -> Plain:
    """What makes a value of this type plain."""
    if pa.types.is_map(kind):
        key, item = _converter(kind.key_type), _nullable(_converter(kind.item_type))
        return lambda pairs: {_name(key(name)): item(value) for name, value in pairs}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        each = _nullable(_converter(kind.value_type))
        return lambda values: [each(value) for value in values]
    if pa.types.is_struct(kind):
        fields = {field.name: _nullable(_converter(field.type)) for field in kind}
        return lambda row: {name: convert(row[name]) for name, convert in fields.items()}
    return _leaf


def _nullable(convert: Plain) -> Plain:
    return lambda value: None if value is None else convert(value)


def _name(key: Any) -> str:
    return key if isinstance(key, str) else str(key)


def _leaf(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else _no_number(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, datetime):
        text = value.replace(tzinfo=None).isoformat()
        return text if value.tzinfo is None else f"{value.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, pa.MonthDayNano):
        return _duration(value)
    return value if isinstance(value, str | int) else str(value)


def _no_number(value: float) -> str:
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _decimal(value: Decimal) -> int | float | str:
    """A number where a number of JSON says exactly that; digits else."""
    if value == value.to_integral_value():
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else str(value)


def _duration(value: pa.MonthDayNano) -> str:
    """P1M2DT3.5S, as ISO 8601 writes it."""
    days = (f"{value.months}M" if value.months else "") + (f"{value.days}D" if value.days else "")
    if not value.nanoseconds and days:
        return f"P{days}"
    sign = "-" if value.nanoseconds < 0 else ""
    seconds, rest = divmod(abs(value.nanoseconds), _A_SECOND["ns"])
    return f"P{days}T{sign}{seconds}" + (f".{rest:09d}".rstrip("0") if rest else "") + "S"
