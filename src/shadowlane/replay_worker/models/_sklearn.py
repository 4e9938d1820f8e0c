"""sklearn:path/to/model: a scikit-learn estimator; a pickle needs allow_pickle and the file's sha256."""

from __future__ import annotations

import hashlib
import importlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shadowlane.errors import ModelError
from shadowlane.replay_worker._answers import numbers, predictions_of
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker._plan import ModelSource
from shadowlane.replay_worker.models._protocol import LoadedModel
from shadowlane.schemas import label_text


class SklearnModel(LoadedModel):
    """A scikit-learn estimator: a classifier answers a label and its confidence, a regressor a score."""

    def __init__(self, estimator: Any, features: Sequence[str]) -> None:
        names = features or getattr(estimator, "feature_names_in_", ())
        self.names = [str(name) for name in names]
        if not self.names:
            raise ModelError(
                "the estimator does not name its features: give their names in order (--features)"
            )
        wanted = getattr(estimator, "n_features_in_", len(self.names))
        if wanted != len(self.names):
            raise ModelError(f"the estimator takes {wanted} features, and {len(self.names)} were named")
        self._classes = [
            _class_text(name) for name in np.asarray(getattr(estimator, "classes_", ())).tolist()
        ]
        self._ask: Callable[[Any], Any] = estimator.predict_proba if self._classes else estimator.predict
        # A model that was fitted on a DataFrame and gets an array says so at each call; the order is ours.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")

    def prepare(self, features: FeatureBatch) -> np.ndarray[Any, Any]:
        """The matrix in the model's order of features."""
        strange = features.not_numbers(self.names)
        if strange:
            raise ModelError(f"the model takes numbers, and these features are none: {', '.join(strange)}")
        return features.matrix(self.names)

    def one(self, inputs: np.ndarray[Any, Any], row: int) -> object:
        """Ask about one row."""
        return self._ask(inputs[row : row + 1])[0]

    def many(self, inputs: np.ndarray[Any, Any]) -> Sequence[object]:
        """Ask about all rows at once."""
        answers: Sequence[object] = self._ask(inputs)
        return answers

    def read_each(self, answers: Any) -> pa.StructArray:
        """The likeliest class with its probability, or the number itself."""
        found = np.asarray(answers, np.float64)
        if not self._classes:
            return predictions_of(len(found), score=numbers(found.reshape(len(found))))
        if len(found) == 0:
            return predictions_of(0)
        best = found.argmax(axis=1)
        labels = pa.array(self._classes, pa.string()).take(numbers(best))
        return predictions_of(len(found), label=labels, score=numbers(found[np.arange(len(found)), best]))


def _class_text(name: Any) -> str:
    """A class as the primary's label would be: 1.0 is "1", True is "true"."""
    whole = isinstance(name, float) and name.is_integer()
    return label_text(int(name) if whole else name)


def load(source: ModelSource) -> LoadedModel:
    """Load the file, once its user has vouched for it."""
    _, _, rest = source.uri.partition(":")
    path = Path(rest)
    if not path.is_file():
        raise ModelError(f"model file {rest!r} is not there")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if not (source.allow_pickle and source.sha256):
        raise ModelError(
            f"{rest!r} is a pickle, which runs code when it is loaded. If you trust it: "
            f"--allow-pickle --sha256 {digest}"
        )
    if source.sha256.lower() != digest:
        raise ModelError(f"{rest!r} has the sha256 {digest}, not the pinned {source.sha256}")
    try:
        joblib = importlib.import_module("joblib")
    except ModuleNotFoundError:
        raise ModelError(f"{rest!r} needs scikit-learn: pip install scikit-learn") from None
    return SklearnModel(joblib.load(path), source.features)
