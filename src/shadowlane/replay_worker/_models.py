"""Shadow models: what a model of one's own looks like, and loading one by its URI.

python:package.module:attribute     a function of a features dict, or a class (or instance) with
                                    predict_one(features) and/or predict(batch)
sklearn:path/to/model.joblib        a scikit-learn estimator; a pickle runs code when it is loaded, so
                                    it needs allow_pickle and the file's sha256
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from shadowlane.errors import ModelError
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker._plan import ModelSource
from shadowlane.schemas import Prediction, label_text


@runtime_checkable
class Model(Protocol):
    """A shadow model of one's own; `predict(batch: FeatureBatch)` beside it serves `--batch`."""

    def predict_one(self, features: Mapping[str, Any]) -> object:
        """Answer one request; the answer is anything `Prediction.of` reads."""
        ...


class LoadedModel(Protocol):
    """What the replay needs of any model: inputs made beforehand, so that only the model is timed."""

    def prepare(self, features: FeatureBatch) -> Any:
        """The inputs of a batch, in the model's form."""
        ...

    def one(self, inputs: Any, row: int) -> object:
        """The model's answer to one request."""
        ...

    def many(self, inputs: Any) -> Sequence[object]:
        """The model's answers to all of them."""
        ...

    def read(self, answer: object) -> Prediction:
        """The prediction in an answer."""
        ...


def load_model(source: ModelSource) -> LoadedModel:
    """Load the model that a URI names.

    Raises:
        ModelError: it cannot be loaded; the message says what to do.
    """
    scheme, colon, rest = source.uri.partition(":")
    loader = _LOADERS.get(scheme) if colon else None
    if loader is None:
        known = ", ".join(f"{name}:…" for name in _LOADERS)
        raise ModelError(f"model {source.uri!r}: start it with one of {known}")
    try:
        return loader(rest, source)
    except ModelError:
        raise
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # foreign code: SystemExit and native panics too
        raise ModelError(f"model {source.uri!r} failed to load: {type(error).__name__}: {error}") from error


class PythonModel:
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
        return self._ask(FeatureBatch(features.arrow.slice(row, 1)))[0]

    def many(self, inputs: tuple[FeatureBatch, list[dict[str, Any]]]) -> Sequence[object]:
        """Ask about all at once, or one after the other where the model knows no batches."""
        features, dicts = inputs
        if self._many is None:
            return [self.one(inputs, row) for row in range(len(dicts))]
        return self._ask(features)

    def read(self, answer: object) -> Prediction:
        """Any answer that has a form as a prediction."""
        return Prediction.of(answer)

    def _ask(self, features: FeatureBatch) -> Sequence[object]:
        assert self._many is not None  # noqa: S101 - for the type checker; the constructor saw to it
        answers = self._many(features)
        if len(answers) != len(features):
            raise ModelError(f"{len(features)} requests, but predict gave {len(answers)} answers")
        return answers


class SklearnModel:
    """A scikit-learn estimator: a classifier answers a label and its confidence, a regressor a score."""

    def __init__(self, estimator: Any, features: Sequence[str]) -> None:
        names = features or getattr(estimator, "feature_names_in_", ())
        self._names = [str(name) for name in names]
        if not self._names:
            raise ModelError(
                "the estimator does not name its features: give their names in order (--features)"
            )
        wanted = getattr(estimator, "n_features_in_", len(self._names))
        if wanted != len(self._names):
            raise ModelError(f"the estimator takes {wanted} features, and {len(self._names)} were named")
        self._classes = [
            _class_text(name) for name in np.asarray(getattr(estimator, "classes_", ())).tolist()
        ]
        self._ask: Callable[[Any], Any] = estimator.predict_proba if self._classes else estimator.predict
        # A model that was fitted on a DataFrame and gets an array says so at each call; the order is ours.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")

    def prepare(self, features: FeatureBatch) -> np.ndarray[Any, Any]:
        """The matrix in the model's order of features."""
        strange = features.not_numbers(self._names)
        if strange:
            raise ModelError(f"the model takes numbers, and these features are none: {', '.join(strange)}")
        return features.matrix(self._names)

    def one(self, inputs: np.ndarray[Any, Any], row: int) -> object:
        """Ask about one row."""
        return self._ask(inputs[row : row + 1])[0]

    def many(self, inputs: np.ndarray[Any, Any]) -> Sequence[object]:
        """Ask about all rows at once."""
        answers: Sequence[object] = self._ask(inputs)
        return answers

    def read(self, answer: object) -> Prediction:
        """The likeliest class with its probability, or the number itself."""
        if not self._classes:
            return Prediction(score=float(answer))  # type: ignore[arg-type]
        probabilities = np.asarray(answer)
        best = int(probabilities.argmax())
        return Prediction(label=self._classes[best], score=float(probabilities[best]))


def _class_text(name: Any) -> str:
    """A class as the primary's label would be: 1.0 is "1", True is "true"."""
    whole = isinstance(name, float) and name.is_integer()
    return label_text(int(name) if whole else name)


def _load_python(rest: str, source: ModelSource) -> LoadedModel:
    module_name, colon, attribute = rest.partition(":")
    if not (colon and module_name and attribute):
        raise ModelError(f"model {source.uri!r}: write python:package.module:attribute")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` does: models lie beside the user's code
    target: Any = importlib.import_module(module_name)
    for name in attribute.split("."):
        target = getattr(target, name)
    return PythonModel(target() if inspect.isclass(target) else target)


def _load_sklearn(rest: str, source: ModelSource) -> LoadedModel:
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


_LOADERS: dict[str, Callable[[str, ModelSource], LoadedModel]] = {
    "python": _load_python,
    "sklearn": _load_sklearn,
}
