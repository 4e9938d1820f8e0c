"""The binomial distribution: sums of it by the incomplete beta, so in no time whatever the counts."""

from __future__ import annotations

import math

from shadowlane.aggregator.statistics._beta import beta_tails, log_kernel


def log_probability(k: int, n: int, p: float) -> float:
    """The logarithm of the probability of exactly so many successes."""
    if not 0 <= k <= n:
        return -math.inf
    if p <= 0 or p >= 1:
        return 0.0 if k == (n if p >= 1 else 0) else -math.inf
    if k == 0:
        return n * math.log1p(-p)
    if k == n:
        return n * math.log(p)
    return log_kernel(k, n - k, p, 1 - p) + math.log(n) - math.log(k) - math.log(n - k)


def at_most(k: int, n: int, p: float) -> float:
    """The probability of at most so many successes."""
    if k < 0 or k >= n:
        return float(k >= n)
    return beta_tails(k + 1, n - k, p).upper


def at_least(k: int, n: int, p: float) -> float:
    """The probability of at least so many successes."""
    if k <= 0 or k > n:
        return float(k <= 0)
    return beta_tails(k, n - k + 1, p).lower


def fewest(probability: float, n: int, p: float) -> int:
    """The smallest number that is not exceeded with at least this probability."""
    low, high = -1, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if at_most(middle, n, p) >= probability else (middle, high)
    return high
