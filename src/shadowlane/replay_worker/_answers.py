"""What a model answered to a batch of requests, as columns, and what it failed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from shadowlane.schemas import Failure, Prediction, ShadowComparison
from shadowlane.schemas.columns import arrow_schema

_COMPARISON = arrow_schema(ShadowComparison)
PREDICTION: pa.StructType = _COMPARISON.field("shadow_prediction").type
FEATURES: pa.StructType = _COMPARISON.field("features").type
_PARTS = tuple(PREDICTION.field(index) for index in range(PREDICTION.num_fields))

#: One row for each answered request; `row` is its place in the batch.
ANSWERS = pa.schema(
    [
        pa.field("row", pa.int32()),
        pa.field("prediction", PREDICTION),
        pa.field("latency_ms", pa.float64()),
        pa.field("basis", pa.string()),
        pa.field("cpu_ms", pa.float64()),
        pa.field("gpu_ms", pa.float64()),
        pa.field("fetched", FEATURES),
    ]
)


@dataclass(frozen=True, slots=True)
class Answered:
    """Answers and failures; together they hold each row before `done` once, and no other."""

    answers: pa.RecordBatch
    failures: Sequence[tuple[int, Failure]]
    done: int
    #: For each row of the batch the features that the model wants and the request lacks; None: none do.
    missing: pa.ListArray | None = None
    unexpected: dict[str, int] = field(default_factory=dict)
    memory_mb: float | None = None

    @property
    def rows(self) -> np.ndarray[Any, Any]:
        """Which rows were answered, in rising order."""
        rows: np.ndarray[Any, Any] = self.answers.column("row").to_numpy()
        return rows


def prediction_column(predictions: Sequence[Prediction]) -> pa.StructArray:
    """Predictions as a column."""
    parts = [pa.array([getattr(each, part.name) for each in predictions], part.type) for part in _PARTS]
    return pa.StructArray.from_arrays(parts, fields=list(_PARTS))


def predictions_of(rows: int, **given: pa.Array) -> pa.StructArray:
    """Predictions of which each part is a column; the parts that are not given are null."""
    parts = [given.get(part.name) for part in _PARTS]
    filled = [
        pa.nulls(rows, part.type) if column is None else column
        for part, column in zip(_PARTS, parts, strict=True)
    ]
    return pa.StructArray.from_arrays(filled, fields=list(_PARTS))


def numbers(values: np.ndarray[Any, Any]) -> pa.Array:
    """NumPy's numbers as a column without a copy; `pa.array` would look for pandas at each call."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def no_answers() -> pa.RecordBatch:
    """A batch of none."""
    return pa.RecordBatch.from_arrays([pa.nulls(0, each.type) for each in ANSWERS], schema=ANSWERS)


def in_order(parts: Sequence[pa.RecordBatch], before: int) -> pa.RecordBatch:
    """All answers to rows before this one, in the order of the rows."""
    if len(parts) == 1:
        (batch,) = parts
    elif parts:
        (batch,) = pa.Table.from_batches(parts).combine_chunks().to_batches() or [no_answers()]
    else:
        return no_answers()
    rows = batch.column("row").to_numpy()
    if batch.num_rows == 0 or (rows[-1] < before and bool((np.diff(rows) > 0).all())):
        return batch
    return batch.take(numbers(np.argsort(rows, kind="stable")[: int((rows < before).sum())]))
