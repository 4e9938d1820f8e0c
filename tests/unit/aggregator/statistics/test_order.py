"""Between which ranks a percentile lies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from shadowlane.aggregator.statistics import beta_binomial_sequence, quantile_ranks, quantile_sequence_ranks

quantiles = st.sampled_from([0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999])
levels = st.sampled_from([0.8, 0.95, 0.99])


@given(st.integers(1, 5000), quantiles, levels)
def test_the_ranks_are_scipys(n: int, q: float, level: float) -> None:
    """As scipy's test of a quantile gives them; None where it gives a NaN."""
    values = np.arange(n, dtype=np.float64)
    low, high = stats.quantile_test(values, p=q).confidence_interval(level)
    expected = None if np.isnan(low) or np.isnan(high) else (int(low), int(high))
    assert quantile_ranks(n, q, level) == expected


@pytest.mark.parametrize("n", [10**7, 10**9])
@pytest.mark.parametrize("q", [0.5, 0.99, 0.999])
def test_the_ranks_of_many_are_the_binomials(n: int, q: float) -> None:
    """At ten million values and more, from scipy's binomial distribution."""
    expected = (int(stats.binom.ppf(0.025, n, q)) - 1, int(stats.binom.isf(0.025, n, q)))
    assert quantile_ranks(n, q, 0.95) == expected


@pytest.mark.parametrize(("q", "fewest"), [(0.99, 368), (0.999, 3688)])
def test_too_few_values_bound_no_high_percentile(q: float, fewest: int) -> None:
    """The 99th percentile has no upper bound among 367 values, and the 99.9th none among 3,687."""
    assert quantile_ranks(fewest - 1, q, 0.95) is None
    assert quantile_ranks(fewest, q, 0.95) is not None


@given(st.integers(0, 10**9), quantiles, levels)
def test_ranks_that_hold_at_every_look_are_further_apart(n: int, q: float, level: float) -> None:
    """They enclose those of one look, and stay among the values."""
    once, always = quantile_ranks(n, q, level), quantile_sequence_ranks(n, q, level)
    if always is not None:
        assert once is not None
        assert 0 <= always[0] <= once[0] < once[1] <= always[1] < n


@given(st.integers(600, 10**8), st.sampled_from([0.5, 0.9, 0.99]))
def test_the_ranks_are_the_counts_that_the_sequence_allows(n: int, q: float) -> None:
    """The quantile is in the sequence of a count exactly from one above the low rank to the high one."""
    ranks = quantile_sequence_ranks(n, q, 0.95)
    if ranks is None:
        return
    prior = (q / (1 - q), 1.0)

    def allowed(count: int) -> bool:
        low, high = beta_binomial_sequence(count, n, 0.95, prior)
        return low < q < high

    assert [allowed(count) for count in (ranks[0], ranks[0] + 1, ranks[1], ranks[1] + 1)] == [
        False,
        True,
        True,
        False,
    ]


def test_high_percentiles_need_more_values_for_every_look() -> None:
    """Some 600 instead of 368: the price of looking when one likes."""
    fewest = next(n for n in range(1, 5000) if quantile_sequence_ranks(n, 0.99, 0.95))
    assert 400 < fewest < 800
