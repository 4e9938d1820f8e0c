"""python:package.module:attribute: a function of features, or a class with predict_one and/or predict."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shadowlane.errors import ModelError
from shadowlane.replay_worker._answers import numbers, predictions_of
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker._plan import ModelSource
from shadowlane.replay_worker.models._protocol import LoadedModel


class PythonModel(LoadedModel):
    """A function of a features dict, or an object with predict_one and/or predict."""

    def __init__(self, target: Any) -> None:
        self._one: Callable[[Mapping[str, Any]], object] | None = getattr(target, "predict_one", None)
        self._many: Callable[[FeatureBatch], Sequence[object]] | None = getattr(target, "predict", None)
        if self._one is None and self._many is None and callable(target):
            self._one = target
        if self._one is None and self._many is None:
            raise ModelError(
                f"a {type(target).__name__} is no model: neither callable, nor has it predict_one or predict"
            )

    def prepare(self, features: FeatureBatch) -> tuple[FeatureBatch, list[dict[str, Any]]]:
        """Dicts for `predict_one`, the batch for `predict`."""
        return features, features.dicts() if self._one else []

    def one(self, inputs: tuple[FeatureBatch, list[dict[str, Any]]], row: int) -> object:
        """Ask about one request, through a batch of one where the model knows only batches."""
        features, dicts = inputs
        if self._one is not None:
            return self._one(dicts[row])
        assert self._many is not None  # noqa: S101 - for the type checker; the constructor saw to it
        answers = self._many(features.take([row]))
        if len(answers) != 1:
            raise ModelError(f"1 request, but predict gave {len(answers)} answers")
        return answers[0]

    def many(self, inputs: tuple[FeatureBatch, list[dict[str, Any]]]) -> Any:
        """Ask about all at once, or one after the other where the model knows no batches."""
        features, dicts = inputs
        if self._many is None:
            return [self.one(inputs, row) for row in range(len(dicts))]
        return self._many(features)

    def read_each(self, answers: Any) -> pa.StructArray:
        """Any answers that have a form as predictions; scores, the most common, without a look at each."""
        if isinstance(answers, np.ndarray) and answers.dtype == np.float64 and answers.ndim == 1:
            return predictions_of(len(answers), score=numbers(answers))
        if isinstance(answers, list) and set(map(type, answers)) == {float}:
            return predictions_of(len(answers), score=numbers(np.array(answers, np.float64)))
        return super().read_each(answers)


def load(source: ModelSource) -> LoadedModel:
    """Import the attribute; a class is made an instance."""
    return PythonModel(attribute_of(source.uri))


def attribute_of(uri: str) -> Any:
    """What python:package.module:attribute names; of a class an instance.

    Raises:
        ModelError: the URI is none.
    """
    _, _, rest = uri.partition(":")
    module_name, colon, attribute = rest.partition(":")
    if not (colon and module_name and attribute):
        raise ModelError(f"model {uri!r}: write python:package.module:attribute")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does: models lie beside the user's code
    target: Any = importlib.import_module(module_name)
    for name in attribute.split("."):
        target = getattr(target, name)
    return target() if inspect.isclass(target) else target
