"""How many comparisons it takes to find a difference, and which difference a number of them finds.

Each question comes down to a test of one share: is it `null`, or is it `truth`? Agreement is the share of
the pairs that agree. Correctness is paired, since both models see the same requests: only those on which
just one of the two is right tell them apart, and of these the shadow is right on a half where there is no
difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from shadowlane.aggregator.planning._inputs import Aim, Metric, Truth, widest_difference
from shadowlane.aggregator.statistics import (
    deviations,
    log_evidence,
    normal_quantile,
    samples_for_difference,
)

_MOST = 10**15


@dataclass(frozen=True, slots=True)
class Test:
    """Tell one share from another."""

    null: float
    truth: float
    #: The standard deviation of one observation where the truth is the truth.
    spread: float
    #: How many observations a comparison yields.
    per_comparison: float = 1.0


def tests(aim: Aim, truth: Truth, difference: float) -> tuple[Test, ...]:
    """What must be told apart, in both directions: that it has worsened so much, and that it has not."""
    if aim.metric is Metric.correctness:
        return (_paired(difference, truth),)
    worse = aim.rate + (difference if aim.metric is Metric.errors else -difference)
    worse = min(max(worse, 0.0), 1.0)
    return _one_share(aim.rate, worse), _one_share(worse, aim.rate)


def fixed(test: Test, level: float, power: float) -> int:
    """How many comparisons find the difference with this power, looked at once, at their end.

    It is the normal approximation with its correction for whole numbers (Fleiss): without it the exact
    power of the interval falls short where the shares are near 0 or 1.
    """
    shift = abs(test.truth - test.null)
    at_null = math.sqrt(test.null * (1 - test.null))
    rough = ((deviations(level) * at_null + normal_quantile(power) * test.spread) / shift) ** 2
    corrected = rough / 4 * (1 + math.sqrt(1 + 2 / (rough * shift))) ** 2 if rough else 1 / shift
    return _comparisons(corrected, test)


def anytime(test: Test, level: float, power: float) -> int:
    """How many find it with this power, looked at as often as one likes.

    After so many the beta-binomial confidence sequence has left `null` behind, unless chance was worse than
    it is with this power.
    """

    def is_found(n: int) -> bool:
        chance = normal_quantile(power) * test.spread * math.sqrt(n)
        part = n * test.truth + (chance if test.truth < test.null else -chance)
        if (part > n * test.null) != (test.truth > test.null):  # of few, chance may have told the opposite
            return False
        return log_evidence(min(max(part, 0.0), n), n, test.null) >= -math.log(1 - level)

    return _comparisons(_first(is_found), test)


def needed(aim: Aim, truth: Truth, difference: float, level: float | None = None) -> int:
    """How many comparisons find this difference, looked at as the aim says."""
    how = anytime if aim.is_anytime else fixed
    return _most(how, aim, truth, difference, level)


def needed_fixed(aim: Aim, truth: Truth, difference: float) -> int:
    """The same, looked at once."""
    return _most(fixed, aim, truth, difference, None)


def needed_anytime(aim: Aim, truth: Truth, difference: float) -> int:
    """The same, looked at as often as one likes."""
    return _most(anytime, aim, truth, difference, None)


def detectable(aim: Aim, truth: Truth, comparisons: float, level: float | None = None) -> float | None:
    """The smallest difference that so many comparisons find; None where they find none that can be."""
    low, high = 1e-6, widest_difference(aim, truth)
    if high < low or needed(aim, truth, high, level) > comparisons:
        return None
    for _ in range(30):
        middle = math.sqrt(low * high)
        if needed(aim, truth, middle, level) <= comparisons:
            high = middle
        else:
            low = middle
    return high


def unpaired(aim: Aim, truth: Truth, difference: float) -> int:
    """How many requests each of two groups would need, were each request seen by one model only."""
    shift = difference if aim.rate + difference <= 1 else -difference
    return math.ceil(samples_for_difference(aim.rate, shift, aim.level, aim.power) / truth.label_coverage)


def cluster_effect(requests_per_user: float, correlation: float) -> float:
    """How many times as many requests are needed where a user's are alike (Kish)."""
    return 1 + max(0.0, requests_per_user - 1) * correlation


def for_interval(quantile: float, level: float) -> int:
    """How many values an interval of a quantile takes at all: the largest lies above it surely enough."""
    return math.ceil(math.log((1 - level) / 2) / math.log(max(quantile, 1 - quantile)))


def for_precision(quantile: float, precision: float, level: float) -> int:
    """How many values bring both ends of a quantile's interval so near, as a share of the values."""
    return math.ceil(deviations(level) ** 2 * quantile * (1 - quantile) / precision**2)


def _one_share(null: float, truth: float) -> Test:
    return Test(null, truth, math.sqrt(truth * (1 - truth)))


def _paired(difference: float, truth: Truth) -> Test:
    """McNemar's test, with Connor's spread: also how many pairs tell the two apart is up to chance."""
    share = truth.discordance
    spread = math.sqrt(max(0.0, 1 - difference**2 / share)) / 2
    return Test(0.5, 0.5 + difference / share / 2, spread, share * truth.label_coverage)


def _most(
    how: Callable[[Test, float, float], int], aim: Aim, truth: Truth, difference: float, level: float | None
) -> int:
    return max(how(test, level or aim.level, aim.power) for test in tests(aim, truth, difference))


def _comparisons(observations: float, test: Test) -> int:
    return max(1, math.ceil(observations / test.per_comparison))


def _first(is_enough: Callable[[int], bool]) -> int:
    """The first number that is enough, where all after it are."""
    high = 1
    while not is_enough(high) and high < _MOST:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
