"""The inputs and outputs of an ONNX graph: what features become, and what predictions are read from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from shadowlane.errors import ModelError
from shadowlane.replay_worker._answers import numbers, predictions_of
from shadowlane.replay_worker.models._estimators import likeliest
from shadowlane.replay_worker.models._outputs import class_text, labels, of_array, vectors

_TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
_CLASSES = ("tensor(int64)", "tensor(int32)", "tensor(string)", "tensor(bool)")
_MATRIX = 2


class Input:
    """One input of a graph: numbers or text, a column or several."""

    def __init__(self, described: Any) -> None:
        self.name: str = described.name
        shape = list(described.shape)
        if described.type not in _TYPES or len(shape) not in (1, _MATRIX):
            raise ModelError(
                f"input {self.name!r} is a {described.type} of {len(shape)} dimensions: only rows of numbers "
                f"or text can be made of features; ask the graph in a python: model"
            )
        self.type = np.dtype(_TYPES[described.type])
        self.rows = shape[0] if isinstance(shape[0], int) else None
        if self.rows not in (None, 1):
            raise ModelError(
                f"input {self.name!r} takes {self.rows} requests at once: leave their number open"
            )
        self.is_flat = len(shape) == 1
        #: None: as many as there are.
        self.width = 1 if self.is_flat else shape[1] if isinstance(shape[1], int) else None

    def is_matrix(self, features: int) -> bool:
        """Whether these are the columns of one matrix, and not of one vector."""
        return self.type != np.object_ and self.width in (None, features) and not self.is_flat

    def of_matrix(self, matrix: np.ndarray[Any, Any], names: Sequence[str]) -> np.ndarray[Any, Any]:
        """The matrix in this input's type.

        Raises:
            ModelError: a number is missing, and the type has nothing for that.
        """
        if self.type.kind != "f" and (absent := np.flatnonzero(np.isnan(matrix).any(axis=0))).size:
            raise _missing([names[column] for column in absent.tolist()], self.type)
        return matrix.astype(self.type)

    def of_column(self, feature: str, column: pa.Array) -> np.ndarray[Any, Any]:
        """One feature in this input's type: text that is missing is empty, a float that is missing is NaN.

        Raises:
            ModelError: the feature is of another type, or is missing where the type has nothing for that.
        """
        is_text, is_list = pa.types.is_string(column.type), pa.types.is_list(column.type)
        if column.null_count == len(column) and self.type == np.object_:
            column, is_text = pa.nulls(len(column), pa.string()), True
        if is_text is not (self.type == np.object_):
            taken = "text" if self.type == np.object_ else self.type
            raise ModelError(f"feature {feature!r} is {column.type}, and the model takes {taken} there")
        if is_list:
            return self._of_lists(feature, column)
        if column.null_count and self.type.kind not in "fO":
            raise _missing([feature], self.type)
        if is_text:
            array = column.fill_null("").to_numpy(zero_copy_only=False)
        else:
            array = column.to_numpy(zero_copy_only=False).astype(self.type)
        column_of_one: np.ndarray[Any, Any] = array if self.is_flat else array.reshape(-1, 1)
        return column_of_one

    def _of_lists(self, feature: str, column: pa.ListArray) -> np.ndarray[Any, Any]:
        try:
            array = np.array(column.to_pylist(), self.type)
        except (TypeError, ValueError):  # of different lengths, or missing
            array = np.empty(0)
        if array.ndim != _MATRIX or self.width not in (None, array.shape[1]):
            raise ModelError(f"feature {feature!r} is no list of {self.width or 'always as many'} numbers")
        return array


class Outputs:
    """Which outputs are asked for, and what they say."""

    def __init__(self, described: Sequence[Any]) -> None:
        kinds = {each.name: each.type for each in described}
        classes = [name for name, kind in kinds.items() if kind in _CLASSES]
        others = [name for name in kinds if name not in classes]
        chosen = {part: part for part in ("label", "score", "vector") if part in kinds}
        if len(kinds) == 1:
            chosen = {"only": next(iter(kinds))}
        elif len(classes) == len(others) == 1 and "vector" not in chosen:
            chosen = {"label": classes[0], "sureness": others[0]}
        elif not chosen:
            raise ModelError(
                f"the graph's outputs {', '.join(kinds)} do not say which is what: name them label, score or "
                f"vector"
            )
        self._parts, self.names = list(chosen), list(chosen.values())

    def read(self, answers: Sequence[Sequence[Any]]) -> pa.StructArray:
        """The predictions in what some runs gave, one after the other."""
        if not answers:
            return predictions_of(0)
        parts = {part: _joined([run[place] for run in answers]) for place, part in enumerate(self._parts)}
        if "only" in parts:
            return _read_only(parts["only"])
        columns: dict[str, pa.Array] = {}
        if "label" in parts:
            columns["label"] = labels(parts["label"].reshape(-1))
        if "sureness" in parts:
            columns["score"] = _highest(parts["sureness"])
        if "score" in parts:
            columns["score"] = _floats(parts["score"].reshape(-1))
        if "vector" in parts:
            columns["vector"] = vectors(parts["vector"].reshape(len(parts["vector"]), -1))
        return predictions_of(len(next(iter(columns.values()))), **columns)


def _missing(features: Sequence[str], kind: Any) -> ModelError:
    return ModelError(f"missing: {', '.join(features)}; the model takes {kind} there, and no gaps")


def _joined(parts: Sequence[Any]) -> Any:
    """What one output gave in some runs: arrays, or a list of {class: probability} for each row."""
    if isinstance(parts[0], list):
        return list(chain.from_iterable(parts))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _read_only(found: Any) -> pa.StructArray:
    """The only output: classes with probabilities, labels, scores or vectors."""
    if isinstance(found, list):
        classes = pa.array([class_text(name) for name in found[0]] if found else [], pa.string())
        return likeliest(classes, _matrix(found))
    if found.ndim == _MATRIX and found.shape[1] == 1:
        found = found.reshape(-1)
    if found.dtype.kind in "OU":
        return predictions_of(len(found), label=labels(found.reshape(-1)))
    return of_array(found)


def _highest(found: Any) -> pa.Array:
    """How sure the model is of its label."""
    table = _matrix(found) if isinstance(found, list) else found.reshape(len(found), -1)
    return _floats(table.max(axis=1))


def _floats(values: np.ndarray[Any, Any]) -> pa.Array:
    return numbers(values.astype(np.float64))


def _matrix(rows: Sequence[dict[Any, float]]) -> np.ndarray[Any, Any]:
    return np.array([list(row.values()) for row in rows], np.float64).reshape(len(rows), -1)
