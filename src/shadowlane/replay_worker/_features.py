"""The features of a batch of requests, in the forms that models ask for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

_NUMERIC = ("numbers", "integers", "flags")
_NOT_NUMERIC = ("strings", "vectors", "json")
_PLAIN = ("numbers", "integers", "flags", "strings", "vectors")


#: What a model that looks at the context is given beside the features.
CONTEXT = ("request_id", "event_time", "entity_id", "segments", "context")


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Whose request it is, and when it was made: replay's own clock is another."""

    request_id: str = ""
    event_time: datetime | None = None
    entity_id: str | None = None
    segments: Mapping[str, str] = field(default_factory=dict)
    #: Trace ids, headers and the like, as the service gave them.
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Always: nothing that is done for a shadow may be counted twice.
    shadow: bool = True

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> RequestContext:
        """From the columns of one request."""
        return cls(
            request_id=row.get("request_id") or "",
            event_time=row.get("event_time"),
            entity_id=row.get("entity_id"),
            segments=dict(row.get("segments") or ()),
            headers=dict(row.get("context") or ()),
        )


class FeatureBatch:
    """The features of some requests: as a matrix, or as a dict for each."""

    def __init__(self, features: pa.StructArray, context: pa.RecordBatch | None = None) -> None:
        self.arrow = features
        self._context = context

    def __len__(self) -> int:
        return len(self.arrow)

    def take(self, rows: Sequence[int]) -> FeatureBatch:
        """Some of the requests, in this order."""
        if len(rows) == 1:  # a view, where `take` copies
            context = self._context and self._context.slice(rows[0], 1)
            return FeatureBatch(self.arrow.slice(rows[0], 1), context)
        chosen = pa.array(rows, pa.int64())
        return FeatureBatch(self.arrow.take(chosen), self._context and self._context.take(chosen))

    @property
    def columns(self) -> pa.RecordBatch:
        """All that is known of the requests, as it travels to a model's process."""
        features = pa.RecordBatch.from_arrays([self.arrow], names=["features"])
        if self._context is None:
            return features
        return pa.RecordBatch.from_arrays(
            [self.arrow, *self._context.columns], names=["features", *self._context.schema.names]
        )

    @classmethod
    def of(cls, columns: pa.RecordBatch) -> FeatureBatch:
        """From what `columns` gave."""
        rest = [name for name in columns.schema.names if name != "features"]
        return cls(columns.column("features"), columns.select(rest) if rest else None)

    def contexts(self) -> list[RequestContext]:
        """Whose requests these are and when they were made, one for each."""
        rows = self._context.to_pylist() if self._context is not None else [{} for _ in range(len(self))]
        return [RequestContext.of(row) for row in rows]

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
