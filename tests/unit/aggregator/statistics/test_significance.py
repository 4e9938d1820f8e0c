"""p-values of counts, against scipy's and statsmodels'."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats import contingency_tables, proportion

from shadowlane.aggregator.statistics import binomial_p, mcnemar_p, two_proportion_p
from shadowlane.aggregator.statistics._binomial import at_least, at_most, fewest, log_probability


@st.composite
def successes(draw: st.DrawFn, most: int = 9) -> tuple[int, int]:
    """So many of so many, of any order of magnitude."""
    whole = draw(st.integers(1, 10 ** draw(st.integers(0, most))))
    return draw(st.one_of(st.sampled_from([0, whole]), st.integers(0, whole))), whole


@given(successes(), st.sampled_from([1e-6, 0.001, 0.1, 0.5, 0.999]))
def test_the_binomial_distribution_is_scipys(counts: tuple[int, int], p: float) -> None:
    """Each number's probability, and the tails on both sides of it, at up to 10**9."""
    k, n = counts
    expected = stats.binom(n, p)
    assert log_probability(k, n, p) == pytest.approx(float(expected.logpmf(k)), rel=1e-7, abs=1e-6)
    assert at_most(k, n, p) == pytest.approx(float(expected.cdf(k)), rel=1e-8, abs=1e-250)
    assert at_least(k, n, p) == pytest.approx(float(expected.sf(k - 1)), rel=1e-8, abs=1e-250)


@given(st.integers(1, 10**7), st.floats(0.001, 0.999), st.floats(1e-6, 1 - 1e-6))
def test_the_binomial_quantile_is_where_scipys_sums_reach_it(n: int, p: float, probability: float) -> None:
    """The fewest that are not exceeded this often."""
    found = fewest(probability, n, p)
    assert stats.binom.cdf(found - 1, n, p) <= probability * (1 + 1e-9)
    assert stats.binom.cdf(found, n, p) >= probability * (1 - 1e-9)


@pytest.mark.parametrize(("k", "n", "p"), [(-1, 5, 0.5), (6, 5, 0.5), (1, 5, 0.0), (4, 5, 1.0)])
def test_what_cannot_happen_has_no_probability(k: int, n: int, p: float) -> None:
    """Fewer than none, more than all, or anything against a rate of 0 or 1."""
    assert log_probability(k, n, p) == -math.inf


@pytest.mark.parametrize(("k", "n", "p"), [(0, 5, 0.0), (5, 5, 1.0), (0, 0, 0.3)])
def test_what_must_happen_is_certain(k: int, n: int, p: float) -> None:
    """At a rate of 0 or 1, or of nothing, there is one outcome."""
    assert log_probability(k, n, p) == 0
    assert binomial_p(k, n, p) == 1


@given(successes(4), st.sampled_from([0.001, 0.1, 0.3, 0.5, 0.9]))
@example((0, 1), 0.5)
@example((6172, 12345), 0.5)
def test_the_binomial_test_is_scipys(counts: tuple[int, int], p: float) -> None:
    """All outcomes that are no likelier, on both sides."""
    assert binomial_p(*counts, p) == pytest.approx(stats.binomtest(*counts, p).pvalue, rel=1e-7, abs=1e-250)


@pytest.mark.parametrize(
    ("k", "n", "p"), [(10_040, 10**7, 0.001), (3, 10**9, 1e-8), (5 * 10**6, 10**7, 0.4999)]
)
def test_the_binomial_test_of_many_is_scipys(k: int, n: int, p: float) -> None:
    """At 10**7 and beyond, at rates of all sizes."""
    assert binomial_p(k, n, p) == pytest.approx(stats.binomtest(k, n, p).pvalue, rel=1e-6)


def test_an_impossible_rate_has_a_p_value_of_zero() -> None:
    """One failure disproves that there are none."""
    assert binomial_p(1, 10, 0.0) == 0


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_mcnemars_is_statsmodels(only_first: int, only_second: int) -> None:
    """The exact test of the two numbers that differ."""
    table = [[10, only_first], [only_second, 10]]
    expected = contingency_tables.mcnemar(table, exact=True).pvalue if only_first + only_second else 1.0
    assert mcnemar_p(only_first, only_second) == pytest.approx(expected, rel=1e-8, abs=1e-250)


def test_mcnemars_of_many_is_the_normal_ones() -> None:
    """At 10**7 disagreements the exact test and the chi-squared one with its correction agree."""
    table = [[0, 5_004_000], [4_996_000, 0]]
    expected = contingency_tables.mcnemar(table, exact=False, correction=True).pvalue
    assert mcnemar_p(5_004_000, 4_996_000) == pytest.approx(expected, rel=1e-4)


@given(successes(2), successes(5))
def test_few_are_compared_as_fisher_did(one: tuple[int, int], other: tuple[int, int]) -> None:
    """Where fewer than 10 are expected in a cell, the test is Fisher's exact one."""
    (part1, whole1), (part2, whole2) = one, other
    expected_least = (
        min(whole1, whole2) * min(part1 + part2, whole1 + whole2 - part1 - part2) / (whole1 + whole2)
    )
    found = two_proportion_p(part1, whole1, part2, whole2)
    assert 0 <= found <= 1
    if expected_least < 10:
        exact = stats.fisher_exact([[part1, whole1 - part1], [part2, whole2 - part2]]).pvalue
        assert found == pytest.approx(exact, rel=1e-6, abs=1e-200)


@given(st.integers(200, 10**8), st.integers(200, 10**8), st.floats(0.06, 0.94), st.floats(0.06, 0.94))
def test_many_are_compared_by_the_pooled_z_test(whole1: int, whole2: int, rate1: float, rate2: float) -> None:
    """Where at least 10 are expected in each cell, the test is statsmodels' of two proportions."""
    parts = [round(whole1 * rate1), round(whole2 * rate2)]
    expected = proportion.proportions_ztest(parts, [whole1, whole2])[1]
    found = two_proportion_p(parts[0], whole1, parts[1], whole2)
    assert found == pytest.approx(float(expected), rel=1e-6, abs=1e-250)


@pytest.mark.parametrize("groups", [(0, 5, 0, 9), (5, 5, 9, 9), (0, 0, 3, 9), (3, 9, 0, 0), (0, 0, 0, 0)])
def test_groups_that_cannot_differ_do_not(groups: tuple[int, int, int, int]) -> None:
    """Where both have none, or all, or a group is empty, there is nothing to explain."""
    assert two_proportion_p(*groups) == 1


def test_a_false_alarm_is_as_rare_as_the_p_value_says() -> None:
    """Of 2,000 pairs of small groups of one rate, at most 5 % (and three deviations) have p up to 0.05."""
    rng = np.random.default_rng(5)
    parts = rng.binomial([40, 900], 0.03, (2000, 2))
    alarms = sum(two_proportion_p(int(a), 40, int(b), 900) <= 0.05 for a, b in parts)
    assert alarms <= 100 + 3 * math.sqrt(95)
