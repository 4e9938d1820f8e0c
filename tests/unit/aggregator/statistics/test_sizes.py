"""How many samples a question needs, against statsmodels'."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats import proportion

from shadowlane.aggregator.statistics import samples_for_difference, samples_for_rate


@given(
    st.floats(0.01, 0.99),
    st.floats(0.001, 0.3),
    st.sampled_from([0.8, 0.95, 0.99]),
    st.sampled_from([0.5, 0.8, 0.95]),
)
def test_the_samples_for_a_difference_are_statsmodels(
    p: float, delta: float, level: float, power: float
) -> None:
    """Each of two groups, by the z test of two proportions."""
    delta = delta if p + delta <= 1 else -min(delta, p)
    expected = proportion.samplesize_proportions_2indep_onetail(
        delta, p, power, alpha=1 - level, alternative="two-sided"
    )
    assert samples_for_difference(p, delta, level, power) == pytest.approx(expected, abs=1.001)


@pytest.mark.parametrize(("p", "delta"), [(0.5, 0.0), (0.9, 0.2), (1.2, -0.4), (0.1, -0.2)])
def test_rates_that_cannot_differ_have_no_sample_size(p: float, delta: float) -> None:
    """No difference, or a rate beyond 0 or 1."""
    with pytest.raises(ValueError, match="two different rates between 0 and 1"):
        samples_for_difference(p, delta, 0.95, 0.8)


@given(
    st.sampled_from([0.0, 0.001, 0.1, 0.5, 0.98, 1.0]),
    st.floats(5e-4, 0.2),
    st.sampled_from([0.8, 0.95, 0.99]),
)
def test_so_many_make_the_interval_as_narrow_as_asked(p: float, half_width: float, level: float) -> None:
    """With that many scipy's Wilson interval is narrow enough, and with one in fifty fewer it is not."""
    n = samples_for_rate(p, half_width, level)

    def half(samples: int) -> float:
        low, high = stats.binomtest(round(p * samples), samples).proportion_ci(level, method="wilson")
        return float(high - low) / 2

    rounding = 1 / n  # a part is a whole number here
    assert half(n) <= half_width * (1 + 1e-6) + rounding
    if (fewer := n - max(1, n // 50)) > 20:
        assert half(fewer) + rounding > half_width


def test_many_samples_for_a_rate_are_statsmodels() -> None:
    """Where the normal distribution is near, the number is that of the textbook."""
    expected = proportion.samplesize_confint_proportion(0.3, 0.001, alpha=0.05)
    assert samples_for_rate(0.3, 0.001, 0.95) == pytest.approx(expected, rel=1e-4)


def test_no_width_at_all_is_an_error() -> None:
    """No number of samples makes an interval a point."""
    with pytest.raises(ValueError, match="half width above 0"):
        samples_for_rate(0.5, 0.0, 0.95)
