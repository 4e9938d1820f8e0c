"""Redaction: which fields a rule matches, what becomes of each value, and what the log may say."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.errors import SettingsError
from shadowlane.producer import Hook, Redaction
from shadowlane.producer._encode import Encoder, Observation, Subject
from shadowlane.producer._log import described
from shadowlane.producer.testing import MemoryHook
from shadowlane.schemas import Codec, NoFormError, Prediction, ProductionRequest
from shadowlane.settings import RedactionSettings

from .conftest import MOCK, UNREACHABLE

KEY = "0123456789abcdef0123456789abcdef"
NAN, INF = float("nan"), float("inf")
ENCODER = Encoder(Subject("ranker", "7"), "producer", "mark")
#: What an allow list needs besides features, for a request to be of use.
IDENTITY = {"field": ["request_id", "entity_id", "prediction"], "action": "allow"}


class Name(str, Enum):  # noqa: UP042 (a StrEnum says its text, this one does not)
    """Names of features, as some services have them."""

    EMAIL = "email"


class Unreadable:
    """Raises what it holds."""

    def tolist(self) -> None:
        """Not an array, though it looks like one."""
        raise ValueError("secret")


@dataclass
class Customer:
    """A part of a request, as some services have it."""

    email: str
    age: int


def request(features: Mapping[Any, Any] | None = None, **fields: Any) -> Observation:
    """A request as the hook takes it down."""
    given: dict[str, Any] = {
        "sequence": 7,
        "request_id": "r-1",
        "entity_id": "user-1",
        "event_time": 1,
        "features": {} if features is None else features,
        "prediction": 0.5,
        "latency_ms": 1.0,
        "segments": None,
        "context": None,
        "sampling_rate": 1.0,
    }
    return Observation(**(given | fields))


def redaction(*rules: Mapping[str, Any], otherwise: str = "allow") -> Redaction:
    """A redaction with a key."""
    return Redaction(rules, otherwise=otherwise, key=KEY)


def features_of(redacted: Redaction, features: Mapping[Any, Any]) -> dict[Any, Any]:
    """What is left of features."""
    return dict(redacted.apply(request(features)).features)


def hashed(text: str) -> str:
    """What the docs say is published."""
    return hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


def encoded(observation: Observation) -> ProductionRequest:
    """The event that is published."""
    return Codec(ProductionRequest).decode(ENCODER.request(observation, now_ms=10**15).value)


# Which fields


def test_the_first_rule_that_matches_decides() -> None:
    """Later ones do not matter; a field that no rule names stays."""
    rules = redaction(
        {"field": "features.a", "action": "allow"},
        {"glob": "features.[ab]", "action": "drop"},
        {"field": "features.b", "action": "allow"},
    )
    assert features_of(rules, {"a": 1, "b": 2, "c": 3}) == {"a": 1, "c": 3}


@pytest.mark.parametrize(
    "rule",
    [
        {"field": "features.email"},
        {"field": ["features.phone", "features.email"]},
        {"glob": "*.e?ail"},
        {"glob": "features.[ef]*l"},
        {"regex": r".*\.e(-)?mail"},
        {"regex": "features.(phone|EMAIL)"},
    ],
)
def test_fields_are_chosen_by_path_or_pattern(rule: dict[str, Any]) -> None:
    """A path is matched from end to end, by field, glob or regex."""
    rules = redaction(rule | {"action": "drop"})
    assert features_of(rules, {"email": "x", "emails": 1, "my_email": 2}) == {"emails": 1, "my_email": 2}


@pytest.mark.parametrize(
    "name", ["Email", "EMAIL", "\uff45\uff4d\uff41\uff49\uff4c", "e\u200bmail", "e\u00admail", Name.EMAIL]
)
@pytest.mark.parametrize("rule", [{"field": "features.eMail"}, {"glob": "*.Email"}, {"regex": ".*EMAIL"}])
def test_names_match_in_any_spelling(name: str, rule: dict[str, Any]) -> None:
    """Neither case, nor another Unicode form, nor invisible characters let a name slip by."""
    assert features_of(redaction(rule | {"action": "drop"}), {name: "x"}) == {}


def test_names_in_other_alphabets_are_others() -> None:
    """A Cyrillic letter that looks Latin makes another name: only an allow list is safe from that."""
    rules = redaction({"field": "features.email", "action": "drop"})
    assert features_of(rules, {"\u0435mail": "x"}) == {"\u0435mail": "x"}


def test_casefolding_reaches_further_than_lower() -> None:
    """A sharp s is two."""
    rules = redaction({"field": "features.strasse", "action": "drop"}, {"regex": ".*MASSE", "action": "drop"})
    assert features_of(rules, {"Straße": 1, "maße": 2}) == {}


def test_a_line_break_in_a_name_hides_nothing() -> None:
    """Patterns match it like any character."""
    rules = redaction({"regex": ".*email.*", "action": "drop"}, {"glob": "*phone*", "action": "drop"})
    assert features_of(rules, {"a\nemail\nb": 1, "c\nphone\nd": 2}) == {}


def test_nested_values_have_paths() -> None:
    """In mappings and in lists of mappings; the request itself stays as it was."""
    rules = redaction(
        {"field": "features.customer.email", "action": "drop"},
        {"field": "features.items.price", "action": "bucket", "width": 10},
    )
    features = {
        "customer": {"email": "x", "age": 41},
        "items": [{"price": 17, "name": "a"}, {"price": 23.5}, 5],
    }
    assert features_of(rules, features) == {
        "customer": {"age": 41},
        "items": [{"price": 10, "name": "a"}, {"price": 20.0}, 5],
    }
    assert features["customer"] == {"email": "x", "age": 41}


def test_a_dot_in_a_name_is_a_dot_in_its_path() -> None:
    """A flat name that reads like a nested one is treated like it."""
    rules = redaction({"field": "features.customer.email", "action": "drop"})
    assert features_of(rules, {"customer.email": "x", "customer": {"email": "y", "b": 1}}) == {
        "customer": {"b": 1}
    }


def test_a_rule_reaches_all_beneath() -> None:
    """Unless an earlier one says otherwise of a part."""
    first = {"field": "features.customer.age", "action": "allow"}
    assert features_of(
        redaction(first, {"field": "features.customer", "action": "drop"}),
        {"customer": {"age": 1, "name": "x", "more": [{"age": 2}]}},
    ) == {"customer": {"age": 1}}
    assert features_of(
        redaction({"field": "features.customer", "action": "hash"}),
        {"customer": {"a": "x", "b": ["y", None]}},
    ) == {"customer": {"a": hashed("x"), "b": [hashed("y"), None]}}


@pytest.mark.parametrize("customer", [Customer("x", 41), {Name.EMAIL: "x", "age": 41}])
def test_what_becomes_a_mapping_is_looked_into(customer: object) -> None:
    """Dataclasses and names that are Enums are redacted as what they are published as."""
    rules = redaction({"field": "features.customer.email", "action": "drop"})
    assert features_of(rules, {"customer": customer, "all": [customer]}) == {
        "customer": {"age": 41},
        "all": [features_of(rules, {"all": customer})["all"]],
    }


def test_names_that_are_numbers_match_as_json_writes_them() -> None:
    """1 is "1", True is "true", None is "null"."""
    rules = redaction({"field": [f"features.a.{n}" for n in ("1", "true", "null", "1.5")], "action": "drop"})
    assert features_of(rules, {"a": {1: "x", 2: "y"}, "b": 1}) == {"a": {2: "y"}, "b": 1}
    assert features_of(rules, {"a": {True: "x", None: "y", 1.5: "z", "w": 1}}) == {"a": {"w": 1}}


@pytest.mark.parametrize("name", [("secret",), b"secret", 1, "x" * 2000])
def test_a_name_that_has_no_path(name: Any) -> None:
    """The request is not published, and the error does not say the name; an allow list drops the field."""
    with pytest.raises(NoFormError, match="features: a name in it is") as caught:
        redaction({"glob": "*.email", "action": "drop"}).apply(request({name: "x"}))
    assert "secret" not in str(caught.value)
    allowed = redaction({"field": "features.a", "action": "allow"}, otherwise="drop")
    assert features_of(allowed, {name: "x", "a": 1}) == {"a": 1}


# An allow list


def test_otherwise_drop_is_an_allow_list() -> None:
    """Of everything: features, segments, context, ids, prediction; what stays is what a rule says."""
    rules = redaction({"field": ["features.a", "segments.country"], "action": "allow"}, otherwise="drop")
    redacted = rules.apply(
        request({"a": 1.0, "b": 2}, segments={"country": "DE", "vip": "yes"}, context={"ip": "::1"})
    )
    event = encoded(redacted)
    assert event.features.to_dict() == {"a": 1.0}
    assert (event.segments, event.context) == ({"country": "DE"}, {})
    assert (event.entity_id, event.prediction) == (None, None)
    assert event.request_id == "mark-7"  # the hook's own
    everything = Redaction([{"glob": "*", "action": "allow"}], otherwise="drop")
    assert everything.apply(request({"a": 1})) == request({"a": 1})


def test_an_allow_list_drops_secret_names() -> None:
    """Also of containers of which nothing is left, and of those that are empty."""
    rules = redaction({"field": "features.ok.a", "action": "allow"}, otherwise="drop")
    features = {"secret": {"x": 1}, "gone": {}, "list": [{"b": 1}, []], "ok": {"a": 1, "secret": {}}}
    assert features_of(rules, features) == {"ok": {"a": 1}}


def test_nothing_to_redact_costs_nothing() -> None:
    """A redaction without rules hands the request on as it is."""
    observation = request({"a": 1})
    assert Redaction().apply(observation) is observation


# Drop


def test_what_is_dropped_is_gone_entirely() -> None:
    """Unlike None, it is not among the missing features either."""
    rules = redaction({"field": "features.a", "action": "drop"})
    event = encoded(rules.apply(request({"a": "x", "b": None})))
    assert (event.features.to_dict(), event.features.missing) == ({"b": None}, ["b"])


def test_values_that_cannot_be_encoded_may_be_dropped() -> None:
    """The request is published without them."""
    rules = redaction({"field": ["features.a", "features.b.c"], "action": "drop"})
    event = encoded(rules.apply(request({"a": object(), "b": {"c": object(), "d": 1}})))
    assert event.features.to_dict() == {"b": {"d": 1}}


@pytest.mark.parametrize(
    "value", [object(), b"secret", {"a": {("secret",): 1}}, 1j, {1, "secret"}, {"a": {Unreadable(): 1}}]
)
def test_what_cannot_be_looked_into_is_not_published(value: object) -> None:
    """Nothing leaves the process of which nobody knows what is in it; the error says the field."""
    rules = redaction({"glob": "*.email", "action": "drop"})
    with pytest.raises(NoFormError, match=r"features\.x") as caught:
        rules.apply(request({"x": value}))
    assert "secret" not in str(caught.value)


def test_what_no_allow_list_names_needs_no_form() -> None:
    """A set that cannot be sent, and a name that cannot be read, are dropped with what they are in."""
    allowed = redaction({"glob": "features.a*", "action": "allow"}, otherwise="drop")
    features = {"a": ["x", 1], "b": {1, "x"}, "c": {Unreadable(): 1}}
    assert features_of(allowed, features) == {"a": ["x", 1]}


@pytest.mark.parametrize("values", [np.array([1.0, 2.0]), [1.0, "x"]])
def test_lists_and_arrays_that_no_rule_touches(values: Any) -> None:
    """They are not even copied."""
    assert features_of(redaction({"glob": "*.email", "action": "drop"}), {"a": values})["a"] is values


# Hash


def test_a_hash_is_hmac_sha256_in_hex() -> None:
    """Of the text's UTF-8, optionally cut; the same in every language."""
    rules = redaction(
        {"field": "features.a", "action": "hash"}, {"field": "features.b", "action": "hash", "cut": 16}
    )
    assert features_of(rules, {"a": "Grüße", "b": "Grüße"}) == {
        "a": hashed("Grüße"),
        "b": hashed("Grüße")[:16],
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1", "1"),
        (1, "1"),
        (1.0, "1"),
        (np.float64(1.0), "1"),
        (np.int8(1), "1"),
        (10**20, "100000000000000000000"),
        (1e20, "100000000000000000000"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (NAN, "nan"),
        (-INF, "-inf"),
        (True, "true"),
        (np.bool_(False), "false"),
        (date(2026, 3, 1), "2026-03-01"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Name.EMAIL, "email"),
        ("", ""),
    ],
)
def test_what_is_hashed(value: object, text: str) -> None:
    """A number's decimal text, a whole one's as an integer: an id is one id whoever read it."""
    assert features_of(redaction({"glob": "*.a", "action": "hash"}), {"a": value}) == {"a": hashed(text)}


def test_unicode_forms_are_hashed_as_they_are() -> None:
    """A composed and a decomposed letter are two texts; one without UTF-8 has a hash all the same."""
    rules = redaction({"glob": "features.*", "action": "hash"})
    values = features_of(rules, {"a": "\u00e9", "b": "e\u0301", "c": "\ud800"}).values()
    assert len({*values}) == 3


def test_none_stays_missing() -> None:
    """A hash or bucket of nothing would be a value."""
    rules = redaction(
        {"field": "features.a", "action": "hash"},
        {"field": "features.b", "action": "bucket", "width": 5},
        {"field": "features.c", "action": "bucket", "keep": 5},
    )
    event = encoded(rules.apply(request({"a": None, "b": None, "c": pd.NA}, entity_id=None)))
    assert sorted(event.features.missing) == ["a", "b", "c"]


def test_arrays_are_hashed_one_by_one() -> None:
    """A vector becomes a list of texts."""
    rules = redaction({"field": "features.a", "action": "hash"})
    assert features_of(rules, {"a": np.array([1, 2])}) == {"a": [hashed("1"), hashed("2")]}


def test_a_hashed_entity_is_the_key_and_equal_for_equal_ones() -> None:
    """Kafka's key is the hash: one entity, one partition, and nobody in the topic knows whom."""
    rules = redaction({"field": ["entity_id", "request_id"], "action": "hash"})
    messages = [
        ENCODER.request(rules.apply(request(entity_id=entity)), now_ms=10**15)
        for entity in ("u-1", "u-1", "u-2")
    ]
    assert [message.key for message in messages] == [hashed("u-1"), hashed("u-1"), hashed("u-2")]
    assert rules.apply(request()).request_id == hashed("r-1")
    assert rules.apply(request(request_id=None)).request_id is None  # made when it is encoded


@given(st.one_of(st.text(), st.integers(), st.booleans()), st.one_of(st.text(), st.integers(), st.booleans()))
def test_hashes_are_equal_where_values_are(left: Any, right: Any) -> None:
    """And only there, a number and its text counting as one value."""

    def text(value: Any) -> str:
        return json.dumps(value) if isinstance(value, bool) else str(value)

    one, other = features_of(HASHING, {"a": left, "b": right}).values()
    assert (one == other) == (text(left) == text(right))


HASHING = redaction({"glob": "features.*", "action": "hash"})


# Bucket


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        ({"width": 10}, 47, 40),
        ({"width": 10}, -1, -10),
        ({"width": 10}, 47.9, 40.0),
        ({"width": 10.0}, 47, 40),
        ({"width": 0.5}, 1.7, 1.5),
        ({"width": 2.5}, 4, 3),  # the least integer from 2.5 on
        ({"width": 10}, 10**30 + 7, 10**30),
        ({"edges": [0, 10**400]}, 10**400 + 1, 10**400),
        ({"width": 10}, INF, INF),
        ({"width": 10}, -INF, -INF),
        ({"width": 10}, np.float32(47.5), 40.0),
        ({"width": 10}, np.array([1, 25]), [0, 20]),
        ({"width": 10}, [1, [25.0, None]], [0, [20.0, None]]),
        ({"edges": [18, 30, 65]}, 18, 18),
        ({"edges": [18, 30, 65]}, 29.9, 18.0),
        ({"edges": [18, 30, 65]}, 65, 65),
        ({"edges": [18, 30, 65]}, 10**400, 65),
        ({"edges": [18, 30, 65]}, INF, 65.0),
        ({"edges": [18, 30, 65]}, 3, 18),  # below the first edge
        ({"keep": 3}, "94110", "941"),
        ({"keep": 3}, "94", "94"),
        ({"keep": 1}, "Grüße", "G"),
        ({"keep": 3}, Name.EMAIL, "ema"),
    ],
)
def test_buckets(rule: dict[str, Any], value: object, expected: object) -> None:
    """A number becomes its bucket's lower edge, of the same kind; a text its first characters."""
    got = features_of(redaction({"glob": "*.a", "action": "bucket"} | rule), {"a": value})["a"]
    assert (got, type(got)) == (expected, type(expected))


@pytest.mark.parametrize("rule", [{"width": 10}, {"edges": [1, 2]}])
def test_nan_has_no_bucket(rule: dict[str, Any]) -> None:
    """It stays what it is."""
    got = features_of(redaction({"glob": "*.a", "action": "bucket"} | rule), {"a": NAN})["a"]
    assert np.isnan(got)


@pytest.mark.parametrize(
    ("rule", "value"),
    [({"width": 10}, "47-secret"), ({"width": 10}, True), ({"edges": [1]}, "47-secret"), ({"keep": 2}, 4711)],
)
def test_a_value_that_a_bucket_is_not_for(rule: dict[str, Any], value: object) -> None:
    """The request is not published; the error names the field, and not the value."""
    rules = redaction({"glob": "*.a", "action": "bucket"} | rule)
    with pytest.raises(NoFormError, match=r"features\.a: .*, not ") as caught:
        rules.apply(request({"a": value}))
    assert str(value) not in str(caught.value)


@given(st.integers() | st.floats(allow_nan=False, min_value=-1e300, max_value=1e300), st.integers(1, 10**6))
def test_a_bucket_holds_its_number(value: float, width: int) -> None:
    """Its lower edge is no more than the number, by less than its width (and what a float cannot tell)."""
    rules = redaction({"field": "features.a", "action": "bucket", "width": width})
    [edge] = features_of(rules, {"a": value}).values()
    untold = abs(value) * 1e-15
    assert edge <= value + untold
    assert type(edge) is type(value)
    assert value - edge <= width + untold


# The other parts of a request


def test_segments_and_context_are_fields_too() -> None:
    """With values that are no text, too."""
    rules = redaction(
        {"field": "segments.zip", "action": "bucket", "keep": 2},
        {"field": "segments.age", "action": "bucket", "width": 10},
        {"field": "context.ip", "action": "hash"},
        {"field": "context.cookie", "action": "drop"},
    )
    event = encoded(
        rules.apply(
            request(
                segments={"zip": "94110", "age": 47, "vip": True},
                context={"ip": "::1", "cookie": "x", "t": "1"},
            )
        )
    )
    assert event.segments == {"zip": "94", "age": "40", "vip": "true"}
    assert event.context == {"ip": hashed("::1"), "t": "1"}


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_trace_that_is_dropped_is_in_no_header() -> None:
    """The message's headers are made of what is left of the context."""
    context = {"traceparent": TRACE}
    assert ENCODER.request(request(context=context), now_ms=1).headers
    rules = redaction({"field": "context.traceparent", "action": "drop"})
    assert not ENCODER.request(rules.apply(request(context=context)), now_ms=1).headers


@pytest.mark.parametrize(
    ("prediction", "rule", "expected"),
    [
        (0.87, {"field": "prediction.score", "action": "bucket", "width": 0.5}, Prediction(score=0.5)),
        (0.87, {"field": "prediction.label", "action": "hash"}, Prediction(score=0.87)),
        ("anna", {"field": "prediction.label", "action": "hash"}, Prediction(label=hashed("anna"))),
        (True, {"field": "prediction.label", "action": "hash"}, Prediction(label=hashed("true"))),
        (
            ["a", "b"],
            {"field": "prediction.ranking", "action": "bucket", "keep": 1},
            Prediction(ranking=["a", "b"]),
        ),
        ([1.0, 2.0], {"field": "prediction.vector", "action": "drop"}, None),
        (
            {"label": "anna", "score": 0.9},
            {"field": "prediction.label", "action": "drop"},
            Prediction(score=0.9),
        ),
        (
            Prediction(label="anna", vector=[11.0, 29.0]),
            {"field": "prediction.vector", "action": "bucket", "width": 10},
            Prediction(label="anna", vector=[10.0, 20.0]),
        ),
        ("anna", {"field": "prediction", "action": "drop"}, None),
        (None, {"field": "prediction", "action": "drop"}, None),
    ],
)
def test_predictions(prediction: Any, rule: dict[str, Any], expected: Prediction | None) -> None:
    """Whatever form the model's answer has, its fields are score, label, vector and ranking."""
    assert encoded(redaction(rule).apply(request(prediction=prediction))).prediction == expected


# Rules that are wrong


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (
            [{"field": "feature.email", "action": "drop"}],
            r"rule 1: field 'feature.email': .* did you mean features",
        ),
        ([{"glob": "segment.*", "action": "drop"}], "rule 1: glob 'segment.*'.*did you mean segments"),
        ([{"regex": r"^contxt\..*", "action": "drop"}], "rule 1: regex .*did you mean context"),
        ([{"field": "event_time", "action": "drop"}], "rule 1: field 'event_time': 'event_time' is no part"),
        (
            [{"field": "entity_id.x", "action": "drop"}],
            "rule 1: field .*there is nothing beneath",
        ),
        ([{"field": "features.", "action": "drop"}], "there is nothing beneath features"),
        ([{"field": "prediction.lable", "action": "drop"}], "rule 1: field .* a prediction has score, label"),
        ([IDENTITY, {"field": "features.a", "action": "mask"}], "rule 2: action must be one of allow, drop"),
        ([{"field": "features.a"}], "rule 1: action must be one of"),
        ([{"action": "drop"}], "rule 1: say one of field, glob and regex"),
        (
            [{"field": "features.a", "glob": "*", "action": "drop"}],
            "rule 1: say one of field, glob and regex",
        ),
        ([{"field": "features.a", "action": "drop", "colour": 1}], "rule 1: colour is not a setting"),
        ([{"field": "features.a", "action": "bucket"}], "rule 1: .*needs one of width, edges and keep"),
        (
            [{"field": "features.a", "action": "bucket", "width": 1, "keep": 1}],
            "needs one of width, edges and keep",
        ),
        ([{"field": "features.a", "action": "drop", "width": 1}], "rule 1: width goes with"),
        ([{"field": "features.a", "action": "drop", "cut": 16}], "rule 1: cut goes with"),
        ([{"field": "features.a", "action": "bucket", "width": 0}], "rule 1: width must be more than 0"),
        ([{"field": "features.a", "action": "bucket", "width": "10"}], "rule 1: width must be a number"),
        ([{"field": "features.a", "action": "bucket", "width": True}], "rule 1: width must be a number"),
        ([{"field": "features.a", "action": "bucket", "width": INF}], "rule 1: width must be a number"),
        ([{"field": "features.a", "action": "bucket", "edges": [2, 1]}], "rule 1: edges must rise"),
        ([{"field": "features.a", "action": "bucket", "edges": [1, 1]}], "rule 1: edges must rise"),
        (
            [{"field": "features.a", "action": "bucket", "edges": []}],
            "rule 1: edges must be a list of numbers",
        ),
        ([{"field": "features.a", "action": "bucket", "edges": [NAN]}], "rule 1: edges must be a number"),
        ([{"field": "features.a", "action": "bucket", "keep": 0}], "rule 1: keep must be a whole number"),
        ([{"field": "features.a", "action": "hash", "cut": 4}], "rule 1: cut must be .*8 to 64"),
        ([{"regex": "(", "action": "drop"}], r"rule 1: regex '\(': missing \)"),
        ([{"field": [], "action": "drop"}], "rule 1: field must be text, or a list of texts"),
        ([{"field": 1, "action": "drop"}], "rule 1: field must be text, or a list of texts"),
        ([{"field": "features.a", "action": "drop", 1: 2}], "rule 1: 1 is not a setting"),
        (["features.a"], "rule 1: must be a table"),
        ({"field": "features.a", "action": "drop"}, "rules must be a list of tables"),
        ([{"field": "prediction.score", "action": "hash"}], "rule 1: a hash is text, and prediction.score"),
        ([{"field": "prediction", "action": "hash"}], "rule 1: a hash is text, and prediction.score"),
        ([{"glob": "*", "action": "bucket", "keep": 1}], "rule 1: in a bucket, .* one request_id"),
        ([{"field": "entity_id", "action": "bucket", "width": 1}], "rule 1: width and edges are for numbers"),
        ([{"field": "prediction.vector", "action": "bucket", "keep": 1}], "rule 1: keep is for text"),
    ],
)
def test_a_wrong_rule_is_said_at_once(rules: Any, said: str) -> None:
    """The sentence names the rule's number and the key."""
    with pytest.raises(SettingsError, match=said):
        Redaction(rules, key=KEY)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"otherwise": "hide"}, "redaction: otherwise must be allow or drop, not 'hide'"),
        ({"rule": []}, "redaction: rule is not a setting; did you mean rules"),
        ({"key": KEY}, "redaction: key: no place for a key.*SHADOWLANE_REDACTION_KEY"),
        (7, "redaction: must be a table with rules, not int"),
    ],
)
def test_a_wrong_redaction_is_said_at_once(value: object, said: str) -> None:
    """By the hook's constructor, where whoever wrote it sees it; a key is never repeated."""
    with pytest.raises(SettingsError, match=said) as caught:
        Hook(model="ranker", kafka=UNREACHABLE, redaction=value)  # type: ignore[arg-type]
    assert KEY not in str(caught.value)


def test_a_redaction_of_one_of_none_or_of_a_mapping() -> None:
    """What `Hook` takes."""
    rules = Redaction()
    assert Redaction.of(rules) is rules
    assert Redaction.of(None) is None
    assert repr(Redaction.of({"otherwise": "drop"})) == "Redaction(0 rules, otherwise='drop')"


# The key


def test_a_hash_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says how to give one."""
    monkeypatch.delenv("SHADOWLANE_REDACTION_KEY", raising=False)
    with pytest.raises(SettingsError, match=r"rule 2: .*SHADOWLANE_REDACTION_KEY.*key_file.*openssl rand"):
        Redaction([IDENTITY, {"field": "features.a", "action": "hash"}])


def test_a_key_that_is_short() -> None:
    """It could be guessed; the sentence does not say it."""
    with pytest.raises(SettingsError, match="16 bytes") as caught:
        Redaction([], key="hunter2")
    assert "hunter2" not in str(caught.value)


def test_where_a_key_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the environment, a file that it names, or one that the table names; never from the table."""
    rules = [{"field": "features.a", "action": "hash"}]
    (tmp_path / "key").write_text(KEY + "\n")
    with monkeypatch.context() as patch:
        patch.setenv("SHADOWLANE_REDACTION_KEY", KEY)
        by_variable = Redaction(rules)
    with monkeypatch.context() as patch:
        patch.setenv("SHADOWLANE_REDACTION_KEY_FILE", str(tmp_path / "key"))
        by_file = Redaction(rules)
    by_table = Redaction.of({"rules": rules, "key_file": str(tmp_path / "key")})
    assert by_table is not None
    for one in (by_variable, by_file, by_table):
        assert features_of(one, {"a": "x"}) == {"a": hashed("x")}
    with pytest.raises(SettingsError, match="no-such cannot be read"):
        Redaction.of({"rules": rules, "key_file": str(tmp_path / "no-such")})


def test_it_survives_a_pickle_and_shows_no_key() -> None:
    """A spawned process has the same rules; no print, log or error shows the key."""
    rules = redaction({"field": "features.a", "action": "hash"}, otherwise="drop")
    again = pickle.loads(pickle.dumps(rules))
    assert features_of(again, {"a": "x", "b": 1}) == {"a": hashed("x")}
    shown = f"{rules!r} {rules} {rules.__dict__} {RedactionSettings.of({'rules': []}, key=KEY)!r}"
    assert KEY not in shown
    assert KEY.encode().hex() not in shown


# shadowlane.toml

TOML = """
[hook.redaction]
otherwise = "drop"
key_file = "key"
rules = [
  { field = "features.email", action = "hash", cut = 16 },
  { glob = "features.*", action = "allow" },
]
"""


def test_what_shadowlane_toml_says_is_the_default(
    still: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A key file's path is relative to the file that names it; `redaction=` is stronger."""
    (tmp_path / "shadowlane.toml").write_text(TOML)
    (tmp_path / "key").write_text(KEY)
    monkeypatch.setenv("SHADOWLANE_CONFIG", str(tmp_path / "shadowlane.toml"))
    rules = Redaction.load()
    assert rules is not None
    assert features_of(rules, {"email": "x", "a": 1}) == {"email": hashed("x")[:16], "a": 1}
    assert rules.apply(request()).entity_id is None
    assert repr(Hook(model="ranker", kafka=UNREACHABLE)._plan.redaction) == repr(rules)
    given = Hook(model="ranker", kafka=UNREACHABLE, redaction=Redaction())
    assert repr(given._plan.redaction) == "Redaction(0 rules, otherwise='allow')"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[hook.redacton]", r"\[hook\]: redacton is not a setting; did you mean redaction"),
        ("[hok.redaction]", "hok is not a setting; did you mean hook"),
        ("[hook.redaction]\nkey = 'x'", r"\[hook.redaction\]: key: no place"),
        ("[hook.redaction]\nkey_file = 7", r"\[hook.redaction\] key_file: must be text"),
        ("[[hook.redaction.rules]]\nfield = 'features.a'", r"toml: \[hook.redaction\] rule 1: action"),
        ("[hook]\nredaction = 7", r"\[hook.redaction\]: must be a table"),
        ("hook = 7", "hook must be a table"),
    ],
)
def test_a_wrong_file_is_said_at_once(tmp_path: Path, text: str, said: str) -> None:
    """A word misspelt would otherwise publish what somebody meant to hide."""
    (tmp_path / "shadowlane.toml").write_text(text)
    with pytest.raises(SettingsError, match=said):
        Redaction.load(config=tmp_path / "shadowlane.toml", env={})


def test_a_file_that_says_nothing_of_it(tmp_path: Path) -> None:
    """There is no redaction then."""
    (tmp_path / "shadowlane.toml").write_text("lake = 'x'\n[hook]\n")
    assert Redaction.load(config=tmp_path / "shadowlane.toml", env={}) is None


# The docs

DOCS = (Path(__file__).parents[3] / "docs" / "redaction.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(toml|python)\n(.*?)```", DOCS, re.DOTALL)


def test_the_docs_toml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is read as it stands there, and does what the rules say."""
    [text] = [block for language, block in BLOCKS if language == "toml"]
    (tmp_path / "shadowlane.toml").write_text(text)
    rules = Redaction.load(config=tmp_path / "shadowlane.toml", env={"SHADOWLANE_REDACTION_KEY": KEY})
    assert rules is not None
    features = {
        "email": "anna",
        "age": 12,
        "income": 48_210.5,
        "zip": "94110",
        "visit_count": 3,
        "basket": [{"price": 2.5, "quantity": 1, "name": "x"}],
        "jane@example.org": 1,
    }
    redacted = rules.apply(request(features, segments={"zip": "94110"}, context={"ip": "::1"}))
    assert redacted == request(
        {
            "email": hashed("anna"),
            "age": 0,
            "income": 48_000.0,
            "zip": "941",
            "visit_count": 3,
            "basket": [{"price": 2.5, "quantity": 1}],
        },
        entity_id=hashed("user-1"),
        segments={"zip": "941"},
        context={},
    )


def test_the_docs_python(still: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It runs as it stands there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHADOWLANE_REDACTION_KEY", KEY)
    in_python, with_hmac = [block for language, block in BLOCKS if language == "python"]
    made: dict[str, Any] = {}
    exec(in_python, made)  # noqa: S102 (the docs are ours)
    rules = made["hook"]._plan.redaction
    features = {"customer": {"email": "anna", "mobile_phone_2": "0"}, "a": 1}
    assert features_of(rules, features) == {"customer": {"email": hashed("anna")[:16]}, "a": 1}
    exec(with_hmac, made)  # noqa: S102


# Bounds


def test_names_from_data_do_not_fill_the_memory() -> None:
    """A service that makes up names has what is remembered of them forgotten in time."""
    rules = redaction({"field": "features.a", "action": "drop"})
    for number in range(10_000):
        assert features_of(rules, {f"name-{number}": 1, "a": {"b": number}, f"list-{number}": [{"c": 1}]})
    assert len(rules._decisions) <= 4096
    assert rules._held <= 1_000_000
    long = "x" * 900
    for number in range(2_000):
        rules.apply(request({f"{number}-{long}": 1}))
    rules.apply(request(dict.fromkeys([f"{number}-{long}" for number in range(2_000)], 1)))
    assert sum(len(name) for _, names in rules._plans for name in names) <= 1_000_000


# What leaves, and what the log says

SECRETS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=8, max_size=12).map(
    "SECRET".__add__
)
LEAVES = st.one_of(SECRETS, st.integers(10**15, 10**18), st.floats(1e9, 1e10).map(lambda x: x + 1 / 3))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SECRETS, inner, max_size=3),
    max_leaves=6,
)


@given(
    allowed=st.dictionaries(st.sampled_from(["ok", "fine", "also.nested"]), st.just(1.0)),
    hidden=st.dictionaries(SECRETS, VALUES, max_size=5),
    rules=st.lists(
        st.sampled_from(
            [
                {"field": "features.ok", "action": "allow"},
                {"glob": "features.fine", "action": "allow"},
                {"regex": r"features\.also.*", "action": "allow"},
                {"field": "features.ok", "action": "bucket", "width": 1},
                {"glob": "*.fine", "action": "hash"},
                {"glob": "*.s*", "action": "drop"},
            ]
        )
    ),
)
def test_nothing_that_is_dropped_is_in_the_bytes(
    allowed: dict[str, Any], hidden: dict[str, Any], rules: list[dict[str, Any]]
) -> None:
    """Whatever the features and rules of an allow list: no dropped name or value is in the message."""
    observation = request(
        {**allowed, **hidden, "nested": {"ok": hidden}},
        entity_id="SECRET-ENTITY",
        request_id="SECRET-REQUEST",
        prediction="SECRET-LABEL",
        segments={"SECRET-SEGMENT": "SECRET-COUNTRY"},
        context={"ip": "SECRET-IP"},
    )
    message = ENCODER.request(redaction(*rules, otherwise="drop").apply(observation), now_ms=10**15)
    data = message.value + message.key.encode()
    assert b"SECRET" not in data
    for number in numbers_in(hidden):
        assert str(number).encode() not in data
        assert np.float64(number).tobytes() not in data


def numbers_in(value: Any) -> list[float]:
    """All numbers, however deep."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for each in value for number in numbers_in(each)]
    return [] if isinstance(value, str) else [value]


class Treacherous:
    """Says a secret whenever it is asked anything."""

    def __str__(self) -> str:
        raise ValueError("secret")

    __repr__ = __str__

    def keys(self) -> Any:
        """Not a mapping, though it looks like one."""
        raise KeyError("secret")


@pytest.mark.parametrize(
    "wrong",
    [
        {"features": {"text": "secret\ud800"}},
        {"features": {"secret\ud800": 1.0}},
        {"features": {"a": Treacherous()}},
        {"features": {"a": {"b": {b"secret": 1}}}},
        {"features": {"a": b"secret"}},
        {"features": Treacherous()},
        {"entity_id": "secret\ud800"},
        {"entity_id": Treacherous()},
        {"prediction": {"score": "secret"}},
        {"prediction": ["secret", 1]},
        {"prediction": Prediction(score="secret")},  # type: ignore[arg-type]
        {"latency_ms": "secret"},
        {"event_time": "secret"},
        {"segments": {"country": Treacherous()}},
        {"context": {"ip": "secret\ud800"}},
        {"context": ["secret"]},
    ],
)
@pytest.mark.parametrize("rules", [None, Redaction([{"glob": "*.phone", "action": "drop"}])])
def test_the_log_shows_no_value(
    caplog: pytest.LogCaptureFixture, wrong: dict[str, Any], rules: Redaction | None
) -> None:
    """Whatever cannot be encoded, and whatever the error says: the log names types, fields and places."""
    good: dict[str, Any] = {"features": {}, "prediction": 0.5}
    with (
        caplog.at_level(logging.DEBUG),
        Hook(model="ranker", kafka=MOCK, redaction=rules) as hook,
    ):
        hook.publish(**(good | wrong))
    assert hook.stats().dropped == {"not_encodable": 1}
    assert "a request was not published: " in caplog.text
    assert "secret" not in caplog.text
    assert "secret" not in str(hook.stats())


RECORDS = np.array([(123456789, 30)], dtype=[("ssn", "i8"), ("age", "i8")])


@pytest.mark.parametrize("records", [RECORDS, RECORDS.view(np.recarray)])
def test_the_names_in_an_array_of_records_are_names(records: Any) -> None:
    """A rule finds them in the array, and in one record."""
    with MemoryHook(model="ranker", redaction=Redaction([{"glob": "*.ssn", "action": "drop"}])) as hook:
        hook.publish(features={"all": records, "one": records[0]}, prediction=0.5)
        hook.flush(timeout=10)
        (request,) = hook.requests
    assert request.features.to_dict() == {"all": [{"age": 30}], "one": {"age": 30}}


def test_the_log_shows_no_name_of_what_no_redaction_has_seen(caplog: pytest.LogCaptureFixture) -> None:
    """Nor of a request that the background thread reads: a rule may drop the field with its name."""
    rules = Redaction([{"glob": "*.secret*", "action": "drop"}])
    with caplog.at_level(logging.DEBUG), Hook(model="ranker", kafka=MOCK, redaction=rules) as hook:
        hook.defer(lambda: {"features": {"secret name": Broken()}, "prediction": 0.5}, size=10)
        hook.publish(features={"secret name": Broken()}, prediction=0.5)
    assert hook.stats().dropped == {"not_encodable": 2}
    assert "secret" not in caplog.text


class Broken:
    """Its own code raises when it is read."""

    def tolist(self) -> list[float]:
        """No list."""
        raise ValueError("secret")


def test_errors_as_the_log_tells_them() -> None:
    """Our own by what they say, others by their type and the place in the code."""
    assert described(SettingsError("rate must be a number")) == "SettingsError: rate must be a number"
    assert described(NoFormError("feature 'a': a set")) == "NoFormError: feature 'a': a set"
    assert described(NoFormError("feature 'secret': a set"), names=False) == "NoFormError"
    assert described(ValueError("secret")) == "ValueError"
    with pytest.raises(ValueError, match="Expecting") as caught:
        json.loads("secret")
    assert described(caught.value).startswith("JSONDecodeError in json.decoder:")
