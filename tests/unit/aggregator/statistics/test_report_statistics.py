"""The formulas against scipy's and numpy's."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from shadowlane.aggregator.statistics import BINS, bin_edges, jensen_shannon, rate

Counts = list[tuple[int, int]]
counts = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), min_size=1, max_size=60)
finite = st.floats(allow_nan=False, allow_infinity=False)


@given(counts)
def test_the_distance_is_scipys(pairs: Counts) -> None:
    """On any counts, the distance is the one that scipy computes."""
    primary, shadow = [p for p, _ in pairs], [s for _, s in pairs]
    assume(sum(primary) and sum(shadow))
    expected = jensenshannon(primary, shadow)
    found = jensen_shannon(primary, shadow)
    assert found is not None
    # scipy gives NaN where rounding makes the sum a hair less than 0; that is a distance of 0.
    assert found == pytest.approx(0.0 if math.isnan(expected) else float(expected), abs=1e-8)


@given(counts)
def test_the_distance_is_symmetric_and_bounded(pairs: Counts) -> None:
    """Which model is called the primary does not matter, and nothing is further than the root of ln 2."""
    primary, shadow = [p for p, _ in pairs], [s for _, s in pairs]
    assume(sum(primary) and sum(shadow))
    one, other = jensen_shannon(primary, shadow), jensen_shannon(shadow, primary)
    assert one == pytest.approx(other)
    assert one is not None
    assert 0 <= one <= math.sqrt(math.log(2)) + 1e-12


def test_nothing_in_common_is_the_root_of_ln_2() -> None:
    """Two models that never give the same score are as far apart as can be."""
    assert jensen_shannon([5, 0], [0, 7]) == pytest.approx(math.sqrt(math.log(2)))


def test_the_same_shares_are_at_distance_zero() -> None:
    """The distance compares shares, not counts."""
    assert jensen_shannon([1, 2, 3], [10, 20, 30]) == 0.0


@pytest.mark.parametrize(("primary", "shadow"), [([0, 0], [1, 2]), ([3], [0]), ([], [])])
def test_no_distance_from_nothing(primary: list[int], shadow: list[int]) -> None:
    """Where a model has no counts there is no distance, rather than 0 or NaN."""
    assert jensen_shannon(primary, shadow) is None


@given(finite, finite)
@example(0.0, 0.0)
@example(1.0, math.nextafter(1.0, 2.0))
@example(-1.7976931348623157e308, 1.7976931348623157e308)
@example(1.7976931348623157e308, 1.7976931348623157e308)
def test_edges_enclose_the_range(one: float, other: float) -> None:
    """For any range the edges rise strictly, are numbers, and enclose both ends."""
    lowest, highest = min(one, other), max(one, other)
    edges = bin_edges(lowest, highest)
    assert len(edges) == BINS + 1
    assert all(map(math.isfinite, edges))
    assert all(low < high for low, high in pairwise(edges))
    assert edges[0] <= lowest
    assert highest <= edges[-1]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_edges_are_numpys(lowest: float, width: float) -> None:
    """Over an ordinary range the edges are those of numpy's histogram."""
    expected = np.histogram_bin_edges([], bins=BINS, range=(lowest, lowest + width))
    assert bin_edges(lowest, lowest + width) == pytest.approx(tuple(expected))


def test_a_rate_of_nothing_is_unknown() -> None:
    """No requests have no error rate; it is not 0."""
    assert rate(0, 0) is None
    assert rate(0, 5) == 0.0
    assert rate(2, 5) == 0.4
