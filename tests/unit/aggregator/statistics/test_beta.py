"""The beta distribution against scipy's, and where scipy's own intervals stop being exact."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import integrate, special, stats

from shadowlane.aggregator.statistics import beta_quantile, betainc
from shadowlane.aggregator.statistics._beta import beta_tails, log_kernel
from shadowlane.aggregator.statistics._normal import deviations, student_deviations, two_sided_p

sizes = st.floats(-1, 9).map(lambda exponent: 10**exponent)


@given(sizes, sizes, st.floats(-12, 12))
def test_both_tails_are_scipys(a: float, b: float, away: float) -> None:
    """For parameters of 0.1 to 10**9, each tail has its digits, also far out."""
    x = a / (a + b) + away * math.sqrt(a * b / (a + b + 1)) / (a + b)
    assume(0 < x < 1)
    lower, upper = beta_tails(a, b, x)
    assert lower == pytest.approx(float(special.betainc(a, b, x)), rel=1e-9, abs=1e-290)
    assert upper == pytest.approx(float(special.betaincc(a, b, x)), rel=1e-9, abs=1e-290)
    assert betainc(a, b, x) == lower


@given(sizes, sizes, st.floats(0, 1))
def test_the_other_side_is_the_mirror_image(a: float, b: float, x: float) -> None:
    """What lies below a point is what lies above its mirror image of the mirrored distribution."""
    assert beta_tails(a, b, x) == pytest.approx(beta_tails(b, a, 1 - x, x)[::-1], rel=1e-9, abs=1e-13)


@pytest.mark.parametrize(("x", "expected"), [(-0.5, 0.0), (0.0, 0.0), (1.0, 1.0), (1.5, 1.0)])
def test_nothing_lies_outside_0_and_1(x: float, expected: float) -> None:
    """At the ends and beyond them the probability is 0 or 1."""
    assert betainc(2.0, 3.0, x) == expected


@given(a=sizes, b=sizes, p=st.floats(1e-12, 1 - 1e-9), upper=st.booleans())
def test_the_quantile_is_where_the_tail_has_that_size(a: float, b: float, p: float, *, upper: bool) -> None:
    """The quantile undoes the distribution, from whichever side."""
    x = beta_quantile(p, a, b, upper=upper)
    below, above = (beta_tails(a, b, min(1.0, x * near))[upper] for near in (1 - 1e-11, 1 + 1e-11))
    assert min(below, above) <= p * (1 + 1e-9)
    assert max(below, above) >= p * (1 - 1e-9)


@pytest.mark.parametrize("p", [1e-10, 0.005, 0.025, 0.5, 0.975])
@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (1, 10**9), (3, 300), (10**5, 2 * 10**7), (0.5, 10**6)])
def test_the_quantile_is_scipys(p: float, a: float, b: float) -> None:
    """At the tails that intervals use, the quantile is scipy's."""
    assert beta_quantile(p, a, b) == pytest.approx(float(stats.beta.ppf(p, a, b)), rel=1e-9)
    assert beta_quantile(p, a, b, upper=True) == pytest.approx(float(stats.beta.isf(p, a, b)), rel=1e-9)


@pytest.mark.parametrize(("p", "upper", "x"), [(0, False, 0), (1, False, 1), (0, True, 1), (1, True, 0)])
def test_all_and_nothing_lie_at_the_ends(p: float, x: float, *, upper: bool) -> None:
    """No probability and all of it lie at the ends."""
    assert beta_quantile(p, 2.0, 3.0, upper=upper) == x


@given(st.floats(0.2, 500), st.floats(0.2, 500), st.floats(0.01, 0.99))
def test_the_kernel_is_the_plain_formula(a: float, b: float, x: float) -> None:
    """At sizes where nothing is lost, the logarithm is that of the formula as written."""
    plain = a * math.log(x) + b * math.log1p(-x) - float(special.betaln(a, b))
    assert log_kernel(a, b, x, 1 - x) == pytest.approx(plain, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("a", "b"), [(3e10, 5e10), (40.0, 1e12)])
def test_the_kernel_of_huge_counts_still_integrates_to_one(a: float, b: float) -> None:
    """A density is a density also where the gamma function's logarithm has lost six digits."""
    mean, deviation = a / (a + b), math.sqrt(a * b / (a + b)) / (a + b)

    def density(z: float) -> float:
        x = mean + z * deviation
        return math.exp(log_kernel(a, b, x, 1 - x)) / (x * (1 - x)) * deviation

    low = max(-12.0, -mean / deviation * (1 - 1e-12))
    assert integrate.quad(density, low, 15, limit=200)[0] == pytest.approx(1, rel=1e-8)


@pytest.mark.parametrize("level", [1e-6, 0.5, 0.9, 0.95, 0.99, 1 - 1e-9])
@pytest.mark.parametrize("freedom", [0.3, 1, 2, 7, 100, 10**6, 10**9])
def test_students_distribution_is_scipys(level: float, freedom: float) -> None:
    """So is the normal distribution, which it comes to."""
    expected = float(stats.t.isf((1 - level) / 2, freedom))
    assert student_deviations(level, freedom) == pytest.approx(expected, rel=1e-7)
    assert deviations(level) == pytest.approx(float(stats.norm.isf((1 - level) / 2)), rel=1e-9)


def test_without_freedom_nothing_is_known() -> None:
    """One value does not say how far others are from it."""
    assert student_deviations(0.95, 0) == math.inf


@pytest.mark.parametrize("z", [0.0, -1.0, 1.96, 8.0, -30.0])
def test_a_normal_p_value_keeps_its_digits(z: float) -> None:
    """Thirty deviations are 10**-197, not 0."""
    assert two_sided_p(z) == pytest.approx(float(2 * stats.norm.sf(abs(z))), rel=1e-9)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, -0.5, math.nan])
def test_a_level_is_a_share(level: float) -> None:
    """95 where 0.95 was meant is an error that says so."""
    with pytest.raises(ValueError, match="between 0 and 1, such as"):
        deviations(level)
