"""From cells to values, a column at a time; which cells have none is told beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shadowlane.aggregator.labels._mapping import EPOCHS
from shadowlane.aggregator.labels._records import Column, Mask, mask, one

TIME = pa.timestamp("us", tz="UTC")
NUMBERS, TEXTS = pa.list_(pa.float64()), pa.list_(pa.string())

_INTEGER = r"^[+-]?[0-9]+$"
_NUMBER = r"^(?i:[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?(nan|inf|infinity))$"
_FLAG = r"^(?i:true|false)$"
_NAMED_UTC = r"(?i)\s*(UTC|GMT)$"
_TOO_FINE = r"(\.[0-9]{6})[0-9]+"
_SPACE = r"\s+([Z+-])"
_EARLIEST, _LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
_ERRORS = (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError)

NOTHING, INTEGER, NUMBER, FLAG, TEXT, LIST = range(6)


class Said(NamedTuple):
    """What cells say: which kind each is, its text, and what it is as a number or list."""

    kinds: np.ndarray[tuple[int], np.dtype[np.int8]]
    text: pa.Array
    number: pa.Array
    vector: pa.Array
    ranking: pa.Array
    unreadable: Mask


def each_or_null(values: pa.Array, change: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """A change of a whole column that fails as a whole, with null for the cells at fault."""
    try:
        return one(change(values))
    except _ERRORS:
        if len(values) == 1:
            return pa.nulls(1, change(values.slice(0, 0)).type)
    half = len(values) // 2
    return pa.concat_arrays([each_or_null(part, change) for part in (values[:half], values[half:])])


def as_text(values: pa.Array) -> tuple[pa.Array, Mask]:
    """Cells as text, and which are no UTF-8, or hold a NUL."""
    text = (
        values
        if pa.types.is_string(values.type)
        else each_or_null(values, lambda cells: cells.cast(pa.string()))
    )
    bad = mask(pc.and_(pc.is_valid(values), pc.is_null(text)))
    # Looking for one in the bytes of all cells together takes a tenth of looking in each.
    data = text.buffers()[2]
    if data is not None and b"\0" in memoryview(data).tobytes():
        bad |= mask(pc.match_substring(text, "\0"))
    return text, bad


def labels(column: Column, *, lists: bool) -> Said:
    """What the cells of the label's column are. Without `lists`, text that looks like one is text."""
    if pa.types.is_list(column.values.type) or pa.types.is_large_list(column.values.type):
        return _typed_lists(column.values)
    text, unreadable = as_text(column.values)
    text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    plain = (
        text
        if column.quoted is None
        else pc.if_else(pa.array(column.quoted), pa.scalar(None, pa.string()), text)
    )
    kinds, number = _scalars(plain)
    if (kinds == TEXT).any() and column.quoted is None:
        text = plain = pc.utf8_trim_whitespace(plain)
        kinds, number = _scalars(plain)
    kinds[mask(pc.is_valid(text)) & (kinds == NOTHING)] = TEXT
    text = pc.if_else(pa.array(kinds == FLAG), pc.utf8_lower(text), text) if (kinds == FLAG).any() else text
    vector, ranking = pa.nulls(len(text), NUMBERS), pa.nulls(len(text), TEXTS)
    if lists:
        vector, ranking = _written_lists(plain, kinds)
    return Said(kinds, text, number, vector, ranking, unreadable)


def _scalars(text: pa.Array) -> tuple[np.ndarray[tuple[int], np.dtype[np.int8]], pa.Array]:
    """The kind of each text, and what it is as a number. Most columns are of one kind: tried first."""
    there = mask(pc.is_valid(text))
    try:
        return np.where(there, INTEGER, NOTHING).astype(np.int8), text.cast(pa.int64()).cast(
            pa.float64(), safe=False
        )
    except _ERRORS:
        pass
    try:
        number, numeric = text.cast(pa.float64()), there
    except _ERRORS:
        numeric = mask(pc.match_substring_regex(text, _NUMBER))
        number = pc.if_else(pa.array(numeric), text, pa.scalar(None, pa.string())).cast(pa.float64())
    kinds = np.where(numeric, NUMBER, np.where(there, TEXT, NOTHING)).astype(np.int8)
    kinds[mask(pc.match_substring_regex(text, _INTEGER))] = INTEGER
    if (kinds == TEXT).any():
        kinds[mask(pc.match_substring_regex(text, _FLAG))] = FLAG
    return kinds, number


def _typed_lists(values: pa.Array) -> Said:
    size = len(values)
    inner = values.type.value_type
    is_text = pa.types.is_string(inner) or pa.types.is_large_string(inner)
    vector = pa.nulls(size, NUMBERS) if is_text else each_or_null(values, lambda cells: cells.cast(NUMBERS))
    ranking = values.cast(TEXTS) if is_text else pa.nulls(size, TEXTS)
    broken = np.zeros(size, bool)
    for index in range(size) if (values.flatten().null_count or not is_text) else ():
        broken[index] = not _is_list(values[index].as_py())
    kinds = np.where(mask(pc.is_valid(values)), LIST, NOTHING).astype(np.int8)
    return Said(kinds, pa.nulls(size, pa.string()), pa.nulls(size, pa.float64()), vector, ranking, broken)


def _written_lists(
    text: pa.Array, kinds: np.ndarray[tuple[int], np.dtype[np.int8]]
) -> tuple[pa.Array, pa.Array]:
    """Lists in JSON, read one by one, since labels seldom are; what is no good list stays text."""
    size = len(text)
    vectors: list[list[float] | None] = [None] * size
    rankings: list[list[str] | None] = [None] * size
    for index in np.flatnonzero(mask(pc.match_substring_regex(text, r"^\s*\["))).tolist():
        try:
            found = json.loads(text[index].as_py())
        except (ValueError, RecursionError):
            continue
        if _is_list(found):
            kinds[index] = LIST
            if all(isinstance(each, str) for each in found) and found:
                rankings[index] = found
            else:
                vectors[index] = [float(each) for each in found]
    return pa.array(vectors, NUMBERS), pa.array(rankings, TEXTS)


def _is_list(found: object) -> bool:
    """Whether it is a vector or a ranking: finite numbers only, or text only."""
    if found is None:
        return True
    if not isinstance(found, list):
        return False
    kinds = set(map(type, found))
    if kinds <= {str}:
        return True
    try:
        return kinds <= {int, float} and bool(np.isfinite(np.array(found, float)).all())
    except OverflowError:
        return False


def times(column: Column, timezone: str | None, epoch: str | None) -> tuple[pa.Array, Mask]:
    """Times in UTC, and which cells are none. One without a zone is in this one, a number in this unit."""
    values = column.values
    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("us"))
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us", values.type.tz), safe=False)
        found = values.cast(TIME) if values.type.tz else _in_zone(values, timezone)
        return _within(found), mask(pc.is_valid(values))
    text, _ = as_text(values)
    there = mask(pc.not_equal(text, ""))
    try:
        return _within(text.cast(TIME)), there
    except _ERRORS:
        return _within(_read_times(pc.utf8_trim_whitespace(text), timezone, epoch)), there


def _read_times(text: pa.Array, timezone: str | None, epoch: str | None) -> pa.Array:
    numeric = pc.match_substring_regex(text, _NUMBER)
    written = pc.if_else(numeric, pa.scalar(None, pa.string()), text)
    for pattern, instead in ((_NAMED_UTC, "Z"), (_TOO_FINE, r"\1"), (_SPACE, r"\1")):
        written = pc.replace_substring_regex(written, pattern, instead)
    found = each_or_null(written, lambda cells: cells.cast(TIME))
    if timezone is not None:
        left = pc.if_else(pc.is_null(found), written, pa.scalar(None, pa.string()))
        local = each_or_null(left, lambda cells: cells.cast(pa.timestamp("us")))
        found = pc.coalesce(found, _in_zone(local, timezone))
    if epoch is not None:
        numbers = pc.if_else(numeric, text, pa.scalar(None, pa.string()))
        found = pc.coalesce(found, _since_1970(numbers, EPOCHS[epoch]))
    return found


def _in_zone(local: pa.Array, timezone: str | None) -> pa.Array:
    """Null where the zone has such a time twice or never, as clocks change; and where there is no zone."""
    if timezone is None:
        return pa.nulls(len(local), TIME)
    return each_or_null(local, lambda cells: pc.assume_timezone(cells, timezone)).cast(TIME)


def _since_1970(numbers: pa.Array, micros: int) -> pa.Array:
    def read(cells: pa.Array) -> pa.Array:
        try:
            return pc.multiply_checked(cells.cast(pa.int64()), micros).cast(TIME)
        except _ERRORS:
            return pc.round(pc.multiply(cells.cast(pa.float64()), float(micros))).cast(pa.int64()).cast(TIME)

    return each_or_null(numbers, read)


def _within(times: pa.Array) -> pa.Array:
    """Null for what is outside the years 1 to 9999: nobody else can read it."""
    since = times.cast(pa.int64())
    ends = pc.min_max(since).as_py()
    if ends["min"] is None or (ends["min"] >= _EARLIEST and ends["max"] <= _LATEST):
        return times
    good = pc.and_(pc.greater_equal(since, _EARLIEST), pc.less_equal(since, _LATEST))
    return pc.if_else(good, times, pa.scalar(None, TIME))
