from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom
from sklearn.metrics import mutual_info_score

from shadowlane.aggregator.rules import Term, text_of
from shadowlane.aggregator.rules._likelihood import Explained, log_tail
from shadowlane.aggregator.rules._terms import number_text, roundest


@pytest.mark.parametrize(
    ("hits", "requests", "sought", "among"),
    [
        (5, 10, 20, 100),
        (40, 50, 60, 5000),
        (1, 1, 1, 10),
        (0, 5, 5, 10),
        (300, 1000, 2500, 10_000),
        (9, 9, 9, 9),
    ],
)
def test_the_p_value_is_fishers(hits: int, requests: int, sought: int, among: int) -> None:
    """The tail of the hypergeometric distribution, as scipy has it."""
    expected = hypergeom.logsf(hits - 1, among, sought, requests)
    assert log_tail(hits, requests, sought, among) == pytest.approx(expected, rel=1e-8, abs=1e-12)


def test_a_p_value_beyond_floats_is_still_a_logarithm() -> None:
    """A rule that explains everything of a million rows."""
    assert log_tail(100_000, 100_000, 100_000, 1_000_000) < -300_000


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 60), st.integers(0, 60))
def test_what_a_rule_explains_is_the_mutual_information(a: int, b: int, c: int, d: int) -> None:
    """The gain is the rows times scikit-learn's mutual information; 0 where the rule's rate is less."""
    among, sought, requests = a + b + c + d, a + c, a + b
    explained = Explained(sought, among)
    gain = float(explained.by(np.array([a]), np.array([requests]))[0])
    rule = [1] * requests + [0] * (c + d)
    target = [1] * a + [0] * b + [1] * c + [0] * d
    expected = among * mutual_info_score(rule, target) if a * among > requests * sought else 0.0
    assert gain == pytest.approx(expected, abs=1e-8)


@given(
    st.floats(-1e12, 1e12, allow_nan=False),
    st.floats(1e-9, 1e9),
)
def test_a_round_number_lies_between_its_bounds(low: float, width: float) -> None:
    """Whatever the bounds are; and no number of fewer digits does."""
    high = low + width
    value = roundest(low, high, (low + high) / 2)
    assert low <= value <= high


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (499.2, 500.4, 500.0),
        (0.0731, 0.0748, 0.074),
        (-3.0, 2.0, 0.0),
        (17.01, 17.9, 17.5),
        (18.0, 18.0, 18.0),
    ],
)
def test_the_roundest_number_is_chosen(low: float, high: float, expected: float) -> None:
    """As few digits as there can be."""
    assert roundest(low, high, (low + high) / 2) == pytest.approx(expected, abs=0.051)


def test_terms_read_as_people_write_them() -> None:
    """Numbers without needless digits, texts in quotes where they would be taken for more than one word."""
    terms = (
        Term("country", "=", "BR"),
        Term("amount", ">", 500.0),
        Term("age", "between", (18.0, 24.5)),
        Term("history", "is", "missing"),
        Term("city", "=", "New York"),
        Term("note", "=", ""),
    )
    assert text_of(terms) == (
        "country = BR and amount > 500 and age between 18 and 24.5 and history is missing "
        'and city = "New York" and note = ""'
    )
    assert terms[2].as_dict == {"field": "age", "of": "", "operator": "between", "value": [18.0, 24.5]}


@pytest.mark.parametrize("value", [0.0, -0.0, 1e300, 1e-300, 2.5, -7.0])
def test_a_number_is_written_so_that_it_reads_back(value: float) -> None:
    """No digits are lost."""
    assert math.isclose(float(number_text(value)), value, rel_tol=0, abs_tol=0)
