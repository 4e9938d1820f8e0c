"""Copies made at the call."""

from __future__ import annotations

import array
import json
import tracemalloc
from collections.abc import Callable
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
    copies, _ = copied_mapping("features", values)
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
    before, (copy, _) = values.tolist(), copied(values)
    change(values)
    assert np.asarray(copy).tolist() == before


def test_a_prediction_is_copied() -> None:
    """The lists inside a Prediction are copied, too."""
    prediction = Prediction(vector=[1.0, 2.0])
    copy, _ = copied(prediction)
    prediction.vector.append(3.0)  # type: ignore[union-attr]
    assert copy == Prediction(vector=[1.0, 2.0])


def test_any_mapping_is_good_enough() -> None:
    """Features need not be a dict."""
    assert copied_mapping("features", MappingProxyType({"a": (1, [2])}))[0] == {"a": [1, [2]]}


def test_what_is_no_mapping_is_named() -> None:
    """A list of pairs, say, is refused, and the sentence says what was wrong."""
    with pytest.raises(TypeError, match="features must be a mapping of names to values, not list"):
        copied_mapping("features", [("a", 1)])  # type: ignore[arg-type]


#: Features as a service meets them, each made anew, so that nothing of it is shared.
SHAPES: dict[str, Callable[[], dict[str, Any]]] = {
    "numbers": lambda: json.loads(json.dumps({f"feature number {i}": i / 7 for i in range(30)})),
    "texts": lambda: {f"word {i}": f"some words, say {i}" for i in range(30)},
    "a long text": lambda: {"text": "x" * 100_000},
    "a long text of wide characters": lambda: {"text": "\N{GRINNING FACE}" * 20_000},
    "a vector": lambda: {"vector": [i / 7 for i in range(4000)]},
    "a vector with a gap": lambda: {"vector": [i / 7 for i in range(4000)] + [None]},
    "an array": lambda: {"vector": np.arange(4000.0)},
    "half an array": lambda: {"vector": np.arange(8000.0)[::2]},
    "a matrix": lambda: {"matrix": [[i / 7 for i in range(60)] for _ in range(60)]},
    "an array of objects": lambda: {"objects": np.array([f"a text {i}" for i in range(1000)], dtype=object)},
    "many texts": lambda: {"tokens": [f"token {i}" for i in range(1000)]},
    "texts and numbers": lambda: {"mixed": [each for i in range(500) for each in (f"token {i}", i / 7)]},
    "NumPy's text": lambda: {"text": np.str_("x" * 100_000)},
    "counts by long names": lambda: {
        "by page": {f"https://example.com/{'a' * 200}/{i}": i for i in range(300)}
    },
    "numbers by number": lambda: {"by number": {i: i / 7 for i in range(300)}},
    "a prediction's vector": lambda: {"p": Prediction(vector=[i / 7 for i in range(4000)])},
    "bytes, which no event has": lambda: {"image": bytes(bytearray(100_000))},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_a_size_is_about_what_memory_it_takes(shape: Callable[[], dict[str, Any]]) -> None:
    """Never less than half of what Python allocates for the copy and its values, nor far more."""
    copied_mapping("features", shape())  # whatever is made once is made
    tracemalloc.start()
    try:
        copies, size = copied_mapping("features", shape())
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert copies
    assert taken / 2 < size < taken * 4


def _containers(value: Any) -> set[int]:
    if isinstance(value, dict):
        return {id(value)}.union(*(_containers(each) for each in value.values()))
    if isinstance(value, list):
        return {id(value)}.union(*(_containers(each) for each in value))
    return set()
