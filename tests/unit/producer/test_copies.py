"""Copies made at the call."""

from __future__ import annotations

import array
import json
from collections import UserDict
from collections.abc import Callable
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inputs import (
    Basket,
    Colour,
    Item,
    Model,
    OldModel,
    Order,
    Place,
    Ranked,
    Row,
    Scores,
    Tensor,
)
from shadowlane.producer._copies import copied, copied_mapping
from shadowlane.schemas import Prediction, plain_value
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


def _shared(kind: Callable[..., Any]) -> tuple[Any, Callable[[], object]]:
    """A pandas object over memory of NumPy's, and what changes that memory."""
    memory = np.array([1.0, 2.0])
    return kind(memory, copy=False), lambda: memory.__setitem__(0, 9.0)


def _inside(make: Callable[[list[float]], Any]) -> tuple[Any, Callable[[], object]]:
    """Something that holds a list, and what changes the list."""
    inner = [1.0, 2.0]
    return make(inner), lambda: inner.append(9.0)


def _changed(value: Any, change: Callable[[Any], object]) -> tuple[Any, Callable[[], object]]:
    return value, lambda: change(value)


@pytest.mark.parametrize(
    ("value", "change"),
    [
        _changed(np.array([1.0, 2.0]), lambda v: v.__setitem__(0, 9.0)),
        _changed(np.array([[1, 2]], dtype=object), lambda v: v.__setitem__((0, 0), 9)),
        _changed(np.arange(6.0)[::2], lambda v: v.__setitem__(0, 9.0)),
        _changed(np.array(1.0), lambda v: v.__setitem__((), 9.0)),
        _changed(np.array(["2026-05-17"], dtype="M8[ns]"), lambda v: v.__setitem__(0, "2027-01-01")),
        _changed(np.ma.array([1.0, 2.0], mask=[False, False]), lambda v: v.__setitem__(0, np.ma.masked)),
        _changed(np.zeros(1, dtype=[("a", "f8"), ("b", "i4")])[0], lambda v: v.__setitem__("a", 9.0)),
        _changed(array.array("d", [1.0, 2.0]), lambda v: v.__setitem__(0, 9.0)),
        _changed(pd.Series([1.0, 2.0]), lambda v: v.__setitem__(0, 9.0)),
        _changed(pd.Series([1, None], dtype="Int64"), lambda v: v.__setitem__(0, 9)),
        _shared(pd.Series),
        _shared(pd.Index),
        _changed(Tensor([1.0, 2.0]), lambda v: v.memory.append(9.0)),
        _changed(Row(country="DE", colour=Colour.RED), lambda v: setattr(v, "country", "FR")),
        _changed(Model(country="DE", colour=Colour.RED), lambda v: setattr(v, "country", "FR")),
        _changed(OldModel(country="DE", colour=Colour.RED), lambda v: setattr(v, "country", "FR")),
        _changed(Basket(items=[Item(sku="a")]), lambda v: setattr(v.items[0], "sku", "b")),
        _changed(Model(country="DE", colour=np.array([1.0])), lambda v: v.colour.__setitem__(0, 9.0)),
        _changed(Order(sku="a", place=Place("DE", Colour.RED)), lambda v: v.tags.append("x")),
        _changed({"b", "a"}, lambda v: v.add("c")),
        _changed(Scores([1.0]), lambda v: v.root.append(9.0)),
        _inside(lambda inner: {"a": inner}),
        _inside(lambda inner: MappingProxyType({"a": inner})),
        _inside(lambda inner: ("a", inner)),
        _inside(lambda inner: UserDict({"a": [inner]})),
        _inside(lambda inner: Ranked(inner, None)),
        _inside(lambda inner: Row(country="DE", colour=inner)),  # type: ignore[arg-type]
        _inside(lambda inner: pd.Series([inner, "a"])),
    ],
)
def test_what_can_change_is_copied(value: Any, change: Callable[[], object]) -> None:
    """Whatever becomes of a value afterwards, inside or in shared memory, the copy is what was there."""
    before, copy = json.dumps(plain_value(value)), copied(value)
    change()
    assert json.dumps(plain_value(value)) != before
    assert json.dumps(plain_value(copy)) == before


def test_lists_of_other_classes_are_copied() -> None:
    """A subclass of list is a list."""

    class Listed(list[float]):
        """As object mappers have them."""

    given = Listed([1.0, 2.0])
    copy = copied(given)
    given.append(9.0)
    assert copy == [1.0, 2.0]


@pytest.mark.parametrize("value", [Decimal(1), UUID(int=1), np.float32(1), np.datetime64("2026-05-17")])
def test_what_cannot_change_is_not_copied(value: object) -> None:
    """Immutable values are handed on as they are, and made plain in the background."""
    assert copied(value) is value
    assert copied_mapping("features", {"x": value})["x"] is value


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


def test_a_nested_mapping_that_grows_meanwhile() -> None:
    """What another thread adds while a copy is made is no error, and not in it."""
    nested: dict[str, Any] = {}

    class Grows:
        """Adds to the mapping that it is in as it is read."""

        def tolist(self) -> list[float]:
            """Its values."""
            nested["late"] = 1.0
            return [0.5]

    nested["a"] = Grows()
    assert copied_mapping("features", {"nested": nested}) == {"nested": {"a": [0.5]}}
