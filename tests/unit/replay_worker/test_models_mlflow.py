"""mlflow: models: what a signature makes of features, what comes back, and what must be vouched for."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from model_support import asked, batch_of, same
from shadowlane.errors import ModelError
from shadowlane.replay_worker import ModelSource, load_model
from shadowlane.replay_worker.models import LoadedModel
from shadowlane.replay_worker.models._mlflow import folder_digest
from shadowlane.schemas import Prediction

FRAME = pd.DataFrame(
    {
        "country": ["DE", "AT", "CH", "DE"] * 5,
        "age": [1.5, 2.0, 3.0, 7.5] * 5,
        "visits": [1, 2, 3, 4] * 5,
        "vip": [True, False] * 10,
    }
)

with warnings.catch_warnings():  # MLflow warns of its own type hints when it is imported
    warnings.simplefilter("ignore")
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    import mlflow.pyfunc
    import mlflow.sklearn
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.pyfunc.model import PythonModel
    from mlflow.types import ColSpec, DataType, Schema

    SIGNATURE = infer_signature(FRAME)  # it warns of integers

    class _Wrapped(PythonModel):
        def __init__(self, function: Callable[[Any], Any]) -> None:
            self._function = function

        # Without annotations: MLflow takes them for the signature, in place of the one that it is given.
        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG002
            """Answer as the function does."""
            return self._function(model_input)


# What it warns of when a model is saved and loaded (pickles, missing integers, examples) is not ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::FutureWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

ROWS: list[dict[str, Any]] = FRAME.iloc[:6].to_dict("records")

Saver = Callable[..., Path]
Loader = Callable[..., LoadedModel]


@pytest.fixture
def saved(tmp_path: Path) -> Saver:
    """Saves a scikit-learn model, or a function of the model's input, with MLflow."""

    def save(model: Any, signature: Any = None) -> Path:
        path = tmp_path / "model"
        with warnings.catch_warnings():  # of pickles, of integers that may be missing, of examples
            warnings.simplefilter("ignore")
            if hasattr(model, "fit"):
                mlflow.sklearn.save_model(
                    model,
                    path,
                    signature=signature,
                    serialization_format="cloudpickle",
                    pip_requirements=[],
                )
            else:
                mlflow.pyfunc.save_model(
                    path, python_model=_Wrapped(model), signature=signature, pip_requirements=[]
                )
        return path

    return save


@pytest.fixture
def loaded(saved: Saver) -> Loader:
    """Saves a model and loads it, vouched for."""

    def load(
        model: Any, signature: Any = None, features: tuple[str, ...] = (), **options: Any
    ) -> LoadedModel:
        path = saved(model, signature)
        digest = folder_digest(path)
        return load_model(
            ModelSource(f"mlflow:{path}", features, allow_pickle=True, sha256=digest, **options)
        )

    return load


@pytest.fixture(autouse=True)
def _tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's files lie in the test's folder."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")


def test_a_pipeline_saved_with_a_signature_says_what_it_says_itself(loaded: Loader) -> None:
    """Names, order and types are the signature's; the labels are scikit-learn's own."""
    pipeline = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["country"]),
            remainder="passthrough",
        ),
        HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=1),
    ).fit(FRAME, ["low", "low", "high", "high"] * 5)
    model = loaded(pipeline, infer_signature(FRAME, np.array(["low"])))
    assert model.names == ["country", "age", "visits", "vip"]
    rows = [{"vip": False, "visits": 2, "age": 2, "country": "new", "other": 7}, *ROWS]
    expected = [
        Prediction(label=str(each)) for each in pipeline.predict(pd.DataFrame(rows)[list(FRAME.columns)])
    ]
    assert len(set(map(str, expected))) == 2
    same(asked(model, batch_of(rows)), expected)


def test_a_regressor_without_a_signature_needs_names_and_may_take_an_array(loaded: Loader) -> None:
    """Names come from the user, and so does the form."""
    estimator = LinearRegression().fit(FRAME[["age", "visits"]].to_numpy(), np.arange(20.0))
    expected = [
        Prediction(score=float(each)) for each in estimator.predict(FRAME[["age", "visits"]][:6].to_numpy())
    ]
    model = loaded(estimator, None, ("age", "visits"), input="numpy")
    same(asked(model, batch_of(ROWS)), expected)


def test_a_signature_that_is_a_matrix_is_given_one_of_its_type(loaded: Loader) -> None:
    """The columns' names are the user's; 32 bits stay 32."""
    model = loaded(
        lambda x: (x.sum(axis=1) * (x.dtype == np.float32)).astype(float),
        infer_signature(np.zeros((2, 2), np.float32)),
        ("age", "visits"),
    )
    same(asked(model, batch_of(ROWS)), [Prediction(score=row["age"] + row["visits"]) for row in ROWS])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda x: x["age"], Prediction(score=1.5)),
        (lambda x: x["age"].to_numpy(), Prediction(score=1.5)),
        (lambda x: x["visits"].tolist(), Prediction(label="1")),
        (lambda x: x[["country"]], Prediction(label="DE")),
        (lambda x: x[["age"]], Prediction(score=1.5)),
        (lambda x: x[["age", "visits"]].to_numpy(), Prediction(vector=[1.5, 1.0])),
        (lambda x: x[["age", "visits"]], Prediction(vector=[1.5, 1.0])),
        (
            lambda x: x[["country", "age"]].set_axis(["label", "score"], axis=1),
            Prediction(label="DE", score=1.5),
        ),
        (lambda x: {"label": x["country"].to_numpy(), "score": x["age"]}, Prediction(label="DE", score=1.5)),
        (
            lambda x: [{"label": each, "score": 0.5} for each in x["country"]],
            Prediction(label="DE", score=0.5),
        ),
    ],
)
def test_answers_of_every_shape_are_read(loaded: Loader, answer: Any, expected: Prediction) -> None:
    """Series, arrays, lists, DataFrames of one column, of named columns, and of numbers."""
    found = asked(loaded(answer, SIGNATURE), batch_of(ROWS))
    assert found[0] == expected
    assert len(found) == len(ROWS)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x: x[["country", "age"]], "predict gave columns country, age: name them label, score"),
        (lambda x: x["age"][:0], "6 requests, but predict gave 0 answers"),
        (lambda _: 7.0, "predict gave a float, not an answer to each request"),
    ],
)
def test_answers_that_say_nothing_are_errors(loaded: Loader, answer: Any, words: str) -> None:
    """The message says what would do."""
    model = loaded(answer, SIGNATURE)
    with pytest.raises(ModelError, match=words):
        model.read_many(model.many(model.prepare(batch_of(ROWS))), len(ROWS))


def test_each_type_of_a_signature_is_given_as_pandas_has_it(loaded: Loader) -> None:
    """MLflow checks them itself, and would refuse others; nested values are parsed."""
    columns = {
        "flag": DataType.boolean,
        "small": DataType.integer,
        "large": DataType.long,
        "short": DataType.float,
        "wide": DataType.double,
        "text": DataType.string,
        "at": DataType.datetime,
    }
    signature = ModelSignature(Schema([ColSpec(kind, name) for name, kind in columns.items()]))
    model = loaded(lambda x: [",".join(str(kind)[:7] for kind in x.dtypes)] * len(x), signature)
    row = {
        "flag": True,
        "small": 1,
        "large": 2.0,
        "short": 1,
        "wide": 2,
        "text": "x",
        "at": "2026-03-01T12:00:00",
    }
    (found,) = {each.label for each in asked(model, batch_of([row, row]))}
    assert found is not None
    assert found.replace("object", "str") == "bool,int32,int64,float32,float64,str,datetim"


def test_nested_values_and_lists_arrive_as_python_has_them(loaded: Loader) -> None:
    """An array of numbers, and an object."""
    example = [{"v": [1.0, 2.0], "o": {"k": 1}}]
    signature = infer_signature(pd.DataFrame(example))
    model = loaded(lambda x: [float(sum(v)) + o["k"] for v, o in zip(x["v"], x["o"], strict=True)], signature)
    same(asked(model, batch_of([{"v": [1.0, 2.5], "o": {"k": 3}}])), [Prediction(score=6.5)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"visits": None}, "feature 'visits' is missing, and int64 has nothing for that"),
        ({"vip": None}, "feature 'vip' is missing, and bool has nothing for that"),
        ({"visits": 1.5}, "feature 'visits' is double, and not always int64"),
        ({"age": "old"}, "feature 'age' is string, and the model takes double"),
        ({"country": 49}, "feature 'country' is int64, and the model takes string"),
    ],
)
def test_a_feature_that_does_not_fit_is_named_without_its_value(
    loaded: Loader, change: dict[str, Any], words: str
) -> None:
    """Before MLflow is asked, which would say it at length."""
    model = loaded(lambda x: x["age"], SIGNATURE)
    with pytest.raises(ModelError, match=words) as caught:
        model.prepare(batch_of([ROWS[0] | change]))
    assert not {"1.5", "old", "49"} & set(str(caught.value).replace("'", " ").split())


def test_floats_and_text_may_be_missing_and_what_is_optional_need_not_be_there(loaded: Loader) -> None:
    """NaN stands for both; a column that nobody has and nobody must is left out."""
    signature = ModelSignature(
        Schema(
            [
                ColSpec(DataType.double, "age"),
                ColSpec(DataType.string, "country"),
                ColSpec(DataType.long, "visits", required=False),
            ]
        )
    )
    model = loaded(lambda x: [f"{','.join(x)} {x.isna().to_numpy().sum()}"] * len(x), signature)
    assert [each.label for each in asked(model, batch_of([{"visits": 3}]))] == ["age,country,visits 2"]
    assert [each.label for each in asked(model, batch_of([{"age": None, "country": "x"}]))] == [
        "age,country 1"
    ]


@pytest.mark.parametrize(
    ("signature", "options", "words"),
    [
        (SIGNATURE, {"features": ("age",)}, "names its features, in this order: country, age"),
        (SIGNATURE, {"input": "numpy"}, "it takes pandas"),
        (None, {}, "name them in order"),
        (infer_signature({"x": np.zeros((2, 3)), "y": np.zeros(2)}), {}, "takes tensors with names"),
        (infer_signature(np.zeros((2, 2))), {"features": ("a", "b"), "input": "pandas"}, "it takes numpy"),
        (ModelSignature(Schema([ColSpec(DataType.binary, "raw")])), {}, "takes 'raw' as binary"),
    ],
)
def test_a_signature_that_features_do_not_fit_is_refused_when_it_is_loaded(
    loaded: Loader, signature: Any, options: dict[str, Any], words: str
) -> None:
    """Not with the first request."""
    with pytest.raises(ModelError, match=words):
        loaded(lambda x: x, signature, **options)


def test_a_pyfunc_needs_trust_and_the_folders_sha256(saved: Saver) -> None:
    """It runs the code that it brings; any file that changes changes the sum."""
    path = saved(lambda x: x["age"], SIGNATURE)
    digest = folder_digest(path)
    for options in ({}, {"sha256": digest}, {"allow_pickle": True}):
        with pytest.raises(ModelError, match=f"--allow-pickle --sha256 {digest}"):
            load_model(ModelSource(f"mlflow:{path}", **options))
    load_model(ModelSource(f"mlflow:{path}", allow_pickle=True, sha256=digest))
    assert folder_digest(path) == digest
    (path / "code").mkdir()
    (path / "code" / "extra.py").write_text("")
    with pytest.raises(ModelError, match=f"not the pinned {digest}"):
        load_model(ModelSource(f"mlflow:{path}", allow_pickle=True, sha256=digest))


@pytest.mark.parametrize("uri", ["mlflow:absent", "mlflow:models:/absent/1"])
def test_a_model_that_cannot_be_had_is_named(uri: str) -> None:
    """A folder that is not there, or a name that no registry knows."""
    with pytest.raises(ModelError, match="absent"):
        load_model(ModelSource(uri))


def test_a_folder_of_something_else_is_no_model(tmp_path: Path) -> None:
    """Without a file MLmodel there is nothing to load."""
    with pytest.raises(ModelError, match="there is no file MLmodel in it"):
        load_model(ModelSource(f"mlflow:{tmp_path}"))
