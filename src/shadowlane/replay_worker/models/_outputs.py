"""Whatever models answer, read as predictions: what most of them give without a look at each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from shadowlane.errors import ModelError
from shadowlane.replay_worker._answers import PREDICTION, numbers, prediction_column, predictions_of
from shadowlane.schemas import Prediction, label_text

_PARTS = frozenset(PREDICTION.field(index).name for index in range(PREDICTION.num_fields))
_FLOATS = ({float}, {np.float64}, {np.float32})
_MATRIX = 2


def read_answers(answers: Sequence[Any]) -> pa.StructArray:
    """The predictions in answers to one request each; any that `Prediction.of` reads.

    Raises:
        NoFormError: one of them is no prediction.
    """
    kinds = set(map(type, answers))
    if kinds in _FLOATS:
        return predictions_of(len(answers), score=numbers(np.array(answers, np.float64)))
    if kinds == {str}:
        return predictions_of(len(answers), label=pa.array(answers, pa.string()))
    if kinds in ({int}, {bool}):
        return predictions_of(len(answers), label=pa.array(map(label_text, answers), pa.string()))
    if kinds == {dict} and (named := _label_and_score(answers)) is not None:
        return named
    return prediction_column([Prediction.of(answer) for answer in answers])


def read_table(answers: Any, rows: int) -> pa.StructArray:
    """The predictions in one answer to so many requests: a list, an array, a table, or lists with names.

    Raises:
        ModelError: it answers another number of requests, or its columns say nothing.
        NoFormError: one of them is no prediction.
    """
    if hasattr(answers, "iterrows"):
        answers = _of_frame(answers)
    elif isinstance(answers, (pa.Table, pa.RecordBatch)):
        answers = _of_columns({name: answers.column(name).to_pylist() for name in answers.schema.names})
    elif isinstance(answers, Mapping):
        answers = _of_columns({str(name): _listed(column) for name, column in answers.items()})
    if isinstance(answers, pa.StructArray) and answers.type == PREDICTION:
        found = answers
    elif isinstance(answers, np.ndarray) and answers.ndim and answers.dtype.kind in "fiub":
        found = of_array(answers)
    elif hasattr(answers, "__len__") and not isinstance(answers, (str, bytes)):
        found = read_answers(_listed(answers))
    else:
        raise ModelError(f"predict gave a {type(answers).__name__}, not an answer to each request")
    if len(found) != rows:
        asked = "1 request" if rows == 1 else f"{rows} requests"
        raise ModelError(f"{asked}, but predict gave {len(found)} answers")
    return found


def read_tables(answers: Sequence[Any]) -> pa.StructArray:
    """The predictions in answers that each are a table of one row."""
    kinds = {(type(each), getattr(each, "dtype", None), getattr(each, "shape", None)) for each in answers}
    if len(kinds) == 1:
        ((kind, _, shape),) = kinds
        if kind is np.ndarray and shape and shape[0] == 1:
            return read_table(np.concatenate(answers), len(answers))
        if kind is list and set(map(len, answers)) == {1}:
            return read_answers(list(chain.from_iterable(answers)))
    return pa.concat_arrays([predictions_of(0), *(read_table(each, 1) for each in answers)])


def of_array(values: np.ndarray[Any, Any]) -> pa.StructArray:
    """Floats are scores, integers and flags labels, a row of numbers a vector."""
    if values.ndim == 1 and values.dtype.kind == "f":
        return predictions_of(len(values), score=numbers(values.astype(np.float64, copy=False)))
    if values.ndim == 1:
        return predictions_of(len(values), label=labels(values))
    if values.ndim == _MATRIX and values.dtype.kind != "b":
        return predictions_of(len(values), vector=vectors(values))
    return read_answers(values.tolist())


def labels(values: np.ndarray[Any, Any]) -> pa.StringArray:
    """Classes as the primary's labels would be: 1 and 1.0 are "1", True is "true"."""
    different, places = np.unique(values, return_inverse=True)
    return pa.array(map(class_text, different.tolist()), pa.string()).take(numbers(places.reshape(-1)))


def class_text(name: Any) -> str:
    """A class as the primary's label would be: 1 and 1.0 are "1", True is "true"."""
    whole = isinstance(name, float) and name.is_integer()
    return label_text(int(name) if whole else name)


def vectors(values: np.ndarray[Any, Any]) -> pa.ListArray:
    """The rows of a matrix, as lists."""
    rows, width = values.shape
    ends = numbers(np.arange(rows + 1, dtype=np.int32) * np.int32(width))
    flat = numbers(values.astype(np.float64, copy=False).reshape(-1))
    return pa.ListArray.from_arrays(ends, flat, type=PREDICTION.field("vector").type)


def _label_and_score(answers: Sequence[dict[Any, Any]]) -> pa.StructArray | None:
    """Answers that are all {"label": text, "score": float}, the most common form of a classifier."""
    try:
        found = [answer["label"] for answer in answers], [answer["score"] for answer in answers]
    except KeyError:
        return None
    if set(map(len, answers)) != {2} or [set(map(type, each)) for each in found] != [{str}, {float}]:
        return None
    return predictions_of(
        len(answers), label=pa.array(found[0], pa.string()), score=pa.array(found[1], pa.float64())
    )


def _of_frame(frame: Any) -> Any:
    """Of a pandas DataFrame the only column, the columns with names of ours, or a vector of numbers."""
    names = list(frame.columns)
    if len(names) == 1 and names[0] not in _PARTS:
        return frame[names[0]].to_numpy()
    if all(getattr(kind, "kind", "O") in "fiu" for kind in frame.dtypes) and _PARTS.isdisjoint(names):
        return frame.to_numpy()
    return _of_columns({name: frame[name].tolist() for name in names})


def _of_columns(columns: Mapping[str, Sequence[Any]]) -> Sequence[dict[str, Any]]:
    if not columns or not _PARTS.issuperset(columns) or len(set(map(len, columns.values()))) != 1:
        raise ModelError(
            f"predict gave columns {', '.join(map(str, columns))}: name them label, score, vector or "
            f"ranking, and give each an item for each request"
        )
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _listed(values: Any) -> Sequence[Any]:
    """A column of any library as a list; one number for all requests is none."""
    if isinstance(values, list):
        return values
    for method in ("tolist", "to_pylist", "to_list"):
        if hasattr(values, method):
            return _listed(getattr(values, method)())
    return list(values)
