"""onnx:path/to/model.onnx: a graph for ONNX Runtime; `?threads=4` lets one call use more than one thread."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shadowlane.errors import ModelError
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker._plan import ModelSource
from shadowlane.replay_worker.models._extras import imported, read_pinned
from shadowlane.replay_worker.models._inputs import matrix_of
from shadowlane.replay_worker.models._onnx_io import Input, Outputs
from shadowlane.replay_worker.models._protocol import LoadedModel

_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")

Arrays = dict[str, np.ndarray[Any, Any]]


class OnnxModel(LoadedModel):
    """A graph that takes one matrix, or one input for each feature."""

    def __init__(self, session: Any, features: Sequence[str]) -> None:
        self._session = session
        self._inputs = [Input(each) for each in session.get_inputs()]
        self._one_at_a_time = any(each.rows == 1 for each in self._inputs)
        self._outputs = Outputs(session.get_outputs())
        self.names = _names(session, self._inputs, features)
        self._is_matrix = len(self._inputs) == 1 and self._inputs[0].is_matrix(len(self.names))
        if not self._is_matrix and len(self.names) != len(self._inputs):
            raise ModelError("the graph takes several features of text in one input: give each its own")

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


def _names(session: Any, inputs: Sequence[Input], given: Sequence[str]) -> list[str]:
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
