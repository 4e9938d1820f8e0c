"""Sample sizes, against statsmodels, exact probabilities and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from statsmodels.stats.power import normal_sample_size_one_tail
from statsmodels.stats.proportion import proportion_confint

from shadowlane.aggregator.planning import _samples, cluster_effect
from shadowlane.aggregator.planning._inputs import Aim, Metric, Truth
from shadowlane.aggregator.statistics import beta_binomial_sequence, design_effect, quantile_ranks

TRUTH = Truth()
CASES = [
    Aim(rate=0.95, difference=0.01),
    Aim(rate=0.9, difference=0.05),
    Aim(rate=0.99, difference=0.004, power=0.9),
    Aim(rate=1.0, difference=0.01),
    Aim(rate=0.5, difference=0.02, level=0.99),
    Aim(metric=Metric.errors, rate=0.0, difference=0.001),
    Aim(metric=Metric.errors, rate=0.001, difference=0.001),
    Aim(metric=Metric.errors, rate=0.01, difference=0.005, power=0.95),
]


def exact_power(n: int, null: float, truth: float, level: float) -> float:
    """How often Wilson's interval excludes the null, on the truth's side of it."""
    part = np.arange(n + 1)
    low, high = proportion_confint(part, n, 1 - level, method="wilson")
    is_found = low > null if truth > null else high < null
    return float(binom.pmf(part, n, truth)[is_found].sum())


@pytest.mark.parametrize("aim", CASES)
def test_the_planned_number_has_the_power_exactly(aim: Aim) -> None:
    """In both directions Wilson's interval excludes the other rate with the stated power or more."""
    n = _samples.needed(aim, TRUTH, aim.difference)
    worse = aim.rate + (aim.difference if aim.metric is Metric.errors else -aim.difference)
    assert exact_power(n, aim.rate, worse, aim.level) >= aim.power
    assert exact_power(n, worse, aim.rate, aim.level) >= aim.power


@pytest.mark.parametrize("aim", CASES)
def test_the_number_is_that_of_statsmodels_and_its_correction(aim: Aim) -> None:
    """It is the larger of statsmodels' two, and at most the correction for whole numbers above it."""
    theirs = 0.0
    for test in _samples.tests(aim, TRUTH, aim.difference):
        at_null = math.sqrt(test.null * (1 - test.null))
        one_sided = (1 - aim.level) / 2
        theirs = max(
            theirs,
            normal_sample_size_one_tail(aim.difference, aim.power, one_sided, at_null, test.spread),
        )
    ours = _samples.needed(aim, TRUTH, aim.difference)
    assert theirs < ours <= theirs + 1 / aim.difference + 1


@pytest.mark.parametrize("aim", CASES[:3])
def test_the_planned_number_is_not_much_too_large(aim: Aim) -> None:
    """A tenth fewer do not have the power."""
    n = math.floor(_samples.needed(aim, TRUTH, aim.difference) * 0.9)
    worse = aim.rate - aim.difference
    assert (
        min(exact_power(n, *pair, aim.level) for pair in ((aim.rate, worse), (worse, aim.rate))) < aim.power
    )


def correctness(difference: float, discordance: float, coverage: float = 1.0) -> tuple[Aim, Truth]:
    """Aim and truth for a difference in correctness."""
    aim = Aim(metric=Metric.correctness, rate=0.9, difference=difference)
    return aim, Truth(discordance=discordance, label_coverage=coverage)


@pytest.mark.parametrize(
    ("difference", "discordance"), [(0.01, 0.05), (0.02, 0.03), (0.005, 0.2), (0.04, 0.04)]
)
def test_paired_correctness_is_found_with_the_power(difference: float, discordance: float) -> None:
    """McNemar's test over pairs finds the planted difference as often as planned."""
    aim, truth = correctness(difference, discordance)
    n = _samples.needed(aim, truth, difference)
    rng = np.random.default_rng(1)
    only_shadow = (discordance + difference) / 2
    counts = rng.multinomial(n, [only_shadow, discordance - only_shadow, 1 - discordance], size=20_000)
    gained, lost = counts[:, 0], counts[:, 1]
    z = (gained - lost) / np.sqrt(np.maximum(1, gained + lost))
    assert np.mean(z > 1.959964) >= aim.power - 0.01


def test_pairs_save_against_two_groups() -> None:
    """Both models on the same requests need far fewer than two groups; fewer labels need more of them."""
    aim, truth = correctness(0.01, 0.05)
    paired = _samples.needed(aim, truth, 0.01)
    assert 2 * _samples.unpaired(aim, truth, 0.01) > 5 * paired
    half = correctness(0.01, 0.05, coverage=0.5)[1]
    assert _samples.needed(aim, half, 0.01) == pytest.approx(2 * paired, abs=1)
    assert _samples.unpaired(aim, half, 0.01) == pytest.approx(2 * _samples.unpaired(aim, truth, 0.01), abs=1)


@pytest.mark.parametrize(("rate", "difference"), [(0.95, 0.02), (0.9, 0.03), (1.0, 0.01)])
def test_looking_always_finds_the_difference_with_the_power(rate: float, difference: float) -> None:
    """A stream of that number, looked at 40 times, is settled with the power; under the null hardly ever."""
    aim = Aim(rate=rate, difference=difference, is_anytime=True)
    n = _samples.needed(aim, TRUTH, difference)
    rng = np.random.default_rng(2)
    looks = np.unique(np.linspace(n / 40, n, 40).astype(int))
    settled = {}
    for truth in (rate - difference, rate):
        parts = np.cumsum(rng.random((300, n)) < truth, axis=1)
        bound = [beta_binomial_excluded(parts[:, look - 1], look, rate - difference) for look in looks]
        settled[truth] = np.mean(np.any(bound, axis=0))
    assert settled[rate] >= aim.power
    assert settled[rate - difference] <= 0.05


def beta_binomial_excluded(parts: np.ndarray, whole: int, bound: float) -> np.ndarray:
    """Whether the sequence that the gate uses excludes the bound, for each count."""
    known = {part: not beta_binomial_sequence(part, whole, 0.95)[0] <= bound for part in set(parts.tolist())}
    return np.array([known[part] for part in parts.tolist()])


@pytest.mark.parametrize("aim", CASES)
def test_looking_always_costs_extra(aim: Aim) -> None:
    """The confidence sequence takes more than one look at the end, and less than eight times as many."""
    once = _samples.needed_fixed(aim, TRUTH, aim.difference)
    assert once < _samples.needed_anytime(aim, TRUTH, aim.difference) < 8 * once


@pytest.mark.parametrize(("quantile", "level"), [(0.99, 0.95), (0.999, 0.95), (0.99, 0.99), (0.95, 0.9)])
def test_an_interval_of_a_quantile_exists_from_that_number_on(quantile: float, level: float) -> None:
    """One value fewer has none: 368 for p99 at 95 %."""
    n = _samples.for_interval(quantile, level)
    assert quantile_ranks(n, quantile, level) is not None
    assert quantile_ranks(n - 1, quantile, level) is None
    assert _samples.for_interval(0.99, 0.95) == 368


@pytest.mark.parametrize("precision", [0.0005, 0.002, 0.005])
def test_a_quantiles_interval_is_as_narrow_as_planned(precision: float) -> None:
    """The ranks of the exact interval lie within the precision, to a few values."""
    n = _samples.for_precision(0.99, precision, 0.95)
    ranks = quantile_ranks(n, 0.99, 0.95)
    assert ranks is not None
    low, high = ranks
    assert 0.99 - low / n <= precision + 3 / n
    assert high / n - 0.99 <= precision + 3 / n


aims = st.builds(
    Aim,
    metric=st.sampled_from([Metric.agreement, Metric.errors]),
    rate=st.floats(0.3, 0.7),
    difference=st.floats(0.0001, 0.3),
    level=st.floats(0.6, 0.999),
    power=st.floats(0.55, 0.99),
    is_anytime=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(aim=aims, more=st.floats(1.01, 3))
def test_smaller_differences_and_surer_answers_take_more(aim: Aim, more: float) -> None:
    """The number never falls as the difference shrinks, or as level or power rise."""
    n = _samples.needed(aim, TRUTH, aim.difference)
    assert _samples.needed(aim, TRUTH, aim.difference / more) >= n
    surer = Aim(rate=aim.rate, metric=aim.metric, level=1 - (1 - aim.level) / more, power=aim.power)
    stronger = Aim(rate=aim.rate, metric=aim.metric, level=aim.level, power=1 - (1 - aim.power) / more)
    for each in (surer, stronger):
        assert _samples.needed_fixed(each, TRUTH, aim.difference) >= _samples.needed_fixed(
            aim, TRUTH, aim.difference
        )
        assert _samples.needed_anytime(each, TRUTH, aim.difference) >= _samples.needed_anytime(
            aim, TRUTH, aim.difference
        )


@settings(max_examples=60, deadline=None)
@given(aim=aims, comparisons=st.floats(1, 1e8))
def test_what_is_found_is_what_would_be_planned(aim: Aim, comparisons: float) -> None:
    """The smallest difference that a number finds needs at most that number, and a smaller one more."""
    found = _samples.detectable(aim, TRUTH, comparisons)
    if found is None:
        assert _samples.needed(aim, TRUTH, aim.rate if aim.metric is Metric.agreement else 1 - aim.rate) > (
            comparisons
        )
        return
    assert _samples.needed(aim, TRUTH, found) <= comparisons
    if found > 2e-6:
        assert _samples.needed(aim, TRUTH, found * 0.97) > comparisons * 0.97


def test_users_who_are_alike_cost_what_kish_says() -> None:
    """The design effect of simulated users with this correlation is the one that the plan takes."""
    rng = np.random.default_rng(3)
    each, correlation, mean = 8, 0.1, 0.9
    prior = (1 - correlation) / correlation
    rates = rng.beta(mean * prior, (1 - mean) * prior, 40_000)
    measured = design_effect(rng.binomial(each, rates), np.full(len(rates), each))
    assert cluster_effect(each, correlation) == pytest.approx(measured, rel=0.03)
    assert cluster_effect(0.5, 1.0) == 1
