"""The features of a batch of requests, in the forms that models ask for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

_NUMERIC = ("numbers", "integers", "flags")
_NOT_NUMERIC = ("strings", "vectors", "json")
_PLAIN = ("numbers", "integers", "flags", "strings", "vectors")


class FeatureBatch:
    """The features of some requests: as a matrix, or as a dict for each."""

    def __init__(self, features: pa.StructArray) -> None:
        self.arrow = features

    def __len__(self) -> int:
        return len(self.arrow)

    def matrix(self, names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """One row a request, one column a name; a feature that is not there, or no number, is NaN."""
        out = np.full((len(self), len(names)), np.nan)
        column_of = {name: column for column, name in enumerate(names)}
        for kind in _NUMERIC:
            _scatter(self.arrow.field(kind), column_of, out)
        return out

    def not_numbers(self, names: Sequence[str]) -> list[str]:
        """Which of these features some request gives as text, a list or nested."""
        given = {name for kind in _NOT_NUMERIC for name in _keys(self.arrow.field(kind)).unique().to_pylist()}
        return sorted(given.intersection(names))

    def dicts(self) -> list[dict[str, Any]]:
        """One dict a request, as `Features.to_dict` gives it."""
        rows: list[dict[str, Any]] = [{} for _ in range(len(self))]
        for kind in _PLAIN:
            _update(rows, self.arrow.field(kind), lambda value: value)
        _update(rows, self.arrow.field("json"), json.loads)
        for row, missing in zip(rows, self.arrow.field("missing").to_pylist(), strict=True):
            row.update(dict.fromkeys(missing))
        return rows


def _keys(column: pa.MapArray) -> pa.Array:
    """The names in one typed map of the rows, and of no others of the batch they are a slice of."""
    first, last = column.offsets[0].as_py(), column.offsets[-1].as_py()
    return column.keys.slice(first, last - first)


def _scatter(column: pa.MapArray, column_of: dict[str, int], out: np.ndarray[Any, Any]) -> None:
    """Write one typed map of each row into the matrix, without touching a row in Python."""
    offsets = column.offsets.to_numpy()
    first, last = int(offsets[0]), int(offsets[-1])
    if first == last:
        return
    keys = column.keys.slice(first, last - first).dictionary_encode()
    known = np.array([column_of.get(name, -1) for name in keys.dictionary.to_pylist()])
    columns = known[keys.indices.to_numpy()]
    rows = np.repeat(np.arange(len(column)), np.diff(offsets))
    values = column.items.slice(first, last - first).cast(pa.float64(), safe=False).to_numpy()
    wanted = columns >= 0
    out[rows[wanted], columns[wanted]] = values[wanted]


def _update(rows: list[dict[str, Any]], column: pa.MapArray, read: Callable[[Any], Any]) -> None:
    """Add one typed map of each row to the row's dict; a slice of a batch costs no more than itself."""
    offsets = column.offsets.to_pylist()
    first, last = offsets[0], offsets[-1]
    if first == last:
        return
    keys = column.keys.slice(first, last - first).to_pylist()
    values = [read(value) for value in column.items.slice(first, last - first).to_pylist()]
    for row, (start, end) in zip(rows, pairwise(offsets), strict=True):
        row.update(zip(keys[start - first : end - first], values[start - first : end - first], strict=True))
