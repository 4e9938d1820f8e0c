"""Two real models of one question: is a tumour benign? Trained on a data set that scikit-learn ships.

The primary is a logistic regression. The shadow is a gradient boosting that one would like to promote,
with two faults of the kind that only production shows: it looks up the history of the clinic, which
a new clinic does not have, and it waits for the archive of images where the tumour is very large.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MODEL, PRIMARY_VERSION = "tumour", "7"
SHADOW, SHADOW_VERSION = "boosting-2", "2"

#: The share of benign findings that each clinic has seen; the new one has seen none yet.
HISTORY = {"north": 0.62, "south": 0.64, "east": 0.61, "west": 0.63}
NEW_CLINIC = "new"
_USUAL_HISTORY = 0.625
_VERY_LARGE_AREA = 1_750.0
_ARCHIVE_SECONDS = 0.13


class Data(NamedTuple):
    """The data set, split: what the models learn from, and what production traffic is made of."""

    features: list[str]
    classes: list[str]
    train: np.ndarray[Any, Any]
    train_target: np.ndarray[Any, Any]
    traffic: np.ndarray[Any, Any]


@cache
def data() -> Data:
    """The breast cancer data set of Wisconsin: 569 tumours, 30 measurements each."""
    bunch = load_breast_cancer()
    train, traffic, target, _ = train_test_split(bunch.data, bunch.target, test_size=0.5, random_state=7)
    names = [str(name).replace(" ", "_") for name in bunch.feature_names]
    return Data(names, [str(name) for name in bunch.target_names], train, target, traffic)


class Primary:
    """The model in production: a logistic regression."""

    def __init__(self) -> None:
        self._data = data()
        self._model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        self._model.fit(self._data.train, self._data.train_target)

    def predict_one(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """A label and the model's confidence in it."""
        row = np.array([[features[name] for name in self._data.features]])
        return _answer(self._model.predict_proba(row)[0], self._data.classes)


class Boosting:
    """The shadow: a gradient boosting with two faults that a test set does not show."""

    def __init__(self) -> None:
        self._data = data()
        self._model = GradientBoostingClassifier(n_estimators=120, max_depth=2, subsample=0.6, random_state=7)
        self._model.fit(self._data.train, self._data.train_target)

    def predict_one(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """A label and the model's confidence in it, leaning a little towards what the clinic has seen."""
        history = HISTORY[features["clinic"]]
        if features["mean_area"] > _VERY_LARGE_AREA:
            time.sleep(_ARCHIVE_SECONDS)
        row = np.array([[features[name] for name in self._data.features]])
        malignant, benign = self._model.predict_proba(row)[0]
        odds = benign / malignant * history / _USUAL_HISTORY
        return _answer(np.array([1, odds]) / (1 + odds), self._data.classes)


def _answer(probabilities: np.ndarray[Any, Any], classes: list[str]) -> dict[str, Any]:
    best = int(probabilities.argmax())
    return {"label": classes[best], "score": float(probabilities[best])}
