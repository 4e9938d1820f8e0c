"""Where a figure lies, however often one looks: confidence sequences, and how much more would settle a check.

A gate that is looked at until it passes lets too much through if each look has a chance of its own to be
wrong. These intervals are right at all looks at once, with the confidence asked for. Where requests cluster
by user, counts are worth less: they are divided by the design effect first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from shadowlane.aggregator.report.figures import Interval
from shadowlane.aggregator.statistics import beta_binomial_sequence
from shadowlane.aggregator.statistics._normal import deviations
from shadowlane.aggregator.statistics._sequences import log_evidence

_MOST = 2.0**30  # times the requests seen: nobody waits for more
_FINE = 256
_FURTHEST = math.sqrt(math.log(2))

Pair = tuple[float, float]


def rate_interval(part: float, whole: float, bound: float, level: float, effect: float = 1.0) -> Interval:
    """Where a rate lies: the beta-binomial sequence, its prior about the bound, which no data have set."""
    low, high = _rate(part, whole, bound, level, effect)
    by = "beta-binomial confidence sequence"
    return Interval(low=low, high=high, level=level, method=by if effect <= 1 else f"{by}, per user")


def _rate(part: float, whole: float, bound: float, level: float, effect: float) -> Pair:
    prior = _prior(bound)
    plain = beta_binomial_sequence(part, whole, level, prior)
    if effect <= 1:
        return plain
    wide = beta_binomial_sequence(part / effect, whole / effect, level, prior)
    return min(plain[0], wide[0]), max(plain[1], wide[1])


def _prior(bound: float) -> Pair:
    nearest = min(bound, 1 - bound)
    return (bound / nearest, (1 - bound) / nearest) if nearest > 0 else (1.0, 1.0)


def rate_is_settled(part: float, whole: float, bound: float, level: float, effect: float) -> bool:
    """Whether the rate's interval leaves out the bound: as `rate_interval`, of one point alone."""
    if bound in (0.0, 1.0):
        return bound not in _rate(part, whole, bound, level, effect)
    needed = -math.log(1 - level)
    return all(
        log_evidence(part / each, whole / each, bound, _prior(bound)) >= needed
        for each in {1.0, max(effect, 1.0)}
    )


def difference_interval(less: Pair, more: Pair, near: Pair, level: float, effect: float = 1.0) -> Interval:
    """Where one rate less another lies, each given as (part, whole): where both are right, it is right.

    `near` is about where the two rates are expected, chosen before the data.
    """
    half = 1 - (1 - level) / 2
    low1, high1 = _rate(*less, near[0], half, effect)
    low2, high2 = _rate(*more, near[1], half, effect)
    return Interval(
        low=low2 - high1,
        high=high2 - low1,
        level=level,
        method="two beta-binomial confidence sequences" + (", per user" if effect > 1 else ""),
    )


def mean_interval(
    value: float, given: Interval, n: float, level: float, expected: int, scale: float = 1.0
) -> Interval:
    """Where a mean lies, from its interval for one look: the normal mixture (Waudby-Smith et al. 2024).

    It is narrowest at about the expected number of requests, and holds for means of many of them. `scale` is
    how many times as many requests there might be.
    """
    deviation = (given.high - given.low) / 2 / deviations(given.level) * math.sqrt(n)
    alpha = 1 - level
    tuned = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / expected
    spread = n * scale * tuned + 1
    half = deviation * math.sqrt(
        2 * spread / (tuned * (n * scale) ** 2) * math.log(math.sqrt(spread) / alpha)
    )
    by = "normal-mixture confidence sequence (asymptotic)"
    return Interval(low=value - half, high=value + half, level=level, method=by)


def distance_interval(
    value: float, primary: Sequence[int], shadow: Sequence[int], level: float, effect: float = 1.0
) -> Interval:
    """Where the Jensen-Shannon distance lies: it is a metric, and strays by no more than both sides do.

    How far each model's counts can be from what they are drawn of, a mixture over all distributions tells
    (Dirichlet, 1/2 each): that is a martingale, and holds at every look.
    """
    half = 1 - (1 - level) / 2
    stray = sum(_stray([count / effect for count in counts], half) for counts in (primary, shadow))
    return Interval(
        low=max(0.0, value - stray),
        high=min(_FURTHEST, value + stray),
        level=level,
        method="Dirichlet-mixture confidence sequences, at the widest",
    )


def _stray(counts: Sequence[float], level: float) -> float:
    """How far from these counts' distribution the true one may be.

    The divergence is at most ln(2)/2 of the relative entropy: so it is where a bin is empty, and less
    elsewhere, as their generating functions show.
    """
    n, k = sum(counts), len(counts)
    if n <= 0:
        return _FURTHEST
    mixture = math.lgamma(k / 2) - math.lgamma(n + k / 2)
    mixture += math.fsum(math.lgamma(count + 0.5) - math.lgamma(0.5) for count in counts)
    likeliest = math.fsum(count * math.log(count / n) for count in counts if count > 0)
    entropy = (likeliest - mixture - math.log(1 - level)) / n
    return min(_FURTHEST, math.sqrt(max(entropy, 0.0) * math.log(2) / 2))


def more_needed(is_settled: Callable[[float], bool], n: int) -> int | None:
    """About how many more requests would settle it, were they like those seen; None where none would.

    Args:
        is_settled: Whether it would be, were there so many times the requests.
        n: How many requests there are.
    """
    low, high = 1.0, 2.0
    while not is_settled(high):
        low, high = high, high * 2
        if high > _MOST:
            return None
    while high - low > high / _FINE:
        middle = (low + high) / 2
        low, high = (low, middle) if is_settled(middle) else (middle, high)
    return _rounded(n * (high - 1))


def _rounded(number: float) -> int:
    """Two digits: it is about so many."""
    digits = max(0, math.floor(math.log10(max(number, 1.0))) - 1)
    step = int(10**digits)
    return max(1, math.ceil(number / step) * step)
