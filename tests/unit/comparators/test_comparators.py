"""Comparators: what agrees, and that one pair and columns are judged alike."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.comparators import Comparator
from shadowlane.comparators.columns import compare_columns
from shadowlane.errors import SettingsError
from shadowlane.schemas import Prediction, ShadowComparison
from shadowlane.schemas.columns import arrow_schema

PREDICTION_TYPE = arrow_schema(ShadowComparison).field("primary_prediction").type

numbers = st.one_of(st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 0.05, 0.1]), st.floats(-2, 2))
predictions = st.builds(
    Prediction,
    score=st.none() | numbers,
    label=st.none() | st.sampled_from(["a", "b", "1", ""]),
    vector=st.none() | st.lists(numbers, max_size=2),
    ranking=st.none() | st.lists(st.sampled_from("xyz"), max_size=2),
)
rules = st.sampled_from(["auto", "auto:0.5", "label", "score:0.1", "score", "vector:1", "ranking"]).map(
    Comparator.parse
)


def column(values: list[Prediction]) -> pa.StructArray:
    """The predictions as a batch holds them."""
    rows = [{name: getattr(value, name) for name in Prediction.__slots__} for value in values]
    return pa.array(rows, PREDICTION_TYPE)


@given(rule=rules, pairs=st.lists(st.tuples(predictions, predictions), max_size=8))
def test_columns_judge_as_one_pair_does(rule: Comparator, pairs: list[tuple[Prediction, Prediction]]) -> None:
    """Each row of the columnar form is what the one-pair form says."""
    expected = [rule.compare(primary, shadow) for primary, shadow in pairs]
    got = compare_columns(rule, column([p for p, _ in pairs]), column([s for _, s in pairs]))
    assert got.agreement.to_pylist() == [each.agreement for each in expected]
    assert got.difference.to_pylist() == [each.difference for each in expected]
    assert got.comparator.to_pylist() == [each.comparator for each in expected]


@pytest.mark.parametrize(
    ("primary", "shadow", "agreement", "difference", "comparator"),
    [
        (Prediction(score=0.5), Prediction(score=0.54), True, 0.04, "score:0.05"),
        (Prediction(score=0.5), Prediction(score=0.6), False, 0.1, "score:0.05"),
        (Prediction(score=math.nan), Prediction(score=math.nan), False, None, "score:0.05"),
        (Prediction(score=math.inf), Prediction(score=math.inf), True, None, "score:0.05"),
        (Prediction(label="a", score=0.9), Prediction(label="a", score=0.6), True, -0.3, "label"),
        (Prediction(label="1"), Prediction(score=1.0), False, None, "mixed"),
        (Prediction(vector=[1, 2]), Prediction(vector=[1, 2.5]), False, 0.5, "vector:0.05"),
        (Prediction(vector=[1]), Prediction(vector=[1, 2]), False, None, "vector:0.05"),
        (Prediction(ranking=["x", "y"]), Prediction(ranking=["y", "x"]), False, None, "ranking"),
    ],
)
def test_auto_compares_what_both_models_gave(
    primary: Prediction, shadow: Prediction, agreement: bool, difference: float | None, comparator: str
) -> None:
    """The default rule takes labels before scores, and says which rule it took."""
    outcome = Comparator().compare(primary, shadow)
    assert outcome.agreement is agreement
    assert outcome.comparator == comparator
    assert outcome.difference == (difference if difference is None else pytest.approx(difference))


@pytest.mark.parametrize("text", ["", "exact", "label:0.1", "score:", "score:-1", "score:nan", "score:x"])
def test_a_rule_that_is_none_is_refused(text: str) -> None:
    """A wrong rule or tolerance is an error that repeats it."""
    with pytest.raises(SettingsError, match=text or "''"):
        Comparator.parse(text)
