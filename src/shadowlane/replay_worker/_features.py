"""The features of a batch of requests, in the forms that models ask for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

_NUMERIC = ("numbers", "integers", "flags")
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

    def dicts(self) -> list[dict[str, Any]]:
        """One dict a request, as `Features.to_dict` gives it."""
        rows: list[dict[str, Any]] = [{} for _ in range(len(self))]
        for kind in _PLAIN:
            column = self.arrow.field(kind)
            _update(rows, column, column.items.to_pylist())
        nested = self.arrow.field("json")
        _update(rows, nested, [json.loads(text) for text in nested.items.to_pylist()])
        for row, missing in zip(rows, self.arrow.field("missing").to_pylist(), strict=True):
            row.update(dict.fromkeys(missing))
        return rows


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


def _update(rows: list[dict[str, Any]], column: pa.MapArray, values: list[Any]) -> None:
    """Add one typed map of each row to the row's dict."""
    if not values:
        return
    keys = column.keys.to_pylist()
    for row, (start, end) in zip(rows, pairwise(column.offsets.to_pylist()), strict=True):
        if start != end:
            row.update(zip(keys[start:end], values[start:end], strict=True))
