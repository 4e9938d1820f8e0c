"""sklearn: models: what each kind of estimator answers, in what form it is asked, and what is not loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import LocalOutlierFactor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import OneClassSVM

from model_support import asked, batch_of, predictions, same
from shadowlane.errors import ModelError
from shadowlane.replay_worker import ModelSource, load_model
from shadowlane.replay_worker.models import LoadedModel
from shadowlane.schemas import Prediction

FRAME, TARGET = load_breast_cancer(return_X_y=True, as_frame=True)
FRAME = FRAME.iloc[:, :8]
NAMES = tuple(FRAME.columns)
ROWS = FRAME.iloc[:60].to_dict("records")
WINE, GRAPES = load_wine(return_X_y=True)
MISSING = 0.2

Loader = Callable[..., LoadedModel]


@pytest.fixture
def loaded(tmp_path: Path) -> Loader:
    """Saves an estimator as a pickle that is vouched for, and loads it."""

    def load(estimator: Any, features: tuple[str, ...] = (), **options: Any) -> LoadedModel:
        path = tmp_path / "model.joblib"
        joblib.dump(estimator, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        source = ModelSource(f"sklearn:{path}", features, allow_pickle=True, sha256=digest, **options)
        return load_model(source)

    return load


@pytest.fixture(params=[False, True], ids=["array", "frame"])
def x(request: pytest.FixtureRequest) -> Any:
    """The features as an estimator was fitted on them."""
    return FRAME if request.param else FRAME.to_numpy()


def classes_of(estimator: Any, rows: Any) -> list[Prediction]:
    """What a classifier itself says: its likeliest class and how sure it is."""
    return [
        Prediction(label=str(estimator.classes_[each.argmax()]), score=float(each.max()))
        for each in estimator.predict_proba(rows)
    ]


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(max_iter=5000),
        HistGradientBoostingClassifier(max_iter=10),
        make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()),
        GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [1.0]}),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_classifier_answers_its_likeliest_class_and_its_probability(
    loaded: Loader, estimator: Any, x: Any
) -> None:
    """As scikit-learn itself says, request by request and together, and without a warning of names."""
    estimator.fit(x, np.where(TARGET, "benign", "malignant"))
    model = loaded(estimator, NAMES)
    same(asked(model, batch_of(ROWS)), classes_of(estimator, x[:60]))


def test_features_that_are_missing_are_nan(loaded: Loader) -> None:
    """A model that can do with gaps is given them, whether they were sent as null or not at all."""
    rng = np.random.default_rng(0)
    holes = FRAME.mask(rng.random(FRAME.shape) < MISSING)
    estimator = HistGradientBoostingRegressor(max_iter=10).fit(holes, TARGET)
    rows = [
        {name: None if np.isnan(value) else value for name, value in row.items() if rng.random() > MISSING}
        for row in holes.iloc[:60].to_dict("records")
    ]
    expected = estimator.predict(pd.DataFrame(rows, columns=NAMES, dtype=float))
    same(asked(loaded(estimator), batch_of(rows)), [Prediction(score=float(each)) for each in expected])


def test_a_pipeline_of_text_and_numbers_is_given_a_dataframe(loaded: Loader) -> None:
    """A ColumnTransformer finds its columns by name; text that is missing is NaN, as in a CSV file."""
    frame = pd.DataFrame(
        {
            "country": ["DE", "AT", np.nan, "DE"] * 5,
            "age": [1.0, 2.0, 3.0, np.nan] * 5,
            "vip": [True, False] * 10,
        }
    )
    estimator = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["country", "vip"]), (SimpleImputer(), ["age"])
        ),
        LogisticRegression(),
    ).fit(frame, ["x", "y"] * 10)
    rows: list[dict[str, Any]] = [
        {"age": 2.0, "vip": True, "country": "DE"},
        {"country": "AT", "age": None, "vip": False},
        {"vip": True, "age": 3, "country": None},
        {"vip": True, "age": 3},
        {"country": "new", "age": 1.5, "vip": True},
    ]
    plain = pd.DataFrame(rows, columns=["country", "age", "vip"]).fillna({"country": np.nan})
    same(asked(loaded(estimator), batch_of(rows)), classes_of(estimator, plain))


def test_categories_that_a_model_learned_from_a_dataframe_are_text_in_a_request(loaded: Loader) -> None:
    """Also where no request of a batch has the feature, and for a category that is new."""
    frame = pd.DataFrame({"kind": pd.Categorical(["x", "y", "z", "x"] * 20), "size": np.arange(80.0)})
    estimator = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")
    estimator.fit(frame, np.where(frame["kind"] == "x", "yes", "no"))
    rows = [{"kind": kind, "size": size} for kind, size in (("x", 1), ("y", 2.5), ("new", 2.5), (None, 2.5))]
    plain = pd.DataFrame(rows).astype({"kind": "category"})
    same(asked(loaded(estimator), batch_of(rows)), classes_of(estimator, plain))


@pytest.mark.parametrize("form", ["numpy", "pandas"])
def test_the_user_decides_on_the_form(loaded: Loader, form: Any, x: Any) -> None:
    """Either is right for a model of numbers, whatever it was fitted on, and neither makes it warn."""
    estimator = LinearRegression().fit(x, TARGET)
    model = loaded(estimator, NAMES, input=form)
    assert type(model.prepare(batch_of(ROWS))).__name__ == {"numpy": "ndarray", "pandas": "DataFrame"}[form]
    expected = estimator.predict(x[:60])
    same(asked(model, batch_of(ROWS)), [Prediction(score=float(each)) for each in expected])


def test_a_pipeline_that_begins_with_text_is_given_text(loaded: Loader) -> None:
    """A vectorizer takes a list of texts, of one feature."""
    texts = ["good film", "bad film", "good good", "bad"]
    estimator = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0])
    rows = [{"review": text, "stars": 5} for text in texts]
    same(asked(loaded(estimator, ("review",)), batch_of(rows)), classes_of(estimator, texts))
    with pytest.raises(ModelError, match="begins with text, which is one feature, and 2 were named"):
        loaded(estimator, ("review", "stars"))


def test_a_classifier_without_probabilities_answers_a_label_alone(loaded: Loader) -> None:
    """A margin is no probability, so there is no score."""
    estimator = RidgeClassifier().fit(FRAME, TARGET)
    expected = [Prediction(label=str(each)) for each in estimator.predict(FRAME[:60])]
    same(asked(loaded(estimator), batch_of(ROWS)), expected)


@pytest.mark.parametrize("estimator", [IsolationForest(random_state=0), OneClassSVM(nu=0.3)], ids=str)
def test_an_outlier_detector_answers_its_side_and_its_decision_function(
    loaded: Loader, estimator: Any
) -> None:
    """The label is what its own predict says."""
    estimator.fit(FRAME)
    rows = FRAME[:60]
    expected = [
        Prediction(label=str(label), score=float(score))
        for label, score in zip(estimator.predict(rows), estimator.decision_function(rows), strict=True)
    ]
    assert {each.label for each in expected} == {"1", "-1"}
    same(asked(loaded(estimator), batch_of(ROWS)), expected)


def test_a_clusterer_answers_its_cluster(loaded: Loader) -> None:
    """An integer is a label."""
    estimator = KMeans(3, random_state=0).fit(FRAME)
    expected = [Prediction(label=str(each)) for each in estimator.predict(FRAME[:60])]
    same(asked(loaded(estimator), batch_of(ROWS)), expected)


def test_a_regressor_of_several_numbers_answers_a_vector(loaded: Loader) -> None:
    """One row, one vector; a single column of targets is still a score."""
    targets = np.stack([TARGET, FRAME.iloc[:, 0]], axis=1)
    two = LinearRegression().fit(FRAME, targets)
    same(
        asked(loaded(two), batch_of(ROWS)),
        [Prediction(vector=each.tolist()) for each in two.predict(FRAME[:60])],
    )
    one = LinearRegression().fit(FRAME, targets[:, :1])
    same(
        asked(loaded(one), batch_of(ROWS)),
        [Prediction(score=float(each[0])) for each in one.predict(FRAME[:60])],
    )


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(10, random_state=0),
        MLPClassifier(max_iter=20, random_state=0),
        OneVsRestClassifier(LogisticRegression()),
        MultiOutputClassifier(LogisticRegression()),
    ],
    ids=lambda each: type(each).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_several_labels_at_once_are_a_vector_of_their_probabilities(loaded: Loader, estimator: Any) -> None:
    """One probability for each label, however the estimator itself gives them."""
    labels = np.stack([grape == GRAPES for grape in range(3)], axis=1).astype(int)
    x = StandardScaler().fit_transform(WINE)
    estimator.fit(x, labels)
    rows = [{f"f{place}": value for place, value in enumerate(row)} for row in x[:40].tolist()]
    found = estimator.predict_proba(x[:40])
    expected = np.stack([each[:, 1] for each in found], axis=1) if isinstance(found, list) else found
    model = loaded(estimator, tuple(rows[0]))
    same(asked(model, batch_of(rows)), [Prediction(vector=each.tolist()) for each in expected])


class Stranger(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """An estimator of another library, of which nobody knows what it looks at."""

    def fit(self, frame: Any, target: Any) -> Stranger:
        """Learn the classes."""
        self.feature_names_in_ = np.array(getattr(frame, "columns", ["a"]))
        self.classes_ = np.unique(target)
        return self

    def predict_proba(self, frame: Any) -> Any:
        """Look at the columns by name."""
        sure = (frame["b"] > frame["a"]).to_numpy(float)
        return np.stack([1 - sure, sure], axis=1)

    def predict(self, frame: Any) -> Any:
        """The surer class."""
        return self.classes_[self.predict_proba(frame).argmax(axis=1)]


def test_an_estimator_of_another_library_gets_the_dataframe_that_it_was_fitted_on(loaded: Loader) -> None:
    """Who knows whether it looks at names."""
    estimator = Stranger().fit(pd.DataFrame({"b": [1], "a": [2]}), ["no", "yes"][:2])
    found = asked(loaded(estimator), batch_of([{"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 1.0}]))
    assert [each.label for each in found] == ["yes", "no"]


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (
            MultiOutputClassifier(LogisticRegression()).fit([[0], [1]], [["a", "x"], ["b", "y"]]),
            "no form as one",
        ),
        (MultiOutputClassifier(RidgeClassifier()).fit([[0], [1]], [[0, 1], [1, 0]]), "no form as one"),
        (StandardScaler().fit([[0.0], [1.0]]), "a StandardScaler has no predict"),
        (LocalOutlierFactor(1).fit([[0.0], [1.0]]), "novelty=False"),
    ],
    ids=lambda each: "" if isinstance(each, str) else type(each).__name__,
)
def test_what_has_no_form_as_a_prediction_is_refused_when_it_is_loaded(
    loaded: Loader, estimator: Any, words: str
) -> None:
    """Not with the first request."""
    with pytest.raises(ModelError, match=words):
        loaded(estimator, ("a",))


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (("a",), "takes 2 features, and 1 were named"),
        (("b", "a"), "has the features b, a at other places than --features"),
        (("a", "c"), ""),
    ],
)
def test_features_that_are_named_must_fit_the_models_own(
    loaded: Loader, features: tuple[str, ...], words: str
) -> None:
    """Other names in the same places are a renaming; the same names in other places are a mistake."""
    estimator = LinearRegression().fit(pd.DataFrame({"a": [0.0, 1.0], "b": [1.0, 5.0]}), [0, 1])
    if words:
        with pytest.raises(ModelError, match=words):
            loaded(estimator, features)
    else:
        (found,) = asked(loaded(estimator, features, input="pandas"), batch_of([{"a": 1.0, "c": 5.0}]))
        assert found.score == pytest.approx(1.0)


def test_an_estimator_without_names_needs_them(loaded: Loader) -> None:
    """Fitted on an array, it knows only how many there are."""
    with pytest.raises(ModelError, match="--features"):
        loaded(LinearRegression().fit([[0.0], [1.0]], [0, 1]))


def test_text_where_a_model_takes_numbers_is_an_error(loaded: Loader) -> None:
    """A feature that is text is never handed over as a missing number."""
    model = loaded(LinearRegression().fit([[0.0]], [1.0]), ("country",))
    with pytest.raises(ModelError, match="these features are none: country"):
        model.prepare(batch_of([{"country": "DE"}]))


@pytest.mark.parametrize("form", ["dicts", "arrow"])
def test_no_estimator_takes_dicts_or_arrow(loaded: Loader, form: Any) -> None:
    """Said when it is loaded."""
    with pytest.raises(ModelError, match="an estimator takes numpy or pandas"):
        loaded(LinearRegression().fit([[0.0]], [1.0]), ("a",), input=form)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([False, True], ["false", "true"]),
        ([0.0, 1.0], ["0", "1"]),
        ([3, 7], ["3", "7"]),
        (["a", "b"], ["a", "b"]),
    ],
)
def test_a_classs_name_is_what_the_primarys_label_would_be(
    loaded: Loader, classes: list[Any], expected: list[str]
) -> None:
    """Booleans, whole floats and ints name the same label on both sides, with probabilities and without."""
    for kind in (LogisticRegression, RidgeClassifier):
        model = loaded(kind().fit([[0.0], [9.0]], classes), ("a",))
        assert [each.label for each in asked(model, batch_of([{"a": 0.0}, {"a": 9.0}]))] == expected


def test_nothing_that_is_asked_of_others_is_changed(loaded: Loader) -> None:
    """A model's warning is avoided, not silenced for the whole process."""
    loaded(LinearRegression().fit(FRAME, TARGET))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        LinearRegression().fit(FRAME, TARGET).predict(FRAME.to_numpy())


def test_a_batch_of_none_is_none(loaded: Loader) -> None:
    """No request, no answer, no error."""
    for estimator in (LinearRegression(), LogisticRegression(), RidgeClassifier(), IsolationForest()):
        model = loaded(estimator.fit([[0.0], [1.0]], [0, 1]), ("a",))
        assert predictions(model.read_each([])) == []


# What may be loaded.


@pytest.fixture(params=["joblib", "skops"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A small model in a file."""
    path = tmp_path / f"model.{request.param}"
    (joblib.dump if request.param == "joblib" else skops.io.dump)(
        LinearRegression().fit([[0.0]], [1.0]), path
    )
    return path


def test_a_pickle_needs_trust_and_the_right_sha256_and_skops_neither(file: Path) -> None:
    """Without the flag nothing is unpickled; the message gives the hash. A pin is checked for both."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    uri = f"sklearn:{file}"
    if file.suffix == ".joblib":
        for options in ({}, {"sha256": digest}, {"allow_pickle": True}):
            with pytest.raises(ModelError, match=f"--allow-pickle --sha256 {digest}"):
                load_model(ModelSource(uri, ("a",), **options))
    else:
        load_model(ModelSource(uri, ("a",)))
    load_model(ModelSource(uri, ("a",), allow_pickle=True, sha256=digest.upper()))
    with pytest.raises(ModelError, match="not the pinned 00"):
        load_model(ModelSource(uri, ("a",), allow_pickle=True, sha256="00"))


def test_skops_types_that_nobody_trusts_are_listed_with_what_to_type(tmp_path: Path) -> None:
    """Nothing of them is made before their user says that he trusts them, all of them."""
    path = tmp_path / "stranger.skops"
    estimator = make_pipeline(StandardScaler(), Stranger())
    estimator.fit(pd.DataFrame({"b": [1, 2], "a": [2, 1]}), ["no", "yes"])
    skops.io.dump(estimator, path)
    with pytest.raises(ModelError, match="does not trust") as caught:
        load_model(ModelSource(f"sklearn:{path}"))
    trusted = str(caught.value).partition("--trust ")[2].split(" --trust ")
    assert any(each.endswith("Stranger") for each in trusted)
    model = load_model(ModelSource(f"sklearn:{path}", trusted=tuple(trusted)))
    assert model.names == ["b", "a"]


def test_what_is_no_model_at_all_is_an_error(tmp_path: Path) -> None:
    """A damaged skops file, or one of another kind, is named."""
    path = tmp_path / "model.skops"
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ModelError, match=r"model\.skops' failed to load: BadZipFile"):
        load_model(ModelSource(f"sklearn:{path}"))
