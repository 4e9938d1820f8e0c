"""Intervals that stay right at every look: their formula, and the share of streams that they ever miss."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, special

from shadowlane.aggregator.statistics import (
    beta_binomial_sequence,
    bounded_mean_sequence,
    quantile_sequence_ranks,
    samples_to_settle,
    sequence_n_needed,
    wilson,
)

_LOOKS = (
    20,
    35,
    50,
    75,
    100,
    130,
    170,
    210,
    260,
    320,
    400,
    480,
    570,
    680,
    800,
    950,
    1100,
    1300,
    1500,
    1750,
    2000,
)
_STREAMS = 2000


@st.composite
def parts(draw: st.DrawFn, least: int = 1) -> tuple[int, int]:
    """A part and its whole of up to 10**9; the ends are as likely as the middle."""
    whole = draw(st.integers(least, max(least, 10 ** draw(st.integers(0, 9)))))
    return draw(st.one_of(st.sampled_from([0, 1, whole - 1, whole]), st.integers(0, whole))), whole


def _by_the_book(part: int, whole: int, level: float, prior: tuple[float, float]) -> tuple[float, float]:
    """The formula as written in the literature, its roots by scipy."""
    a, b = prior

    def left(p: float) -> float:
        mixture = special.betaln(a + part, b + whole - part) - special.betaln(a, b)
        return float(mixture - special.xlogy(part, p) - special.xlog1py(whole - part, -p)) + math.log(
            1 - level
        )

    point = part / whole
    low = optimize.brentq(left, 1e-15, point, xtol=1e-15) if part else 0.0
    high = optimize.brentq(left, point, 1 - 1e-15, xtol=1e-15) if part < whole else 1.0
    return low, high


@pytest.mark.parametrize("prior", [(1, 1), (1, 49), (0.5, 0.5)])
@pytest.mark.parametrize("counts", [(0, 5), (1, 1), (70, 1000), (500, 1000), (700, 10_000), (9_990, 100_000)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
def test_the_sequence_is_the_one_of_the_literature(
    counts: tuple[int, int], level: float, prior: tuple[float, float]
) -> None:
    """It ends where the mixture's likelihood is 1 / alpha of the rate's."""
    expected = _by_the_book(*counts, level, prior)
    assert beta_binomial_sequence(*counts, level, prior) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("counts", "expected"), [((70, 1000), (0.044, 0.104)), ((700, 10_000), (0.0602, 0.0807))]
)
def test_the_sequence_has_the_known_values(counts: tuple[int, int], expected: tuple[float, float]) -> None:
    """As other libraries give them for 7 % of 1,000 and of 10,000."""
    assert beta_binomial_sequence(*counts, 0.95) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("whole", [10**7, 10**9, 10**11])
@pytest.mark.parametrize("rate", [0.5, 0.07, 0.9999])
def test_the_sequence_of_many_is_laplaces(whole: int, rate: float) -> None:
    """Where the gamma function's logarithm has too few digits, the mixture has come to its normal limit."""
    part = round(whole * rate)
    p = part / whole

    def left(deviations: float) -> float:
        shift = deviations * math.sqrt(p * (1 - p) / whole)
        unlikelihood = -part * math.log1p(shift / p) - (whole - part) * math.log1p(-shift / (1 - p))
        return unlikelihood + 0.5 * math.log(2 * math.pi * p * (1 - p) / whole) - math.log(20)

    found = (np.array(beta_binomial_sequence(part, whole, 0.95)) - p) / math.sqrt(p * (1 - p) / whole)
    expected = [optimize.brentq(left, *between) for between in ((-20, -1), (1, 20))]
    assert found == pytest.approx(expected, rel=1e-3)


@given(parts(), st.sampled_from([0.5, 0.95, 0.9999]))
def test_the_sequence_holds_its_point_and_wilsons_interval(counts: tuple[int, int], level: float) -> None:
    """Within 0 and 1, the rate inside, and wider than the interval for one look."""
    low, high = beta_binomial_sequence(*counts, level)
    once = wilson(*counts, level)
    part, whole = counts
    assert 0 <= low <= part / whole <= high <= 1
    assert (low == 0) == (part == 0)
    assert (high == 1) == (part == whole)
    assert high - low >= (once[1] - once[0]) * 0.8  # at the very ends the two are of different shapes
    if 10 < part < whole - 10 and level < 0.999:
        assert low <= once[0]
        assert high >= once[1]


@given(parts())
def test_more_confidence_is_a_wider_sequence(counts: tuple[int, int]) -> None:
    """And what is no part is the mirror image."""
    narrow, wide = (beta_binomial_sequence(*counts, level) for level in (0.9, 0.99))
    assert wide[0] <= narrow[0]
    assert narrow[1] <= wide[1]
    part, whole = counts
    low, high = beta_binomial_sequence(whole - part, whole, 0.9)
    assert narrow == pytest.approx((1 - high, 1 - low), rel=1e-9, abs=1e-12)


def test_nothing_says_nothing() -> None:
    """Before the first request anything is possible."""
    assert beta_binomial_sequence(0, 0, 0.95) == (0, 1)
    assert bounded_mean_sequence([], 0.95) == (0, 1)
    assert sequence_n_needed(0, 0, 0.9, 0.95) is None


def _counts_at_looks(rate: float, seed: int) -> NDArray[np.int64]:
    """How many of each stream's requests were parts, at each look."""
    between = np.diff(_LOOKS, prepend=0)
    return np.random.default_rng(seed).binomial(between, rate, (_STREAMS, len(_LOOKS))).cumsum(axis=1)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
def test_a_stream_that_is_looked_at_often_is_still_right(rate: float) -> None:
    """Of 2,000 streams at 21 looks each, the sequence ever misses at most 5 %, and Wilson's far more."""
    sequence = functools.cache(functools.partial(beta_binomial_sequence, level=0.95))
    once = functools.cache(functools.partial(wilson, level=0.95))
    missed = {sequence: 0, once: 0}
    for stream in _counts_at_looks(rate, seed=1).tolist():
        for interval in missed:
            missed[interval] += any(
                not low <= rate <= high
                for low, high in (interval(part, whole) for part, whole in zip(stream, _LOOKS, strict=True))
            )
    assert missed[sequence] <= 0.05 * _STREAMS
    assert missed[once] >= 0.18 * _STREAMS


def test_the_sequence_is_not_wide_for_nothing() -> None:
    """Looked at after every request for as long, it does miss: the promise is used, not given away."""
    rng = np.random.default_rng(3)
    counts = np.cumsum(rng.random((_STREAMS, 2000)) < 0.3, axis=1)
    whole = np.arange(1, 2001)
    mixture = -special.betaln(1 + counts, 1 + whole - counts) + counts * np.log(0.3)
    missed = int(np.any(mixture + (whole - counts) * np.log(0.7) <= -math.log(20), axis=1).sum())
    assert 0.005 * _STREAMS <= missed <= 0.05 * _STREAMS


@given(parts(least=5), st.sampled_from([0.001, 0.1, 0.5, 0.9, 0.999]))
def test_as_many_more_requests_settle_it(counts: tuple[int, int], bound: float) -> None:
    """With that many more at the same rate the bound is excluded, and with one fewer it is not."""
    part, whole = counts
    more = sequence_n_needed(part, whole, bound, 0.95)
    if more is None:
        assert part / whole == pytest.approx(bound, abs=1e-6)
        return
    rate = part / whole
    assert _excludes(rate * (whole + more), whole + more, bound)
    if more:
        assert not _excludes(rate * (whole + more - 1), whole + more - 1, bound)


@pytest.mark.parametrize(("part", "whole", "bound"), [(90, 100, 0.9), (0, 100, 0.0), (100, 100, 1.0)])
def test_a_rate_that_is_the_bound_is_never_settled(part: int, whole: int, bound: float) -> None:
    """No number of requests says on which side of itself a rate is."""
    assert sequence_n_needed(part, whole, bound, 0.95) is None


def test_what_a_bound_forbids_settles_it_at_once() -> None:
    """One failure excludes that there are none."""
    assert sequence_n_needed(1, 100, 0.0, 0.95) == 0
    assert samples_to_settle(0.5, 1.0, 0.95) == 1


@pytest.mark.parametrize(("p", "bound"), [(0.01, 0.02), (0.03, 0.02), (0.95, 0.9)])
def test_most_streams_are_settled_by_the_number_foretold(p: float, bound: float) -> None:
    """Of 300 streams, chance lets more than half settle by then, and hardly any by a quarter of it."""
    foretold = samples_to_settle(p, bound, 0.95)
    assert foretold is not None
    looks = np.linspace(foretold / 20, foretold, 20).astype(int)
    counts = np.random.default_rng(5).binomial(np.diff(looks, prepend=0), p, (300, 20)).cumsum(axis=1)
    settled = [
        next(
            (look for part, look in zip(stream, looks, strict=True) if _excludes(part, look, bound)), math.inf
        )
        for stream in counts.tolist()
    ]
    assert 150 < sum(look <= foretold for look in settled) < 270
    assert sum(look <= foretold / 4 for look in settled) < 75


def _excludes(part: float, whole: float, bound: float) -> bool:
    low, high = beta_binomial_sequence(part, whole, 0.95)
    return not low < bound < high


def _gambler(values: NDArray[np.float64], mean: float, level: float) -> bool:
    """Whether a gambler against this mean has got rich, told a bet at a time (Waudby-Smith and Ramdas)."""
    wealth_up = wealth_down = 0.5
    seen, total, squares, variance = 1, 0.5, 0.25, 0.25
    for value in values:
        bet = math.sqrt(2 * math.log(2 / (1 - level)) / (variance * seen * math.log(seen + 1)))
        wealth_up *= 1 + min(bet, 0.5 / mean) * (value - mean)
        wealth_down *= 1 - min(bet, 0.5 / (1 - mean)) * (value - mean)
        seen, total = seen + 1, total + value
        squares += (value - total / seen) ** 2
        variance = squares / seen
    return max(wealth_up, wealth_down) >= 1 / (1 - level)


@pytest.mark.parametrize(("a", "b", "n"), [(2, 5, 300), (0.05, 5, 500), (1, 1, 40), (30, 1, 200)])
def test_the_mean_s_sequence_ends_where_the_gambler_gets_rich(a: float, b: float, n: int) -> None:
    """Just inside both ends he has not ruled the mean out; just outside he has."""
    values = np.random.default_rng(2).beta(a, b, n)
    low, high = bounded_mean_sequence(values, 0.95)
    for end, outwards in ((low, -1e-6), (high, 1e-6)):
        if 0 < end + outwards < 1:
            assert _gambler(values, end + outwards, 0.95)
            assert not _gambler(values, end - outwards, 0.95)


@given(st.lists(st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1)), min_size=1, max_size=40))
def test_the_means_sequence_holds_the_mean(values: list[float]) -> None:
    """Within 0 and 1, wider with more confidence, and with a mirror image."""
    low, high = bounded_mean_sequence(values, 0.9)
    mean = float(np.mean(values))
    assert 0 <= low <= mean <= high <= 1
    wide = bounded_mean_sequence(values, 0.99)
    assert bounded_mean_sequence(1 - np.array(values), 0.9) == pytest.approx((1 - high, 1 - low), abs=1e-8)
    assert wide[0] <= low + 1e-8
    assert wide[1] >= high - 1e-8


def test_a_mean_that_drifts_has_an_interval_too() -> None:
    """Where values do not keep to one mean the sides may cross; the interval still holds what was seen."""
    low, high = bounded_mean_sequence([0.0] * 500 + [1.0] * 500, 0.95)
    assert low <= 0.5 <= high


@pytest.mark.parametrize("values", [[0.5, 1.5], [-0.1], [math.nan, 0.5]])
def test_values_beyond_the_bounds_are_an_error(values: list[float]) -> None:
    """Nothing is known of the mean of values without bounds."""
    with pytest.raises(ValueError, match="between 0 and 1: scale them"):
        bounded_mean_sequence(values, 0.95)


@pytest.mark.parametrize(("a", "b"), [(2, 5), (0.05, 2)])
def test_the_mean_of_a_stream_that_is_looked_at_often_is_right(a: float, b: float) -> None:
    """Of 300 streams at 20 looks each, the mean is ever missed by at most 5 %."""
    rng = np.random.default_rng(7)
    mean = a / (a + b)
    missed = sum(
        any(
            not low <= mean <= high
            for low, high in (bounded_mean_sequence(stream[:look], 0.95) for look in range(20, 420, 20))
        )
        for stream in rng.beta(a, b, (300, 400))
    )
    assert missed <= 15


@pytest.mark.parametrize("q", [0.5, 0.95])
@pytest.mark.parametrize("decimals", [12, 1])
def test_the_percentile_of_a_stream_that_is_looked_at_often_is_right(q: float, decimals: int) -> None:
    """Of 1,000 streams at 20 looks, the percentile is ever missed by at most 5 %; ties do no harm."""
    rng = np.random.default_rng(11)
    looks = range(200, 2200, 100)
    ranks = {look: quantile_sequence_ranks(look, q, 0.95) for look in looks}
    percentile = round(-math.log1p(-q), decimals)
    missed = 0
    for stream in rng.exponential(1.0, (1000, max(looks))).round(decimals):
        for look, between in ranks.items():
            assert between is not None
            low, high = np.partition(stream[:look], between)[list(between)]
            if not low <= percentile <= high:
                missed += 1
                break
    assert missed <= 50
