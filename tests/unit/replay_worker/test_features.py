"""Features of a batch: the matrix and the dicts say what each request said."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowlane.errors import ModelError
from shadowlane.replay_worker import FeatureBatch
from shadowlane.schemas import Features, ProductionRequest, to_record
from shadowlane.schemas.columns import arrow_schema
from tests_support import request

FEATURES = arrow_schema(ProductionRequest).field("features").type

names = st.sampled_from(["a", "b", "c", "", "é"])
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False),
    st.sampled_from(["x", ""]),
    st.lists(st.floats(allow_nan=False, width=32), max_size=2),
    st.just({"nested": [1, None]}),
)
unlike = st.lists(st.dictionaries(names, values, max_size=5), max_size=6)
#: What most services send: the same names in the same order, and of one type each.
alike = st.lists(
    st.fixed_dictionaries({"é": st.floats(allow_nan=False), "a": st.integers(0, 9), "": st.text("x")}),
    max_size=6,
)
rows = st.one_of(unlike, alike)


def batch_of(dicts: list[dict[str, object]]) -> FeatureBatch:
    """The features as a decoded batch holds them, in the middle of a longer one."""
    padded: list[dict[str, object]] = [{"a": 9.9}, *dicts, {"b": True}]
    records = [to_record(request(features=Features.of(row)))["features"] for row in padded]
    for record in records:
        for kind, value in record.items():
            record[kind] = list(value.items()) if isinstance(value, dict) else value
    return FeatureBatch(pa.array(records, FEATURES).slice(1, len(dicts)))


@settings(deadline=None)  # a busy machine is no fault
@given(rows)
def test_dicts_are_what_was_published(dicts: list[dict[str, object]]) -> None:
    """Each request's dict comes back, also from a slice of a larger batch."""
    assert batch_of(dicts).dicts() == dicts


@settings(deadline=None)  # a busy machine is no fault
@given(rows)
def test_the_matrix_holds_each_number_in_the_models_order(dicts: list[dict[str, object]]) -> None:
    """Numbers, integers and flags stand in their named column; all else is NaN."""
    order = ["c", "a", "zz", "b"]
    matrix = batch_of(dicts).matrix(order)
    expected = [
        [float(row[name]) if isinstance(row.get(name), (bool, int, float)) else math.nan for name in order]  # type: ignore[arg-type]
        for row in dicts
    ]
    np.testing.assert_array_equal(matrix, np.array(expected).reshape(len(dicts), 4))


@settings(deadline=None)  # a busy machine is no fault
@given(rows, st.lists(st.sampled_from(["a", "b", "é", "zz"]), unique=True))
def test_what_a_request_lacks_is_what_it_gave_as_null_and_what_was_wanted_of_it(
    dicts: list[dict[str, object]], wanted: list[str]
) -> None:
    """Each row names its nulls and the wanted features it does not hold, once; None where none lacks any."""
    expected = [
        {name for name, value in row.items() if value is None} | {name for name in wanted if name not in row}
        for row in dicts
    ]
    lacking = batch_of(dicts).lacking(wanted)
    assert (lacking is None) is (not any(expected))
    if lacking is not None:
        assert lacking.type == FEATURES.field("missing").type
        lists = lacking.to_pylist()
        assert [set(names) for names in lists] == expected
        assert [len(names) for names in lists] == [len(names) for names in expected]


@settings(deadline=None)  # a busy machine is no fault
@given(rows, st.lists(st.sampled_from(["a", "b", "é", "zz"]), unique=True))
def test_what_nobody_asked_for_is_counted_by_name(dicts: list[dict[str, object]], wanted: list[str]) -> None:
    """A feature that is none of the wanted ones counts once for each request that carries it, null or not."""
    expected: dict[str, int] = {}
    for name in [name for row in dicts for name in row if name not in wanted]:
        expected[name] = expected.get(name, 0) + 1
    assert batch_of(dicts).unexpected(wanted) == expected


@settings(deadline=None)  # a busy machine is no fault
@given(rows)
def test_what_was_looked_up_for_one_question_serves_the_next(dicts: list[dict[str, object]]) -> None:
    """Asking the same batch again, and for other things, gives what a new batch gives."""
    batch = batch_of(dicts)
    for _ in range(2):
        assert batch.dicts() == dicts
        np.testing.assert_array_equal(batch.matrix(["a", "é"]), batch_of(dicts).matrix(["a", "é"]))
        assert batch.lacking(["a"]) == batch_of(dicts).lacking(["a"])


def test_a_column_has_the_type_that_its_feature_was_given_in() -> None:
    """Integers and floats together are floats; what is not there is null, and a feature of nobody a float."""
    batch = batch_of([{"i": 1, "n": 1, "t": "x", "v": [1.0], "j": {"k": 1}}, {"n": 0.5, "f": True}])
    columns = dict(zip("intvjfz", batch.columns_of(list("intvjfz")), strict=True))
    assert {name: (str(each.type).partition("<")[0], each.to_pylist()) for name, each in columns.items()} == {
        "i": ("int64", [1, None]),
        "n": ("double", [1.0, 0.5]),
        "t": ("string", ["x", None]),
        "v": ("list", [[1.0], None]),
        "j": ("string", ['{"k": 1}', None]),
        "f": ("bool", [None, True]),
        "z": ("double", [None, None]),
    }


def test_text_in_one_request_and_a_number_in_another_are_no_column() -> None:
    """The feature and its types are named; each request alone has a column."""
    batch = batch_of([{"a": "x"}, {"a": 1.5}])
    with pytest.raises(ModelError, match="feature 'a' is of different types in different requests"):
        batch.columns_of(["a"])
    assert [batch.take([row]).columns_of(["a"])[0].to_pylist() for row in (0, 1)] == [["x"], [1.5]]


def test_integers_beyond_what_a_float_holds_are_rounded_in_a_matrix() -> None:
    """2**53 + 1 is no float64; the dicts still have it."""
    batch = batch_of([{"a": 2**53 + 1}])
    assert batch.matrix(["a"]).tolist() == [[float(2**53)]]
    assert batch.dicts() == [{"a": 2**53 + 1}]
