"""One typed map of a batch of requests: which names stand in which row, and what under them.

Most services send the same features in the same order with each request; then a batch of maps is a
table already, and nothing is looked up. Measured over 2,000 rows of 20 features: 0.06 µs a row in place
of 0.7 with all names dictionary-encoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

Array = np.ndarray[Any, Any]


class TypedMap:
    """The names and values of one kind (numbers, strings, …) in the rows of a batch.

    Those that were given as null (`missing`, a list) have names only.
    """

    def __init__(self, column: pa.MapArray | pa.ListArray) -> None:
        ends = column.offsets.to_numpy()
        first, last = int(ends[0]), int(ends[-1])
        is_map = pa.types.is_map(column.type)
        self.rows = len(column)
        #: Where each row begins and the last one ends.
        self.ends: Array = ends - first
        self.items: pa.Array = (column.items if is_map else column.values).slice(first, last - first)
        keys = (column.keys if is_map else column.values).slice(first, last - first)
        #: How many names each row has, where all rows have the same ones in the same order; else 0.
        self.width = _width(keys, self.ends)
        self._codes: Array | None = None
        if self.width:
            self.names: list[str] = keys.slice(0, self.width).to_pylist()
        else:
            encoded = keys.dictionary_encode()
            self.names = encoded.dictionary.to_pylist()
            self._codes = encoded.indices.to_numpy()

    @property
    def codes(self) -> Array:
        """For each value which of the names it stands under."""
        if self._codes is None:
            self._codes = np.tile(np.arange(self.width), self.rows)
        return self._codes

    @property
    def row_of(self) -> Array:
        """For each value the row that it stands in."""
        return np.repeat(np.arange(self.rows), np.diff(self.ends))

    def write(self, column_of: Mapping[str, int], values: Array, out: Array) -> None:
        """Write the values (one for each of `items`) into a table of these columns."""
        if not len(values):
            return
        if not self.width:
            columns, rows = self._columns(column_of)[self.codes], self.row_of
            wanted = columns >= 0
            if not wanted.all():
                columns, rows, values = columns[wanted], rows[wanted], values[wanted]
            out[rows, columns] = values
            return
        table, columns = values.reshape(self.rows, self.width), self._columns(column_of)
        if np.array_equal(columns, np.arange(out.shape[1])):
            out[:] = table
        else:
            wanted = columns >= 0
            out[:, columns[wanted]] = table[:, wanted]

    def mark(self, column_of: Mapping[str, int], out: Array) -> None:
        """Say True in a table of these columns where a row has a value."""
        if self.width:
            columns = self._columns(column_of)
            out[:, columns[columns >= 0]] = True
        else:
            columns = self._columns(column_of)[self.codes]
            wanted = columns >= 0
            out[self.row_of[wanted], columns[wanted]] = True

    def counts(self) -> dict[str, int]:
        """How often each name stands here."""
        if self.width:
            return dict.fromkeys(self.names, self.rows)
        found = np.bincount(self.codes, minlength=len(self.names))
        return dict(zip(self.names, found.tolist(), strict=True))

    def values(self) -> list[Any]:
        """The values as Python's own, in the order of `items`."""
        items = self.items
        if items.null_count or pa.types.is_nested(items.type):
            return items.to_pylist()  # type: ignore[no-any-return]
        return items.to_numpy(zero_copy_only=False).tolist()  # type: ignore[no-any-return]

    def columns(self, values: list[Any]) -> list[list[Any]]:
        """Of rows that all have the same names: the values under each."""
        return [values[place :: self.width] for place in range(self.width)]

    def dicts(self) -> list[dict[str, Any]]:
        """A dict for each row."""
        if self.width:
            table = zip(*self.columns(self.values()), strict=True)
            return [dict(zip(self.names, row, strict=True)) for row in table]
        rows: list[dict[str, Any]] = [{} for _ in range(self.rows)]
        if len(self.items):
            self.update(rows, self.values())
        return rows

    def update(self, rows: list[dict[str, Any]], values: list[Any]) -> None:
        """Add each row's names and values to its dict."""
        names, codes = self.names, self.codes.tolist()
        for row, (start, end) in zip(rows, pairwise(self.ends.tolist()), strict=True):
            row.update(zip([names[code] for code in codes[start:end]], values[start:end], strict=True))

    def _columns(self, column_of: Mapping[str, int]) -> Array:
        return np.array([column_of.get(name, -1) for name in self.names], np.int64)


def _width(keys: pa.StringArray, ends: Array) -> int:
    """How many names each row has, where they are the same in each; 0 where they are not, or are none."""
    rows = len(ends) - 1
    width = int(ends[1]) if rows else 0
    if not width or len(keys) != rows * width or not (np.diff(ends) == width).all():
        return 0
    _, offsets, text = keys.buffers()
    letters = np.frombuffer(offsets, np.int32)[keys.offset : keys.offset + len(keys) + 1]
    lengths = np.diff(letters)
    if not np.array_equal(lengths[width:], lengths[:-width]):
        return 0
    row = int(letters[width] - letters[0])
    written = np.frombuffer(text, np.uint8)[letters[0] : letters[-1]]
    return width if np.array_equal(written[row:], written[: len(written) - row]) else 0
