"""From what a service has at hand to the typed forms of the events, and back."""

from __future__ import annotations

import dataclasses
import decimal
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.errors import SettingsError
from shadowlane.schemas import (
    Codec,
    Features,
    LedgerEntry,
    Prediction,
    ProductionLabel,
    ProductionRequest,
    check_name,
    label_text,
)

_TIME = datetime(2026, 5, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "kind", "stored"),
    [
        (1.5, "numbers", 1.5),
        (3, "integers", 3),
        (2**63 - 1, "integers", 2**63 - 1),
        (2**63, "json", "9223372036854775808"),
        (-(2**63) - 1, "json", "-9223372036854775809"),
        (True, "flags", True),
        ("DE", "strings", "DE"),
        ([1, 2.5], "vectors", [1.0, 2.5]),
        ((), "vectors", []),
        ([1, True], "json", "[1, true]"),
        (["a", "b"], "json", '["a", "b"]'),
        ({"a": [1, None]}, "json", '{"a": [1, null]}'),
        (["grüße"], "json", '["grüße"]'),
        (np.float32(0.5), "numbers", 0.5),
        (np.int8(-3), "integers", -3),
        (np.bool_(True), "flags", True),
        (np.str_("DE"), "strings", "DE"),
        (np.array([1, 2]), "vectors", [1.0, 2.0]),
        (np.array([[1.0], [2.0]]), "json", "[[1.0], [2.0]]"),
    ],
)
def test_a_feature_is_sorted_by_its_type(value: object, kind: str, stored: object) -> None:
    """Each value goes to the map of its type, nested ones as JSON, NumPy's as Python's own."""
    features = Features.of({"x": value})
    assert getattr(features, kind) == {"x": stored}
    assert type(getattr(features, kind)["x"]) is type(stored)
    others = [each.name for each in dataclasses.fields(Features) if each.name != kind]
    assert not any(getattr(features, name) for name in others)


def test_a_feature_without_a_value_is_named_as_missing() -> None:
    """None goes to `missing`, NaN stays a number."""
    features = Features.of({"income": None, "age": math.nan})
    assert features.missing == ["income"]
    assert math.isnan(features.numbers["age"])


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
        | st.lists(st.floats(allow_nan=False), max_size=3)
        | st.dictionaries(st.text(max_size=3), st.lists(st.integers() | st.none(), max_size=2), max_size=2),
        max_size=6,
    )
)  # fmt: skip
def test_features_come_back_as_they_were_given(values: dict[str, Any]) -> None:
    """Sorted, encoded, decoded and joined again, features are the plain mapping that they were."""
    request = ProductionRequest(request_id="r", event_time=_TIME, model="m", features=Features.of(values))
    decoded = Codec(ProductionRequest).decode(Codec(ProductionRequest).encode(request))
    assert decoded.features.to_dict() == values


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({1: 2}, "feature name 1 is not text"),
        ({"when": _TIME}, "feature 'when': a datetime cannot be sent"),
        ({"price": decimal.Decimal(1)}, "feature 'price': a Decimal cannot be sent"),
        ({"tags": {"a", "b"}}, "feature 'tags': a set cannot be sent"),
    ],
)
def test_a_feature_that_cannot_be_sent_is_named(values: Any, reason: str) -> None:
    """A value without a form is an error that names the feature and its type."""
    with pytest.raises(TypeError, match=reason):
        Features.of(values)


@pytest.mark.parametrize(
    ("answer", "prediction"),
    [
        (0.5, Prediction(score=0.5)),
        (np.float64(0.5), Prediction(score=0.5)),
        ("benign", Prediction(label="benign")),
        (1, Prediction(label="1")),
        (np.int64(1), Prediction(label="1")),
        (True, Prediction(label="true")),
        (np.bool_(False), Prediction(label="false")),
        ([0.5, 1], Prediction(vector=[0.5, 1.0])),
        ((0.5,), Prediction(vector=[0.5])),
        ([], Prediction(vector=[])),
        (np.array([0.5, 1.0]), Prediction(vector=[0.5, 1.0])),
        (["b", "a"], Prediction(ranking=["b", "a"])),
        (np.array(["b", "a"]), Prediction(ranking=["b", "a"])),
        ({"label": 1, "score": np.float32(0.5)}, Prediction(label="1", score=0.5)),
        ({"score": 1}, Prediction(score=1.0)),
        ({"vector": np.array([1, 2]), "ranking": ["x"]}, Prediction(vector=[1.0, 2.0], ranking=["x"])),
        ({}, Prediction()),
        (Prediction(score=0.5), Prediction(score=0.5)),
    ],
)
def test_a_prediction_is_read_by_its_type(answer: object, prediction: Prediction) -> None:
    """A float is a score; text, int or bool a label; a list a vector or ranking; a mapping names its own."""
    assert Prediction.of(answer) == prediction
    label = ProductionLabel(request_id="r", model="m", label=Prediction.of(answer), observed_at=_TIME)
    assert Codec(ProductionLabel).decode(Codec(ProductionLabel).encode(label)) == label


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "cannot be NoneType"),
        (object(), "cannot be object"),
        ([1.0, "a"], "numbers only"),
        ([True, False], "numbers only"),
        ([[1.0]], "numbers only"),
        ({"label": "a", "confidence": 0.5}, "not 'confidence'"),
        ({"score": "high"}, "score, label, vector and ranking .*high"),
        ({"vector": 0.5}, "score, label, vector and ranking .*float"),
        ({"ranking": [1, 2]}, "score, label, vector and ranking .*ranking holds text"),
        ({"ranking": "ab"}, "score, label, vector and ranking .*ranking holds text"),
    ],
)
def test_an_answer_without_a_form_is_refused(answer: object, reason: str) -> None:
    """What no field of a prediction holds is an error that says what may be."""
    with pytest.raises(TypeError, match=reason):
        Prediction.of(answer)


def test_labels_as_text() -> None:
    """True is "true" and 1 is "1": a bool is no number."""
    assert [label_text(value) for value in (True, False, 1, 0, "x")] == ["true", "false", "1", "0", "x"]


def test_events_are_frozen() -> None:
    """An event cannot be changed once it is made, nor given another field."""
    entry = LedgerEntry(producer_id="p", model="m", started_at=_TIME, recorded_at=_TIME)
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry.observed = 1  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("name", ["a", "0", "ranker-7", "Ranker_7.b", "a" * 128])
def test_a_good_name_is_returned(name: str) -> None:
    """A name that may become a folder is returned as it is."""
    assert check_name("model", name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "-a", "_a", "a/b", "a b", "a\n", "ä", "a" * 129, "a\x00", "a=b"]
)
def test_a_bad_name_is_refused(name: str) -> None:
    """A name that is no folder, or leads out of the lake, is an error that says what may be."""
    with pytest.raises(SettingsError, match=r"model name .*: use 1 to 128 letters, digits"):
        check_name("model", name)
