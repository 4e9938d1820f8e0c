"""How far apart two distributions are, against scipy and numpy; and the bins they are counted in."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from shadowlane.aggregator.statistics import (
    BINS,
    bin_edges,
    jensen_shannon,
    jensen_shannon_bias_bits,
    jensen_shannon_bits,
    kolmogorov_smirnov,
    psi,
    wasserstein,
)

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


@given(counts)
def test_the_divergence_in_bits_is_scipys_distance_squared(pairs: Counts) -> None:
    """From 0 to 1, with the logarithm to the base 2."""
    primary, shadow = [p for p, _ in pairs], [s for _, s in pairs]
    assume(sum(primary) and sum(shadow))
    expected = float(jensenshannon(primary, shadow, 2)) ** 2
    found = jensen_shannon_bits(primary, shadow)
    assert found is not None
    assert found == pytest.approx(0.0 if math.isnan(expected) else expected, abs=1e-12)
    assert 0 <= found <= 1


def test_nothing_in_common_is_one_bit() -> None:
    """And no counts are no divergence."""
    assert jensen_shannon_bits([5, 0], [0, 7]) == 1
    assert jensen_shannon_bits([0], [7]) is None


@pytest.mark.parametrize("n", [2000, 10_000])
def test_the_bias_is_what_alike_samples_come_to(n: int) -> None:
    """The mean divergence of 500 pairs of samples of one distribution."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(50, 3))
    drawn = rng.multinomial(n, shares, (500, 2))
    found = np.mean([jensen_shannon_bits(one, other) or 0 for one, other in drawn])
    assert jensen_shannon_bias_bits(n, n, 50) == pytest.approx(float(found), rel=0.05)


def test_there_is_no_bias_to_speak_of_without_samples() -> None:
    """None of nothing, none in one bin, and never more than the divergence can be."""
    assert jensen_shannon_bias_bits(0, 10, 50) is None
    assert jensen_shannon_bias_bits(10, 10, 1) == 0
    assert jensen_shannon_bias_bits(1, 1, 50) == 1


@given(counts)
def test_the_stability_index_is_its_formula(pairs: Counts) -> None:
    """Symmetric, never negative or infinite, with half a request more in each bin."""
    primary, shadow = [p for p, _ in pairs], [s for _, s in pairs]
    assume(sum(primary) and sum(shadow))
    expected = sum(
        (a - e) * math.log(a / e)
        for e, a in (
            ((p + 0.5) / (sum(primary) + len(pairs) / 2), (s + 0.5) / (sum(shadow) + len(pairs) / 2))
            for p, s in pairs
        )
    )
    assert psi(primary, shadow) == pytest.approx(expected, abs=1e-9)
    assert psi(shadow, primary) == pytest.approx(expected, abs=1e-9)
    assert expected >= -1e-12


def test_the_stability_index_of_alike_samples_is_a_chi_squared_one() -> None:
    """Its mean over samples of one distribution is (bins - 1) * (1 / n + 1 / m); of nothing there is none."""
    rng = np.random.default_rng(1)
    drawn = rng.multinomial(20_000, rng.dirichlet(np.full(20, 5)), (400, 2))
    found = np.mean([psi(one, other) or 0 for one, other in drawn])
    assert found == pytest.approx(19 * 2 / 20_000, rel=0.1)
    assert psi([0, 0], [1, 2]) is None


values = st.lists(
    st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(-1e3, 1e3)), min_size=1, max_size=300
)


@given(values, values)
def test_the_distances_of_values_are_scipys(one: list[float], other: list[float]) -> None:
    """Kolmogorov and Smirnov's, and Wasserstein's, for samples of any sizes, with ties."""
    first, second = np.sort(one), np.sort(other)
    shares = [stats.ecdf(each).cdf.evaluate(np.array(one + other)) for each in (one, other)]
    expected = np.abs(shares[0] - shares[1]).max()
    assert kolmogorov_smirnov(first, second) == pytest.approx(float(expected), abs=1e-12)
    assert wasserstein(first, second) == pytest.approx(stats.wasserstein_distance(one, other), abs=1e-9)


@given(values, st.integers(0, 100))
def test_paired_scores_have_scipys_distance_too(one: list[float], seed: int) -> None:
    """As many values on both sides, in any order."""
    other = np.round(one + np.random.default_rng(seed).normal(0, 1, len(one)), 1)
    expected = stats.wasserstein_distance(one, other)
    assert wasserstein(np.sort(one), np.sort(other)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_the_point_where_two_are_furthest_apart_is_never_passed_over(seed: int) -> None:
    """Wherever among some thousand values it lies."""
    rng = np.random.default_rng(seed)
    one, other = np.sort(rng.normal(0, 1, 3000)), np.sort(rng.normal(0.02 * seed, 1.1, 2500))
    expected = stats.ks_2samp(one, other, method="asymp").statistic
    assert kolmogorov_smirnov(one, other) == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1e-5, 0.001, 0.1])
def test_distances_of_many_values_are_scipys(shift: float) -> None:
    """A hundred thousand scores, where most of them need not be looked at."""
    rng = np.random.default_rng(2)
    primary = np.sort(rng.beta(2, 5, 100_000))
    shadow = np.sort(primary + shift * rng.normal(1, 1, 100_000))
    expected = stats.ks_2samp(primary, shadow, method="asymp").statistic
    assert kolmogorov_smirnov(primary, shadow) == pytest.approx(float(expected), abs=1e-12)
    assert wasserstein(primary, shadow[1:]) == pytest.approx(stats.wasserstein_distance(primary, shadow[1:]))


def test_no_values_have_no_distance() -> None:
    """None of nothing, on either side; 0 between equals."""
    assert kolmogorov_smirnov([], [1.0]) is kolmogorov_smirnov([1.0], []) is None
    assert wasserstein([], [1.0]) is wasserstein([1.0], []) is None
    assert kolmogorov_smirnov([1.0, 2.0], [1.0, 2.0]) == wasserstein([1.0, 2.0], [1.0, 2.0]) == 0
