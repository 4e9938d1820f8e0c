"""Copies made at the call."""

from __future__ import annotations

import array
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.producer._copies import copied, copied_mapping
from shadowlane.schemas import Prediction
from strategies import moderate

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
nested = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@moderate
@given(st.dictionaries(st.text(max_size=5), nested, max_size=6))
def test_a_copy_equals_its_original_and_shares_nothing_that_can_change(values: dict[str, Any]) -> None:
    """Any nested features are copied whole: no list or dict is in both."""
    copies = copied_mapping("features", values)
    assert copies == values
    assert not _containers(copies) & _containers(values)


@pytest.mark.parametrize(
    ("values", "change"),
    [
        (np.array([1.0, 2.0]), lambda v: v.__setitem__(0, 9.0)),
        (np.array([[1, 2]], dtype=object), lambda v: v.__setitem__((0, 0), 9)),
        (np.arange(6.0)[::2], lambda v: v.__setitem__(0, 9.0)),
        (array.array("d", [1.0, 2.0]), lambda v: v.__setitem__(0, 9.0)),
    ],
)
def test_arrays_are_copied(values: Any, change: Any) -> None:
    """An array changed in place afterwards is still what it was in the copy."""
    before, copy = values.tolist(), copied(values)
    change(values)
    assert np.asarray(copy).tolist() == before


def test_a_prediction_is_copied() -> None:
    """The lists inside a Prediction are copied, too."""
    prediction = Prediction(vector=[1.0, 2.0])
    copy = copied(prediction)
    prediction.vector.append(3.0)  # type: ignore[union-attr]
    assert copy == Prediction(vector=[1.0, 2.0])


def test_any_mapping_is_good_enough() -> None:
    """Features need not be a dict."""
    assert copied_mapping("features", MappingProxyType({"a": (1, [2])})) == {"a": [1, [2]]}


def test_what_is_no_mapping_is_named() -> None:
    """A list of pairs, say, is refused, and the sentence says what was wrong."""
    with pytest.raises(TypeError, match=r"features must be a mapping of names to values, .* not list$"):
        copied_mapping("features", [("a", 1)])


def _containers(value: Any) -> set[int]:
    if isinstance(value, dict):
        return {id(value)}.union(*(_containers(each) for each in value.values()))
    if isinstance(value, list):
        return {id(value)}.union(*(_containers(each) for each in value))
    return set()
