"""onnx: models: graphs that a converter makes of scikit-learn's estimators, and graphs made by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from skl2onnx import convert_sklearn, to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier, IsolationForest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from model_support import asked, batch_of, predictions, same
from shadowlane.errors import ModelError
from shadowlane.replay_worker import ModelSource, load_model
from shadowlane.replay_worker.models import LoadedModel
from shadowlane.schemas import Prediction

FRAME, TARGET = load_breast_cancer(return_X_y=True, as_frame=True)
X = FRAME.iloc[:, :6].to_numpy(np.float32)
NAMES = tuple(FRAME.columns[:6])
ROWS = [dict(zip(NAMES, row, strict=True)) for row in X[:60].tolist()]
#: ONNX computes with 32 bits, scikit-learn with 64.
FLOAT32 = 1e-4

Loader = Callable[..., LoadedModel]


@pytest.fixture
def loaded(tmp_path: Path) -> Loader:
    """Writes a graph to a file, and loads it."""

    def load(graph: Any, features: tuple[str, ...] = (), query: str = "", **options: Any) -> LoadedModel:
        path = tmp_path / "model.onnx"
        path.write_bytes(graph.SerializeToString())
        return load_model(ModelSource(f"onnx:{path}{query}", features, **options))

    return load


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("classes", [("malignant", "benign"), (0, 1)])
@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        GradientBoostingClassifier(n_estimators=5),
    ],
    ids=["logistic", "boosting"],
)
def test_a_classifier_says_what_scikit_learn_says_of_it(
    loaded: Loader, estimator: Any, classes: tuple[Any, Any], zipmap: bool
) -> None:
    """Label and probability, from a table or from a list of dicts."""
    estimator.fit(X, [classes[kind] for kind in TARGET])
    graph = to_onnx(estimator, X[:1], options={"zipmap": zipmap})
    expected = [
        Prediction(label=str(estimator.classes_[each.argmax()]), score=float(each.max()))
        for each in estimator.predict_proba(X[:60])
    ]
    found = asked(loaded(graph, NAMES), batch_of(ROWS), FLOAT32)
    same(found, expected, FLOAT32)


def test_a_regressor_answers_a_score(loaded: Loader) -> None:
    """One column of numbers is a score, and several are a vector."""
    for targets in (TARGET, np.stack([TARGET, X[:, 0]], axis=1)):
        estimator = LinearRegression().fit(X, targets)
        found = asked(loaded(to_onnx(estimator, X[:1]), NAMES), batch_of(ROWS), FLOAT32)
        expected = [Prediction.of(each.tolist()) for each in estimator.predict(X[:60])]
        same(found, expected, 1e-3)


def test_an_outlier_detector_answers_as_scikit_learns_own_does(loaded: Loader) -> None:
    """The side as label, the decision function as score."""
    estimator = IsolationForest(n_estimators=20, random_state=0).fit(X)
    graph = to_onnx(estimator, X[:1], target_opset={"": 18, "ai.onnx.ml": 3})
    expected = [
        Prediction(label=str(label), score=float(score))
        for label, score in zip(estimator.predict(X[:60]), estimator.decision_function(X[:60]), strict=True)
    ]
    same(asked(loaded(graph, NAMES), batch_of(ROWS), FLOAT32), expected, FLOAT32)


def test_a_pipeline_with_an_input_for_each_feature(loaded: Loader) -> None:
    """Text, whole numbers and floats go to the inputs of their names; text that is missing is empty."""
    frame = pd.DataFrame({"country": ["DE", "AT", ""] * 4, "age": [1.5, 2, 3] * 4, "visits": [1, 2, 3] * 4})
    estimator = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["country"]), (StandardScaler(), ["age", "visits"])
        ),
        LogisticRegression(),
    ).fit(frame, ["x", "y", "x"] * 4)
    kinds = [
        ("country", StringTensorType([None, 1])),
        ("age", FloatTensorType([None, 1])),
        ("visits", Int64TensorType([None, 1])),
    ]
    model = loaded(convert_sklearn(estimator, initial_types=kinds))
    assert model.names == ["country", "age", "visits"]
    rows: list[dict[str, Any]] = [
        {"visits": 2, "age": 1.5, "country": "DE"},
        {"visits": 3, "age": 2, "country": "new"},
        {"visits": 3, "age": 2.5},
    ]
    plain = pd.DataFrame([{"country": "", **row} for row in rows])
    expected = [
        Prediction(label=str(estimator.classes_[each.argmax()]), score=float(each.max()))
        for each in estimator.predict_proba(plain)
    ]
    same(asked(model, batch_of(rows), FLOAT32), expected, FLOAT32)


def graph_of(inputs: dict[str, tuple[int, list[Any]]], outputs: dict[str, str], **metadata: str) -> Any:
    """A graph whose outputs are some of its inputs."""
    nodes = [helper.make_node("Identity", [source], [name]) for name, source in outputs.items()]
    graph = helper.make_graph(
        nodes,
        "hand-made",
        [helper.make_tensor_value_info(name, *each) for name, each in inputs.items()],
        [helper.make_tensor_value_info(name, *inputs[source]) for name, source in outputs.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata)
    return model


FLOATS = (TensorProto.FLOAT, [None, 3])


@pytest.mark.parametrize("named", ['["c", "a", "b"]', "c, a,b"])
@pytest.mark.parametrize("key", ["features", "feature_names"])
def test_a_graph_names_its_features_in_its_metadata(loaded: Loader, named: str, key: str) -> None:
    """As a JSON list or with commas; what its user says comes first."""
    graph = graph_of({"x": FLOATS}, {"y": "x"}, **{key: named})
    (found,) = asked(loaded(graph), batch_of([{"a": 1.0, "b": 2, "c": True}]))
    assert found.vector == [1.0, 1.0, 2.0]
    (found,) = asked(loaded(graph, ("b", "a", "c")), batch_of([{"a": 1.0, "b": 2, "c": True}]))
    assert found.vector == [2.0, 1.0, 1.0]


def test_a_float_that_is_missing_is_nan(loaded: Loader) -> None:
    """In the matrix, and in a column of its own."""
    (found,) = asked(loaded(graph_of({"x": FLOATS}, {"y": "x"}), ("a", "b", "c")), batch_of([{"a": 1.0}]))
    assert found.vector is not None
    assert found.vector[0] == 1.0
    assert np.isnan(found.vector[1:]).all()
    one, other = (TensorProto.FLOAT, [None]), (TensorProto.DOUBLE, [None, 1])
    graph = graph_of({"a": one, "b": other}, {"score": "b", "vector": "a"})
    (found,) = asked(loaded(graph), batch_of([{"a": 1.0}]))
    same([found], [Prediction(score=np.nan, vector=[1.0])])


@pytest.mark.parametrize("width", [1, 2])
def test_an_integer_that_is_missing_is_an_error_that_names_the_feature(loaded: Loader, width: int) -> None:
    """There is no integer for nothing."""
    names = ("a", "b")[:width]
    model = loaded(graph_of({"x": (TensorProto.INT64, [None, width])}, {"y": "x"}), names)
    asked(model, batch_of([{"a": 1, "b": 2}]))
    with pytest.raises(ModelError, match="missing: a;"):
        model.prepare(batch_of([{"b": 1}]))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"t": 1.0, "v": [1.0, 2.0], "f": True}, "feature 't' is double, and the model takes text there"),
        ({"t": "x", "v": [1.0], "f": True}, "feature 'v' is no list of 2 numbers"),
        ({"t": "x", "v": [1.0, 2.0]}, "missing: f"),
        ({"t": "x", "v": [1.0, 2.0], "f": "yes"}, "feature 'f' is string, and the model takes bool there"),
    ],
)
def test_text_lists_and_flags_go_to_inputs_of_their_kind(
    loaded: Loader, row: dict[str, Any], words: str
) -> None:
    """A feature of another kind is an error that names it, and no value."""
    graph = graph_of(
        {
            "t": (TensorProto.STRING, [None]),
            "v": (TensorProto.FLOAT, [None, 2]),
            "f": (TensorProto.BOOL, [None, 1]),
        },
        {"label": "t", "vector": "v"},
    )
    model = loaded(graph)
    good = batch_of([{"t": "x", "v": [1.0, 2.0], "f": True}, {"v": [3.0, 4.5], "f": False}])
    assert asked(model, good) == [
        Prediction(label="x", vector=[1.0, 2.0]),
        Prediction(label="", vector=[3.0, 4.5]),
    ]
    with pytest.raises(ModelError, match=words):
        model.prepare(batch_of([row]))


def test_a_graph_of_single_rows_is_run_for_each(loaded: Loader) -> None:
    """A batch of one is what some exporters fix."""
    graph = graph_of({"x": (TensorProto.FLOAT, [1, 3])}, {"y": "x"})
    found = asked(loaded(graph, ("a", "b", "c")), batch_of([{"a": 1.0, "b": 2, "c": 3}] * 3))
    assert [each.vector for each in found] == [[1.0, 2.0, 3.0]] * 3


@pytest.mark.parametrize(
    ("graph", "features", "words"),
    [
        (graph_of({"x": FLOATS}, {"y": "x"}), (), "takes 3 features in one matrix and does not name them"),
        (graph_of({"x": FLOATS}, {"y": "x"}), ("a", "b"), "takes 3 features, and 2 were named"),
        (graph_of({"x": (TensorProto.FLOAT, [8, 3])}, {"y": "x"}), NAMES[:3], "takes 8 requests at once"),
        (
            graph_of({"x": (TensorProto.FLOAT, [None, 3, 4])}, {"y": "x"}),
            NAMES[:3],
            "of 3 dimensions: only rows of numbers",
        ),
        (graph_of({"x": FLOATS}, {"one": "x", "two": "x"}), NAMES[:3], "do not say which is what"),
        (graph_of({"x": (TensorProto.STRING, [None, 3])}, {"y": "x"}), NAMES[:3], "text in one input"),
    ],
    ids=["names", "count", "batch", "rank", "outputs", "text"],
)
def test_a_graph_that_features_do_not_fit_is_refused_when_it_is_loaded(
    loaded: Loader, graph: Any, features: tuple[str, ...], words: str
) -> None:
    """Not with the first request."""
    with pytest.raises(ModelError, match=words):
        loaded(graph, features)


def test_a_pin_is_checked_and_threads_are_the_users_choice(loaded: Loader, tmp_path: Path) -> None:
    """A sha256 is not asked for, but held to; one thread unless the URI says otherwise."""
    graph = graph_of({"x": FLOATS}, {"y": "x"})
    digest = hashlib.sha256(graph.SerializeToString()).hexdigest()
    batch = batch_of([{"a": 1.0, "b": 2, "c": 3}])
    for query in ("", "?threads=2", "?threads=0"):
        model = loaded(graph, ("a", "b", "c"), query, sha256=digest)
        assert asked(model, batch)[0].vector == [1.0, 2.0, 3.0]
    with pytest.raises(ModelError, match="not the pinned 00"):
        loaded(graph, ("a", "b", "c"), sha256="00")
    with pytest.raises(ModelError, match="write \\?threads=4"):
        loaded(graph, ("a", "b", "c"), "?threads=many")
    with pytest.raises(ModelError, match="a graph takes numpy"):
        loaded(graph, ("a", "b", "c"), input="pandas")


def test_what_is_no_graph_is_named(tmp_path: Path) -> None:
    """ONNX Runtime's reason follows."""
    path = tmp_path / "model.onnx"
    path.write_text("no graph")
    with pytest.raises(ModelError, match="is no graph that ONNX Runtime can run"):
        load_model(ModelSource(f"onnx:{path}", ("a",)))


def test_weights_in_a_file_of_their_own_are_found(tmp_path: Path) -> None:
    """Graphs beyond 2 GiB have them beside the graph."""
    weights = onnx.numpy_helper.from_array(np.arange(3000, dtype=np.float32).reshape(3, 1000), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "large",
        [helper.make_tensor_value_info("x", *FLOATS)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1000])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").exists()
    loaded = load_model(ModelSource(f"onnx:{path}", ("a", "b", "c")))
    (found,) = asked(loaded, batch_of([{"a": 1.0, "b": 0, "c": 0}]))
    assert found.vector == list(range(1000))


def test_a_batch_of_none_is_none(loaded: Loader) -> None:
    """No request, no answer, no error."""
    assert predictions(loaded(graph_of({"x": FLOATS}, {"y": "x"}), NAMES[:3]).read_each([])) == []
