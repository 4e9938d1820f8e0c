"""Features of a batch: the matrix and the dicts say what each request said."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.replay_worker import FeatureBatch
from shadowlane.schemas import Features, ProductionRequest, to_record
from shadowlane.schemas.columns import arrow_schema
from tests_support import request

FEATURES = arrow_schema(ProductionRequest).field("features").type

names = st.sampled_from(["a", "b", "c", "d", "é"])
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False),
    st.sampled_from(["x", ""]),
    st.lists(st.floats(allow_nan=False, width=32), max_size=2),
    st.just({"nested": [1, None]}),
)
rows = st.lists(st.dictionaries(names, values, max_size=5), max_size=6)


def batch_of(dicts: list[dict[str, object]]) -> FeatureBatch:
    """The features as a decoded batch holds them, in the middle of a longer one."""
    padded: list[dict[str, object]] = [{"a": 9.9}, *dicts, {"b": True}]
    records = [to_record(request(features=Features.of(row)))["features"] for row in padded]
    for record in records:
        for kind, value in record.items():
            record[kind] = list(value.items()) if isinstance(value, dict) else value
    return FeatureBatch(pa.array(records, FEATURES).slice(1, len(dicts)))


@given(rows)
def test_dicts_are_what_was_published(dicts: list[dict[str, object]]) -> None:
    """Each request's dict comes back, also from a slice of a larger batch."""
    assert batch_of(dicts).dicts() == dicts


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
