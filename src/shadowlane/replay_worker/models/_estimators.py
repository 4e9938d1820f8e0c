"""What a scikit-learn estimator is asked, and what its answer says: settled once, when it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from shadowlane.errors import ModelError
from shadowlane.replay_worker._answers import numbers, predictions_of
from shadowlane.replay_worker.models._extras import imported
from shadowlane.replay_worker.models._outputs import class_text, labels, of_array, vectors

_BINARY = [0, 1]


@dataclass(frozen=True, slots=True)
class Answers:
    """The method that is called, and how the predictions are read from what it gave, call by call."""

    ask: Callable[[Any], Any]
    read: Callable[[Sequence[Any]], pa.StructArray]


def answers_of(estimator: Any) -> Answers:
    """How this estimator is asked.

    A classifier answers its likeliest class with that class's probability, or the class alone where it gives
    none (a margin is no probability); of several yes-or-no labels a vector of probabilities. An outlier
    detector answers "1" or "-1" and its decision function as score. Any other answers what `predict` gives:
    a number is a score, several are a vector, an integer or text is a label.

    Raises:
        ModelError: it predicts nothing, or what has no form as one prediction.
    """
    kind = type(estimator).__name__
    if _is_outlier_detector(estimator):
        if not hasattr(estimator, "decision_function"):
            raise ModelError(f"a {kind} that says nothing of new requests (novelty=False) is no model")
        return Answers(estimator.decision_function, _outliers)
    if not hasattr(estimator, "predict"):
        raise ModelError(f"a {kind} has no predict: it is no model")
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        return Answers(estimator.predict, _plain)
    if isinstance(classes, (list, tuple)):
        return _several_outputs(estimator, classes)
    if _has_several_labels(estimator):
        asked = estimator.predict_proba if hasattr(estimator, "predict_proba") else estimator.predict
        return Answers(asked, lambda answers: predictions_of_vectors(_joined(answers)))
    if not hasattr(estimator, "predict_proba"):
        return Answers(estimator.predict, lambda answers: _labels(_joined(answers)))
    texts = pa.array([class_text(name) for name in np.asarray(classes).tolist()], pa.string())
    return Answers(estimator.predict_proba, lambda answers: likeliest(texts, _joined(answers)))


def likeliest(classes: pa.StringArray, found: np.ndarray[Any, Any]) -> pa.StructArray:
    """The likeliest class of each row of probabilities, and its probability."""
    if len(found) == 0:
        return predictions_of(0)
    best = found.argmax(axis=1)
    scores = found[np.arange(len(found)), best].astype(np.float64)
    return predictions_of(len(found), label=classes.take(numbers(best)), score=numbers(scores))


def predictions_of_vectors(found: np.ndarray[Any, Any]) -> pa.StructArray:
    """Each row is a vector."""
    return predictions_of(len(found), vector=vectors(np.asarray(found, np.float64)))


def _several_outputs(estimator: Any, classes: Sequence[Any]) -> Answers:
    """Several yes-or-no labels at once: the probability of each.

    Raises:
        ModelError: they have other classes, or no probabilities.
    """
    if not hasattr(estimator, "predict_proba") or any(list(each) != _BINARY for each in classes):
        raise ModelError(
            f"a {type(estimator).__name__} of several outputs has no form as one prediction: ask it in a "
            f"python: model, and answer with what is to be compared"
        )

    def probabilities(inputs: Any) -> Any:
        found = estimator.predict_proba(inputs)
        return np.stack([each[:, 1] for each in found], axis=1) if isinstance(found, list) else found

    return Answers(probabilities, lambda answers: predictions_of_vectors(_joined(answers)))


def _has_several_labels(estimator: Any) -> bool:
    """Whether a request may have several labels at once, where the classes do not tell."""
    last = _last(estimator)
    binarizer = getattr(last, "_label_binarizer", None) or getattr(last, "label_binarizer_", None)
    return str(getattr(binarizer, "y_type_", "")).startswith("multilabel")


def _last(estimator: Any) -> Any:
    """What gives the answer."""
    while hasattr(estimator, "steps") or hasattr(estimator, "best_estimator_"):
        estimator = getattr(estimator, "best_estimator_", None) or estimator.steps[-1][1]
    return estimator


def _is_outlier_detector(estimator: Any) -> bool:
    try:
        return bool(imported("sklearn.base", "sklearn").is_outlier_detector(estimator))
    except (AttributeError, TypeError):  # it only looks like an estimator, and does not say what it is
        return False


def _joined(answers: Sequence[Any]) -> np.ndarray[Any, Any]:
    return np.concatenate([np.asarray(each) for each in answers]) if len(answers) else np.empty((0, 1))


def _plain(answers: Sequence[Any]) -> pa.StructArray:
    found = _joined(answers)
    one_column = found.ndim > 1 and found.shape[1] == 1
    found = found.reshape(len(found)) if one_column else found
    return of_array(found) if found.dtype.kind in "fiub" else _labels(found)


def _labels(found: np.ndarray[Any, Any]) -> pa.StructArray:
    return predictions_of(len(found), label=labels(found.reshape(len(found))))


def _outliers(answers: Sequence[Any]) -> pa.StructArray:
    """As scikit-learn's own `predict` does it: below nothing is an outlier."""
    found = _joined(answers).reshape(-1).astype(np.float64)
    sides = pa.array(["-1", "1"], pa.string()).take(numbers((found >= 0).astype(np.int64)))
    return predictions_of(len(found), label=sides, score=numbers(found))
