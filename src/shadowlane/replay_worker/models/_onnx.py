"""onnx:path/to/model.onnx: a graph for ONNX Runtime; `?threads=4` lets one call use more than one thread."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shadowlane.errors import ModelError
from shadowlane.replay_worker._answers import numbers, predictions_of
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker._plan import ModelSource
from shadowlane.replay_worker.models._estimators import likeliest
from shadowlane.replay_worker.models._extras import imported, read_pinned
from shadowlane.replay_worker.models._inputs import matrix_of
from shadowlane.replay_worker.models._outputs import class_text, labels, of_array, vectors
from shadowlane.replay_worker.models._protocol import LoadedModel

_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
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

Arrays = dict[str, np.ndarray[Any, Any]]


class OnnxModel(LoadedModel):
    """A graph that takes one matrix, or one input for each feature."""

    def __init__(self, session: Any, features: Sequence[str]) -> None:
        self._session = session
        self._inputs = [_Input(each) for each in session.get_inputs()]
        self._one_at_a_time = any(each.rows == 1 for each in self._inputs)
        self._outputs = _Outputs(session.get_outputs())
        self.names = _names(session, self._inputs, features)
        self._is_matrix = len(self._inputs) == 1 and self._inputs[0].is_matrix(len(self.names))

    def prepare(self, features: FeatureBatch) -> Arrays:
        """An array for each input, in its type."""
        if self._is_matrix:
            (only,) = self._inputs
            return {only.name: only.of_matrix(matrix_of(features, self.names), self.names)}
        columns = features.columns_of(self.names)
        return {
            each.name: each.of_column(name, column)
            for each, name, column in zip(self._inputs, self.names, columns, strict=True)
        }

    def single(self, inputs: Arrays, row: int) -> tuple[Any, int]:
        """The arrays of one row."""
        return {name: array[row : row + 1] for name, array in inputs.items()}, 0

    def one(self, inputs: Arrays, row: int) -> object:
        """Run the graph for one row."""
        if any(len(array) != 1 for array in inputs.values()):
            inputs, _ = self.single(inputs, row)
        return self._session.run(self._outputs.names, inputs)

    def many(self, inputs: Arrays) -> Any:
        """Run the graph for all rows; one that was made for single rows runs for each."""
        if not self._one_at_a_time:
            return [self._session.run(self._outputs.names, inputs)]
        rows = len(next(iter(inputs.values())))
        return [self.one(self.single(inputs, row)[0], 0) for row in range(rows)]

    def read_each(self, answers: Sequence[Any]) -> pa.StructArray:
        """The predictions in what some runs gave."""
        return self._outputs.read(answers)

    def read_many(self, answers: Any, rows: int) -> pa.StructArray:
        """The predictions in the run for so many rows."""
        found = self.read_each(answers)
        if len(found) != rows:
            raise ModelError(f"{rows} requests, but the graph gave {len(found)} answers")
        return found


class _Input:
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
            raise ModelError(
                f"feature {feature!r} is {column.type}, and the model takes {_said(self.type)} there"
            )
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


class _Outputs:
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


def load(source: ModelSource) -> LoadedModel:
    """Open the file; a graph runs no code of its own, so a sha256 is checked only if one was given."""
    runtime = imported("onnxruntime", "onnx")
    name, _, query = source.uri.partition(":")[2].partition("?")
    path = Path(name)
    data, _ = read_pinned(source, path)
    options = runtime.SessionOptions()
    # One thread: a fleet has a process for each core, and single rows of most graphs gain nothing from more.
    options.intra_op_num_threads = _threads(query)
    options.inter_op_num_threads = 1
    providers = [each for each in _PROVIDERS if each in runtime.get_available_providers()]
    # By its path, unless it is pinned: the weights of a large graph lie in files beside it.
    graph = data if source.sha256 else str(path)
    try:
        session = runtime.InferenceSession(graph, options, providers=providers)
    except Exception as error:
        raise ModelError(f"{name!r} is no graph that ONNX Runtime can run: {error}") from None
    if source.input not in (None, "numpy"):
        raise ModelError(f"input {source.input!r}: a graph takes numpy")
    return OnnxModel(session, source.features)


def _threads(query: str) -> int:
    key, _, count = query.partition("=")
    if not query:
        return 1
    if key != "threads" or not count.isdigit():
        raise ModelError(f"?{query}: write ?threads=4 (0: as many as there are cores)")
    return int(count)


def _names(session: Any, inputs: Sequence[_Input], given: Sequence[str]) -> list[str]:
    """The features, in the graph's order: as named by the user, in the file, or by the inputs themselves.

    Raises:
        ModelError: nobody says, or there are too many or too few.
    """
    names = list(given) or _named_in(session.get_modelmeta().custom_metadata_map)
    if len(inputs) > 1:
        names = names or [each.name for each in inputs]
        wanted: int | None = len(inputs)
    else:
        wanted = inputs[0].width
        if not names and (wanted == 1 or inputs[0].type == np.object_):
            names = [inputs[0].name]
    if not names:
        raise ModelError(
            f"the graph takes {wanted or 'some'} features in one matrix and does not name them: give their "
            f"names in order (--features)"
        )
    is_vector = len(inputs) == len(names) == 1
    if wanted not in (None, len(names)) and not is_vector:
        raise ModelError(f"the graph takes {wanted} features, and {len(names)} were named")
    return names


def _named_in(metadata: dict[str, str]) -> list[str]:
    """The features that the file's metadata name: a JSON list or names with commas."""
    text = metadata.get("features") or metadata.get("feature_names") or ""
    if text.startswith("["):
        return [str(name) for name in json.loads(text)]
    return [name.strip() for name in text.split(",") if name.strip()]


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
