"""From what a service has at hand to the typed forms of the events, and back."""

from __future__ import annotations

import array
import dataclasses
import decimal
import math
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from inputs import (
    Account,
    Answer,
    Basket,
    Colour,
    Item,
    Markup,
    Model,
    Nothing,
    OldItem,
    OldModel,
    Order,
    Place,
    Ranked,
    Row,
    Scores,
    Size,
    Slotted,
    Tensor,
    Verdict,
)
from shadowlane.errors import SettingsError
from shadowlane.schemas import (
    Codec,
    Features,
    LedgerEntry,
    Prediction,
    ProductionLabel,
    ProductionRequest,
    as_mapping,
    check_name,
    label_text,
)

_TIME = datetime(2026, 5, 17, tzinfo=UTC)
_ORDER = '{"sku": "a", "place": {"country": "DE", "colour": "red"}, "tags": []}'
_LOOP: list[Any] = []
_LOOP.append(_LOOP)


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
        (np.array(2.5), "numbers", 2.5),
        (np.array([2.5]), "vectors", [2.5]),
        (np.float16(0.5), "numbers", 0.5),
        (np.float64(0.5), "numbers", 0.5),
        (np.longdouble(0.5), "numbers", 0.5),
        (np.array([0.5], dtype=np.longdouble), "vectors", [0.5]),
        (np.uint64(2**63 - 1), "integers", 2**63 - 1),
        (np.uint64(2**64 - 1), "json", "18446744073709551615"),
        (np.array([2**64 - 1], dtype=np.uint64), "vectors", [2.0**64]),
        (np.array([True, False]), "json", "[true, false]"),
        (np.array(["a"]), "json", '["a"]'),
        (np.array([1, "a", None, 2.5], dtype=object), "json", '[1, "a", null, 2.5]'),
        (np.ma.array([1, 2], mask=[False, True]), "json", "[1, null]"),
        (np.datetime64("2026-05-17"), "strings", "2026-05-17"),
        (np.datetime64("2026-05-17T12:00:01.5", "ns"), "strings", "2026-05-17T12:00:01.500000"),
        (np.array(["2026-05-17", "NaT"], dtype="M8[ns]"), "json", '["2026-05-17T00:00:00", null]'),
        (np.timedelta64(1500, "ms"), "numbers", 1.5),
        (np.timedelta64(1500, "ns"), "numbers", 1e-6),
        (np.array([1, 2], dtype="m8[s]"), "vectors", [1.0, 2.0]),
        ([np.float32(0.5), np.int8(1)], "vectors", [0.5, 1.0]),
        ([decimal.Decimal("0.5"), 1], "vectors", [0.5, 1.0]),
        ([0.5, None], "json", "[0.5, null]"),
        ([0.5, pd.NA], "json", "[0.5, null]"),
        ({"a": np.int64(1), 2: {"b": np.array([1.5])}}, "json", '{"a": 1, "2": {"b": [1.5]}}'),
        (
            {np.int64(1): 1, Colour.RED: 2, _TIME: 3},
            "json",
            f'{{"1": 1, "red": 2, "{_TIME.isoformat()}": 3}}',
        ),
        (MappingProxyType({"a": (1, [Colour.RED])}), "json", '{"a": [1, ["red"]]}'),
        (pd.Series([0.5, 1.5], index=["a", "b"]), "vectors", [0.5, 1.5]),
        (pd.Series([1, None], dtype="Int64"), "json", "[1, null]"),
        (pd.Series(pd.to_datetime(["2026-05-17"], utc=True)), "json", '["2026-05-17T00:00:00+00:00"]'),
        (pd.Timestamp("2026-05-17T12:00"), "strings", "2026-05-17T12:00:00"),
        (pd.Timedelta("90s"), "numbers", 90.0),
        (pd.Categorical(["a", "b"]), "json", '["a", "b"]'),
        (array.array("d", [0.5]), "vectors", [0.5]),
        (decimal.Decimal("9.5"), "numbers", 9.5),
        (_TIME, "strings", "2026-05-17T00:00:00+00:00"),
        (_TIME.date(), "strings", "2026-05-17"),
        (_TIME.time(), "strings", "00:00:00"),
        (timedelta(minutes=1), "numbers", 60.0),
        (UUID(int=1), "strings", "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "strings", "red"),
        (Size.SMALL, "integers", 1),
        (Markup("<b>"), "strings", "<b>"),
        ({"b", "a"}, "json", '["a", "b"]'),
        (frozenset({2, 1.5}), "vectors", [1.5, 2.0]),
        (Place("DE", Colour.RED), "json", '{"country": "DE", "colour": "red"}'),
        ([Place("DE", Colour.RED)], "json", '[{"country": "DE", "colour": "red"}]'),
        (Order(sku="a", place=Place("DE", Colour.RED)), "json", _ORDER),
        ([Order(sku="a", place=Place("DE", Colour.RED))], "json", f"[{_ORDER}]"),
        (Basket(items=[Item(sku="a")]), "json", '{"items": [{"sku": "a", "price": null}]}'),
        (OldItem(sku="a"), "json", '{"sku": "a"}'),
        (Scores([0.5, 1]), "vectors", [0.5, 1.0]),
        (Tensor([0.5, 1.0]), "vectors", [0.5, 1.0]),
    ],
)
def test_a_feature_is_sorted_by_its_type(value: object, kind: str, stored: object) -> None:
    """Each value goes to the map of its type, nested ones as JSON, NumPy's as Python's own."""
    features = Features.of({"x": value})
    assert getattr(features, kind) == {"x": stored}
    assert type(getattr(features, kind)["x"]) is type(stored)
    others = [each.name for each in dataclasses.fields(Features) if each.name != kind]
    assert not any(getattr(features, name) for name in others)


@pytest.mark.parametrize(
    "value",
    [
        None,
        pd.NA,
        pd.NaT,
        np.datetime64("NaT", "s"),
        np.timedelta64("NaT", "s"),
        np.ma.masked,
        Nothing.NOTHING,
    ],
)
def test_a_feature_without_a_value_is_named_as_missing(value: object) -> None:
    """None, pandas' NA, no time and a masked value go to `missing`, NaN stays a number."""
    features = Features.of({"income": value, "age": math.nan, "weight": np.float32("nan")})
    assert features.missing == ["income"]
    assert list(map(math.isnan, features.numbers.values())) == [True, True]


@pytest.mark.parametrize(
    "values",
    [
        Place("DE", Colour.RED),
        Row(country="DE", colour=Colour.RED),
        Slotted(country="DE", colour=Colour.RED),
        Model(country="DE", colour=Colour.RED),
        OldModel(country="DE", colour=Colour.RED),
        pd.Series({"country": "DE", "colour": "red"}),
        pd.DataFrame({"country": ["DE"], "colour": ["red"]}).iloc[0],
        MappingProxyType({"country": "DE", "colour": "red"}),
        Features(strings={"country": "DE", "colour": "red"}),
    ],
)
def test_what_has_names_and_values_is_a_mapping(values: object) -> None:
    """Features may be any of these, and are the same then."""
    assert Features.of(as_mapping("features", values)).strings == {"country": "DE", "colour": "red"}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([("a", 1)], "list"),
        ((1, 2), "tuple"),
        (None, "NoneType"),
        (np.array([1.0]), "ndarray"),
        (Place, "EnumType|type"),
        (Scores([0.5]), "Scores"),
        (pd.DataFrame({"a": [1]}), r"DataFrame \(a row is df.iloc\[0\]\)"),
        (Mock(), "Mock"),
    ],
)
def test_what_has_no_names_is_no_mapping(values: object, kind: str) -> None:
    """An array, a list, a whole table: the error says what features may be, and what this was."""
    with pytest.raises(TypeError, match=rf"^features must be a mapping .* a pandas Series, not ({kind})$"):
        as_mapping("features", values)


def test_names_may_be_text_of_another_class() -> None:
    """What an enumeration of text or NumPy gives as a name is text."""
    features = Features.of({Markup("a"): 1.0, np.str_("b"): None})
    request = ProductionRequest(request_id="r", event_time=_TIME, model="m", features=features)
    decoded = Codec(ProductionRequest).decode(Codec(ProductionRequest).encode(request))
    assert decoded.features.to_dict() == {"a": 1.0, "b": None}


def test_features_that_raise_are_no_mapping() -> None:
    """What a model's own code raises is told by its type: its text may hold what the model holds."""

    class Failing(Model):
        """A model whose serializer fails."""

        def model_dump(self, **_: Any) -> dict[str, Any]:
            raise ValueError(self.country)

    with pytest.raises(TypeError, match=r"^features: .* Failing cannot be sent \(reading it: ValueError\)$"):
        as_mapping("features", Failing(country="DE", colour=None))


def test_a_field_that_is_excluded_stays_out() -> None:
    """What a pydantic model itself leaves out is not published, of a nested model neither."""
    assert Features.of(as_mapping("features", Account())).to_dict() == {"name": "x"}
    assert Features.of({"account": Account()}).to_dict() == {"account": {"name": "x"}}


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
        ({1: 2}, "the name of a feature must be text, not int"),
        ({b"x": 2}, "the name of a feature must be text, not bytes"),
        (
            {"image": b"x"},
            "feature 'image': .* bytes cannot be sent: decode it to text, or leave",
        ),
        (
            {"image": {"deep": [bytearray(b"x")]}},
            "feature 'image': .* bytearray cannot be sent: decode",
        ),
        ({"phase": 1j}, "feature 'phase': .* complex cannot be sent: give numbers, text"),
        ({"phase": np.array([1j])}, "feature 'phase': .* complex cannot be sent"),
        ({"password": SecretStr("x")}, "feature 'password': .* SecretStr cannot be sent"),
        (
            {"rows": pd.DataFrame({"a": [1]})},
            r"feature 'rows': .* DataFrame .* give a row \(df.iloc\[0\]\)",
        ),
        ({"tags": {"a", 1}}, "feature 'tags': a set cannot be sent unless it holds text only or numbers"),
        ({"tags": {True}}, "feature 'tags': a set cannot be sent unless it holds text only or numbers"),
        ({"by": {(1, 2): 3}}, "feature 'by': a mapping with names of type tuple cannot be sent"),
        ({"n": 10**5000}, "feature 'n': an integer of thousands of digits"),
        ({"n": [{"a": 10**5000}]}, "feature 'n': an integer of thousands of digits"),
        ({"n": [10**400]}, "feature 'n': an integer is too large for a float"),
        (
            {"n": decimal.Decimal("sNaN")},
            r"feature 'n': .* Decimal cannot be sent \(reading it: ValueError\)",
        ),
        (
            {"loop": _LOOP},
            r"feature 'loop': .* list cannot be sent \(reading it: RecursionError\)",
        ),
        ({"mock": Mock()}, "feature 'mock': .* Mock cannot be sent"),
    ],
)
def test_a_feature_that_cannot_be_sent_is_named(values: Any, reason: str) -> None:
    """A value without a form is an error that names the feature and its type."""
    with pytest.raises(TypeError, match=reason):
        Features.of(values)


@pytest.mark.parametrize(
    ("features", "place"),
    [
        ({"x": "secret\ud800"}, "features.strings.x"),
        ({"x": ["secret\udfff"]}, "features.json.x"),
        ({"secret": 1.0, "\ud800": 1.0}, "a name in features.numbers"),
        ({"\ud800": None}, "features.missing"),
    ],
)
def test_text_that_is_no_unicode_is_said_where(features: dict[str, Any], place: str) -> None:
    """Half a surrogate pair has no form in UTF-8: the error says where it is, and nothing of the text."""
    request = ProductionRequest(request_id="r", event_time=_TIME, model="m", features=Features.of(features))
    with pytest.raises(TypeError, match=rf"^{place} is no Unicode \(surrogates not allowed\)") as raised:
        Codec(ProductionRequest).encode(request)
    assert "secret" not in str(raised.value)


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
        (np.array(0.5), Prediction(score=0.5)),
        (np.array([0.5]), Prediction(vector=[0.5])),
        (np.float32(0.5), Prediction(score=0.5)),
        (decimal.Decimal("0.5"), Prediction(score=0.5)),
        (Colour.RED, Prediction(label="red")),
        (Size.SMALL, Prediction(label="1")),
        (UUID(int=1), Prediction(label="00000000-0000-0000-0000-000000000001")),
        (pd.Series([0.5, 1.5]), Prediction(vector=[0.5, 1.5])),
        (pd.Series(["b", "a"]), Prediction(ranking=["b", "a"])),
        ([Colour.RED], Prediction(ranking=["red"])),
        (Scores([0.5]), Prediction(vector=[0.5])),
        (Answer(label=Colour.RED), Prediction(label="red")),
        (Verdict(label="a", score=decimal.Decimal("0.5")), Prediction(label="a", score=0.5)),
        (Ranked(("b", "a"), np.array([0.5])), Prediction(ranking=["b", "a"], vector=[0.5])),
        ({"label": 1.0, "score": None}, Prediction(label="1.0")),
        ({"label": pd.NA, "score": True * 1}, Prediction(score=1.0)),
        (Prediction(vector=np.array([1, 2])), Prediction(vector=[1.0, 2.0])),  # type: ignore[arg-type]
        (Prediction(score=np.float32(0.5)), Prediction(score=0.5)),  # type: ignore[arg-type]
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
        ({f"class {i}": 0.1 for i in range(8)}, "not 'class 0', .*, 'class 4' and 3 more$"),
        ({1: 0.5}, "not a name of type int"),
        (Row("DE", Colour.RED), "not 'colour', 'country'"),
        ({"score": "high"}, "a prediction's score: a str is no number"),
        ({"score": True}, "a prediction's score: a bool is no number"),
        ({"score": 10**400}, "a prediction's score: an integer is too large for a float"),
        ({"label": [1]}, "a prediction's label: a list is neither text nor a number"),
        ({"label": 10**5000}, "a prediction's label: an integer of thousands of digits"),
        pytest.param(10**5000, "a prediction: an integer of thousands of digits", id="huge"),
        ([10**400], "a prediction: an integer is too large for a float"),
        ({"vector": 0.5}, "a prediction's vector: .* numbers only; this is a float"),
        ({"vector": "12"}, "a prediction's vector: .* numbers only; this is a str"),
        ({"vector": ["1"]}, "a prediction's vector: .* numbers only$"),
        ({"ranking": [1, 2]}, "a prediction's ranking: a ranking holds text only"),
        ({"ranking": "ab"}, "a prediction's ranking: .* in a list; this is a str"),
        ({"ranking": {"a", "b"}}, "a prediction's ranking: a set has no order: give a list"),
        ({"a", "b"}, "a prediction: a set has no order: give a list"),
        (b"benign", "a prediction cannot be bytes"),
        (pd.NA, "a prediction cannot be NAType"),
        (pd.DataFrame({"score": [0.5]}), "a prediction cannot be DataFrame"),
        (Prediction(score="high"), "a prediction's score: a str is no number"),  # type: ignore[arg-type]
        (Prediction(vector=["high"]), "a prediction's vector"),  # type: ignore[list-item]
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
