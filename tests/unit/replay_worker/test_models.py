"""Shadow models by URI: what loads, what is refused and with which words."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shadowlane.errors import ModelError
from shadowlane.replay_worker import FeatureBatch, ModelSource, load_model
from shadowlane.schemas import Features, Prediction, ProductionRequest, to_record
from shadowlane.schemas.columns import arrow_schema
from tests_support import request

ROWS: list[dict[str, Any]] = [{"a": 1.0, "b": 2.0}, {"a": -3.0, "b": 0.5}]


def batch() -> FeatureBatch:
    """Two requests with features a and b."""
    records = [to_record(request(features=Features.of(row)))["features"] for row in ROWS]
    plain = [
        {kind: list(value.items()) if isinstance(value, dict) else value for kind, value in record.items()}
        for record in records
    ]
    return FeatureBatch(pa.array(plain, arrow_schema(ProductionRequest).field("features").type))


def predictions(column: pa.StructArray) -> list[Prediction]:
    """A column of predictions, one by one."""
    return [Prediction(**each) for each in column.to_pylist()]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user's module with models of several shapes."""
    name = f"user_models_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(
        "import sys\n"
        "def score(features):\n    return features['a'] / 10\n"
        "class OneByOne:\n    def predict_one(self, f):\n        return {'label': 'yes', 'score': 0.5}\n"
        "class Together:\n    def predict(self, batch):\n        return batch.matrix(['a'])[:, 0]\n"
        "class Short:\n    def predict(self, batch):\n        return []\n"
        "class Broken:\n    def __init__(self):\n        sys.exit('no licence')\n"
        "nothing = 7\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    return name


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ("score", [Prediction(score=0.1), Prediction(score=-0.3)]),
        ("OneByOne", [Prediction(label="yes", score=0.5)] * 2),
        ("Together", [Prediction(score=1.0), Prediction(score=-3.0)]),
    ],
)
def test_a_python_model_answers_alone_and_together_alike(
    module: str, attribute: str, expected: list[Prediction]
) -> None:
    """A function, a class of single answers and a class of batches serve both forms."""
    model = load_model(ModelSource(f"python:{module}:{attribute}"))
    inputs = model.prepare(batch())
    assert predictions(model.read_each([model.one(inputs, row) for row in (0, 1)])) == expected
    assert predictions(model.read_many(model.many(inputs), 2)) == expected


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("fraud.joblib", "write it as one of python:package.module:attribute, sklearn:"),
        ("python:nowhere", "write python:package.module:attribute"),
        ("python:nowhere.at.all:predict", "No module named 'nowhere'"),
        ("python:{module}:absent", "has no attribute 'absent'"),
        ("python:{module}:nothing", "is no model"),
        ("python:{module}:Broken", "SystemExit: no licence"),
        ("sklearn:absent.joblib", "'absent.joblib' is not there"),
    ],
)
def test_a_model_that_cannot_be_loaded_says_why(module: str, uri: str, words: str) -> None:
    """Each way of failing to load is a ModelError in plain words."""
    with pytest.raises(ModelError) as caught:
        load_model(ModelSource(uri.format(module=module)))
    assert words in str(caught.value)


def test_a_batch_with_too_few_answers_is_an_error(module: str) -> None:
    """A model that answers fewer requests than it was asked is not believed."""
    model = load_model(ModelSource(f"python:{module}:Short"))
    with pytest.raises(ModelError, match="2 requests, but predict gave 0 answers"):
        model.read_many(model.many(model.prepare(batch())), 2)


def saved(tmp_path: Path, estimator: Any) -> tuple[str, str]:
    """The estimator as a file, and that file's sha256."""
    path = tmp_path / "model.joblib"
    joblib.dump(estimator, path)
    return f"sklearn:{path}", hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_classifier_answers_its_likeliest_class(tmp_path: Path) -> None:
    """Label and confidence are those of predict_proba, alone and together."""
    estimator = LogisticRegression().fit(np.array([[0, 1], [3, 2], [-3, 0], [-1, 1]]), ["x", "y", "x", "x"])
    uri, digest = saved(tmp_path, estimator)
    model = load_model(ModelSource(uri, ("a", "b"), allow_pickle=True, sha256=digest))
    inputs = model.prepare(batch())
    expected = [
        Prediction(label=str(estimator.classes_[row.argmax()]), score=row.max())
        for row in estimator.predict_proba(np.array([[1.0, 2.0], [-3.0, 0.5]]))
    ]
    assert predictions(model.read_many(model.many(inputs), 2)) == expected
    alone = predictions(model.read_each([model.one(inputs, row) for row in (0, 1)]))
    assert [each.label for each in alone] == [each.label for each in expected]
    assert [each.score for each in alone] == pytest.approx([each.score for each in expected])


def test_a_regressor_answers_a_score(tmp_path: Path) -> None:
    """A number is a score, with the features in the order that was named."""
    uri, digest = saved(tmp_path, LinearRegression().fit(np.array([[0, 1], [3, 2], [5, 5]]), [1, 8, 15]))
    model = load_model(ModelSource(uri, ("b", "a"), allow_pickle=True, sha256=digest))
    (first, _) = predictions(model.read_many(model.many(model.prepare(batch())), 2))
    assert first.score == pytest.approx(5.0)


def test_a_pickle_needs_trust_and_the_right_sha256(tmp_path: Path) -> None:
    """Without the flag, or with another file's hash, nothing is unpickled; the message gives the hash."""
    uri, digest = saved(tmp_path, LinearRegression().fit(np.array([[0.0]]), [1.0]))
    with pytest.raises(ModelError, match=f"--allow-pickle --sha256 {digest}"):
        load_model(ModelSource(uri, ("a",)))
    with pytest.raises(ModelError, match="not the pinned 00"):
        load_model(ModelSource(uri, ("a",), allow_pickle=True, sha256="00"))
    with pytest.raises(ModelError, match="takes 1 features, and 2 were named"):
        load_model(ModelSource(uri, ("a", "b"), allow_pickle=True, sha256=digest))
    with pytest.raises(ModelError, match="--features"):
        load_model(ModelSource(uri, (), allow_pickle=True, sha256=digest))


@pytest.mark.parametrize(
    ("classes", "expected"),
    [([False, True], {"false", "true"}), ([0.0, 1.0], {"0", "1"}), ([3, 7], {"3", "7"})],
)
def test_a_classs_name_is_what_the_primarys_label_would_be(
    tmp_path: Path, classes: list[Any], expected: set[str]
) -> None:
    """Booleans, whole floats and ints name the same label on both sides."""
    estimator = LogisticRegression().fit(np.array([[0.0], [9.0]]), classes)
    uri, digest = saved(tmp_path, estimator)
    model = load_model(ModelSource(uri, ("a",), allow_pickle=True, sha256=digest))
    labels = {each.label for each in predictions(model.read_each([[1.0, 0.0], [0.0, 1.0]]))}
    assert labels == expected == {Prediction.of(value).label for value in map(_whole, classes)}


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) else value


def test_a_pipeline_that_knows_its_features_names_them(tmp_path: Path) -> None:
    """A model fitted on named columns needs no list of features, and is not warned about at each call."""
    pipeline = make_pipeline(StandardScaler(), LinearRegression())
    pipeline.fit(np.array([[0.0, 1.0], [3.0, 2.0]]), [1, 2])
    pipeline.steps[0][1].feature_names_in_ = np.array(["b", "a"], dtype=object)
    uri, digest = saved(tmp_path, pipeline)
    model = load_model(ModelSource(uri, allow_pickle=True, sha256=digest))
    inputs = model.prepare(batch())
    assert inputs.tolist() == [[2.0, 1.0], [0.5, -3.0]]
    assert len(model.many(inputs)) == 2


def test_text_where_a_model_takes_numbers_is_an_error(tmp_path: Path) -> None:
    """A feature that is text is never handed over as a missing number."""
    uri, digest = saved(tmp_path, LinearRegression().fit(np.array([[0.0]]), [1.0]))
    model = load_model(ModelSource(uri, ("country",), allow_pickle=True, sha256=digest))
    records = [to_record(request(features=Features.of({"country": "DE"})))["features"]]
    plain = [
        {kind: list(value.items()) if isinstance(value, dict) else value for kind, value in record.items()}
        for record in records
    ]
    features = pa.array(plain, arrow_schema(ProductionRequest).field("features").type)
    with pytest.raises(ModelError, match="these features are none: country"):
        model.prepare(FeatureBatch(features))
