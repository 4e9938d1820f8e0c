"""The forms in which models take features: dicts, a matrix, a DataFrame, an Arrow table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from shadowlane.errors import ModelError
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker._plan import InputForm
from shadowlane.replay_worker.models._extras import imported


@dataclass(frozen=True, slots=True)
class Form:
    """How a batch is given to a model, how one request of it, and how a batch of only that one."""

    prepare: Callable[[FeatureBatch], Any]
    single: Callable[[Any, int], Any]
    alone: Callable[[Any, int], Any]


#: As it is: a model that does not say what it takes gets dicts one by one, and this together.
BATCH = Form(lambda batch: batch, lambda batch, row: batch.take([row]), lambda batch, row: batch.take([row]))
DICTS = Form(FeatureBatch.dicts, lambda dicts, row: dicts[row], lambda dicts, row: [dicts[row]])


def form_of(kind: InputForm, names: Sequence[str], text: Collection[str] = ()) -> Form:
    """The form of this kind, of these features in this order; `text`: those that are text, if it is known.

    Raises:
        ModelError: there is no such form, or it has columns and nobody says which.
    """
    if kind not in get_args(InputForm):
        raise ModelError(f"input {kind!r}: use one of {', '.join(get_args(InputForm))}")
    if kind == "dicts":
        return DICTS
    if not names:
        raise ModelError(f"input {kind!r} has a column for each feature: name them in order (--features)")
    if kind == "pandas":
        pandas = imported("pandas", "sklearn")
        first = pandas.RangeIndex(1)

        def of_row(frame: Any, row: int) -> Any:
            alone = frame.iloc[row : row + 1]
            alone.index = first  # the only row is row 0, as in a DataFrame made of one request
            return alone

        return Form(lambda batch: pandas_of(table_of(batch, names, text)), of_row, of_row)
    if kind == "arrow":
        return Form(lambda batch: table_of(batch, names), _table_row, _table_row)
    return Form(lambda batch: matrix_of(batch, names), _matrix_row, _matrix_row)


def matrix_of(batch: FeatureBatch, names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Numbers, integers and flags as floats; what is not there is NaN.

    Raises:
        ModelError: a feature is text, a list or nested: none of these is a missing number.
    """
    strange = batch.not_numbers(names)
    if strange:
        raise ModelError(f"the model takes numbers, and these features are none: {', '.join(strange)}")
    return batch.matrix(names)


def table_of(batch: FeatureBatch, names: Sequence[str], text: Collection[str] = ()) -> pa.Table:
    """A column for each feature, in its own type; what is not there is null. Nested values are JSON text."""
    columns = [
        pa.nulls(len(column), pa.string()) if name in text and column.null_count == len(column) else column
        for name, column in zip(names, batch.columns_of(names), strict=True)
    ]
    return pa.Table.from_arrays(columns, names=list(names))


def pandas_of(table: pa.Table) -> Any:
    """An Arrow table as a DataFrame; integers of which some are missing are floats, as pandas does it."""
    frame = table.to_pandas()
    for name in table.column_names:
        # None and NaN are two categories to an encoder, and reading a CSV file gives NaN.
        if table.column(name).null_count and frame[name].dtype == object:
            frame[name] = frame[name].where(frame[name].notna(), np.nan)
    return frame


def _matrix_row(matrix: np.ndarray[Any, Any], row: int) -> np.ndarray[Any, Any]:
    return matrix[row : row + 1]


def _table_row(table: pa.Table, row: int) -> pa.Table:
    return table.slice(row, 1)
