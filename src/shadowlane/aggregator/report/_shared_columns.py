"""What is known of requests, turned from the lake's rows into columns that rules are found in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shadowlane.aggregator.rules import Categories, Column, Flags, Numbers

SEGMENT, FEATURE, REQUEST = "segment", "feature", "request"
MISSING, ABSENT = "missing", "absent"
HOUR, MODEL_VERSION, SHADOW_VERSION = "hour of day (UTC)", "model version", "shadow version"

#: Fields beyond the most frequent ones are not looked at: each costs as much as all requests.
MOST_FIELDS = 200

_NUMERIC = ("numbers", "integers")
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Named:
    """One map column, taken apart: for each value its row and the place of its name among all."""

    names: tuple[str, ...]
    name: Rows
    row: Rows
    items: pa.Array

    def rows_of(self, place: int) -> tuple[Rows, Rows]:
        """The rows that have this name, and where their values are."""
        at = np.flatnonzero(self.name == place)
        return self.row[at], at


def named(column: pa.ChunkedArray | pa.Array) -> Named:
    """A column of maps, or of lists of names."""
    array = whole(column)
    is_map = pa.types.is_map(array.type)
    ends = array.offsets.to_numpy()
    first, last = int(ends[0]), int(ends[-1])
    keys = (array.keys if is_map else array.values).slice(first, last - first).dictionary_encode()
    items = (array.items if is_map else array.values).slice(first, last - first)
    rows = np.repeat(np.arange(len(array)), np.diff(ends))
    places = keys.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return Named(tuple(keys.dictionary.to_pylist()), places, rows, items)


def whole(column: pa.ChunkedArray | pa.Array) -> Any:
    """A column in one piece."""
    if isinstance(column, pa.Array):
        return column
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def fields_of(table: pa.Table, order: Rows) -> tuple[list[Column], dict[str, tuple[str, ...]], str]:
    """All that the rows tell, in this order; which names each map of features has; and what was left out."""
    columns, names = _of_requests(table, order), dict[str, tuple[str, ...]]()
    if "features" in table.column_names:
        features = whole(table["features"])
        maps = dict(zip((each.name for each in features.type), map(named, features.flatten()), strict=True))
        is_known = ~features.is_null().to_numpy(zero_copy_only=False)
        columns += _of_features(maps, is_known, order)
        names = {kind: found.names for kind, found in maps.items()}
    columns = _merged(columns)
    if len(columns) <= MOST_FIELDS:
        return columns, names, ""
    return columns[:MOST_FIELDS], names, f"Of {len(columns):,} fields {MOST_FIELDS} were looked at."


def _merged(columns: Iterable[Column]) -> list[Column]:
    """Flags that say the same of the same feature, by the worker and by the request, become one."""
    merged: dict[tuple[str, str, str, type], Column] = {}
    for column in columns:
        key = (column.name, column.of, column.says if isinstance(column, Flags) else "", type(column))
        known = merged.get(key)
        if isinstance(known, Flags) and isinstance(column, Flags):
            merged[key] = replace(known, values=known.values | column.values)
        elif known is None:
            merged[key] = column
    return list(merged.values())


def _of_requests(table: pa.Table, order: Rows) -> list[Column]:
    """What every row tells: segments, versions, the hour, and the features that the shadow missed."""
    segments = _texts(named(table["segments"]), SEGMENT, order, is_none=True)
    hours = Numbers(HOUR, table["hour"].to_numpy().astype(np.float64)[order], REQUEST)
    return [
        *segments,
        hours,
        *(
            _text(name, whole(table[column]), order)
            for name, column in ((MODEL_VERSION, "model_version"), (SHADOW_VERSION, "shadow_version"))
        ),
        *_missing(named(table["missing_features"]), order),
    ]


def _text(name: str, column: pa.Array, order: Rows) -> Categories:
    encoded = column.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return _sorted(name, codes[order], encoded.dictionary.to_pylist(), REQUEST, is_none=False)


def _texts(found: Named, of: str, order: Rows, *, is_none: bool) -> list[Column]:
    """A map of texts as a column for each of its names."""
    items = found.items.dictionary_encode()
    values: list[str] = items.dictionary.to_pylist()
    codes = items.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    columns = list[Column]()
    for place in _frequent(found):
        rows, at = found.rows_of(place)
        of_rows = np.full(len(order), -1, np.int64)
        of_rows[rows] = codes[at]
        columns.append(_sorted(found.names[place], of_rows[order], values, of, is_none=is_none))
    return columns


def _sorted(name: str, codes: Rows, values: Sequence[str], of: str, *, is_none: bool) -> Categories:
    """The values that occur, in their own order: that of the rows must not matter."""
    present = np.unique(codes[codes >= 0])
    occurring = sorted(values[code] for code in present.tolist())
    place_of = {value: place for place, value in enumerate(occurring)}
    renamed = np.full(len(values) + 1, -1, np.int32)  # the last one is -1's
    renamed[present] = [place_of[values[code]] for code in present.tolist()]
    return Categories(name, renamed[codes], tuple(occurring), of, is_none)


def _missing(found: Named, order: Rows) -> list[Column]:
    """Which features are missing, by lists of names."""
    columns = list[Column]()
    for place in _frequent(found):
        flags = np.zeros(len(order), bool)
        flags[found.rows_of(place)[0]] = True
        columns.append(Flags(found.names[place], flags[order], MISSING, FEATURE))
    return columns


def _of_features(maps: Mapping[str, Named], is_known: NDArray[np.bool_], order: Rows) -> list[Column]:
    """A column for each feature, and one for each that is not there at all in some request."""
    there: dict[str, NDArray[np.bool_]] = {}
    numbers: dict[str, NDArray[np.float64]] = {}
    for kind, found in maps.items():
        for place in _frequent(found):
            name = found.names[place]
            rows, at = found.rows_of(place)
            there.setdefault(name, np.zeros(len(order), bool))[rows] = True
            if kind in _NUMERIC:
                values = numbers.setdefault(name, np.full(len(order), np.nan))
                values[rows] = found.items.to_numpy(zero_copy_only=False)[at]
    flags = replace(maps["flags"], items=maps["flags"].items.cast(pa.string()))
    return [
        *(Numbers(name, values[order], FEATURE) for name, values in sorted(numbers.items())),
        *_texts(maps["strings"], FEATURE, order, is_none=False),
        *_texts(flags, FEATURE, order, is_none=False),
        *_missing(maps["missing"], order),
        *(
            Flags(name, (is_known & ~is_there)[order], ABSENT, FEATURE)
            for name, is_there in sorted(there.items())
            if (is_known & ~is_there).any()
        ),
    ]


def _frequent(found: Named) -> list[int]:
    """The places of the names, in their order; of very many, those of the most frequent."""
    counts = np.bincount(found.name[found.name >= 0], minlength=len(found.names))
    ranked = sorted(range(len(found.names)), key=lambda place: (-counts[place], found.names[place]))
    return sorted(ranked[:MOST_FIELDS], key=lambda place: found.names[place])
