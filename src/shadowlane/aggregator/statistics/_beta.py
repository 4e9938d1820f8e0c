"""The beta distribution, on which the intervals of rates and ranks stand; exact for counts of any size.

With the gamma function alone, a count of 10**9 costs ten digits, since logarithms of 10**10 are subtracted.
Here the large terms are taken out on paper (Loader, "Fast and accurate computation of binomial
probabilities", 2000): what is left is the distance of the rate from the point, and a small correction.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

_LARGE = 3000.0
_STEEP = 700.0  # an exponent that a float still holds
_NOTHING = -800.0  # and one that is 0 whatever it is multiplied by here
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


class Tails(NamedTuple):
    """The probability of no more than a point, and of more; each to all its digits."""

    lower: float
    upper: float


def log_kernel(a: float, b: float, x: float, y: float) -> float:
    """The logarithm of `x**a * y**b / B(a, b)`, with `y = 1 - x` to all its digits."""
    if x <= 0 or y <= 0:
        return -math.inf
    n = a + b
    spread = 0.5 * (math.log(a) + math.log(b) - math.log(n) - math.log(2 * math.pi))
    return spread + _stirling(n) - _stirling(a) - _stirling(b) - _distance(a, n * x) - _distance(b, n * y)


def _stirling(z: float) -> float:
    """What Stirling's formula leaves out of the logarithm of the gamma function."""
    if z < 16:  # noqa: PLR2004 - from here on the series has all the digits of a float
        return math.lgamma(z) - ((z - 0.5) * math.log(z) - z + 0.5 * math.log(2 * math.pi))
    square = 1 / (z * z)
    series = 1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))
    return series / z


def _distance(count: float, expected: float) -> float:
    """`count * log(count / expected) + expected - count`, also where the two are close."""
    if abs(count - expected) > 0.1 * (count + expected):
        return count * (math.log(count) - math.log(expected)) + expected - count
    ratio = (count - expected) / (count + expected)
    total, power = (count - expected) * ratio, 2 * count * ratio
    for odd in range(3, 40, 2):
        power *= ratio * ratio
        if total == (total := total + power / odd):
            break
    return total


def beta_tails(a: float, b: float, x: float, y: float | None = None) -> Tails:
    """The beta distribution's probability on both sides of a point; `y = 1 - x` where it is known better."""
    y = 1 - x if y is None else y
    if x <= 0 or y <= 0:
        return Tails(float(y <= 0), float(x <= 0))
    if a * y > b * x:
        lower = math.exp(min(_log_tail(a, b, x, y), 0.0))
        return Tails(lower, 1 - lower)
    upper = math.exp(min(_log_tail(b, a, y, x), 0.0))
    return Tails(1 - upper, upper)


def betainc(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function."""
    return beta_tails(a, b, x).lower


def beta_quantile(p: float, a: float, b: float, *, upper: bool = False) -> float:
    """The point with this much probability below it (or, with `upper`, above it)."""
    if not 0 < p < 1:
        return float((p >= 1) != upper)
    below = (p <= 0.5) != upper  # noqa: PLR2004 - the smaller tail is the one known to all its digits
    wanted = min(p, 1 - p)
    low, high, x = 0.0, 1.0, a / (a + b)
    for _ in range(2000):
        tails = beta_tails(a, b, x)
        here = tails.lower if below else tails.upper
        low, high = (x, high) if (here < wanted) == below else (low, x)
        following = _newton(a, b, x, here, wanted, below=below)
        if not low < following < high:
            following = (low + high) / 2 if low else high / 16
        if abs(following - x) <= 4e-15 * x or not low < following < high:
            return following
        x = following
    return x


def _newton(a: float, b: float, x: float, here: float, wanted: float, *, below: bool) -> float:
    """A step in the logarithms of the point and of its tail, in which the tail is nearly straight."""
    if here <= 0 or x >= 1:
        return math.nan
    log_slope = log_kernel(a, b, x, 1 - x) - math.log1p(-x) - math.log(here)
    if abs(log_slope) > _STEEP:
        return math.nan
    step = (math.log(wanted) - math.log(here)) / math.exp(log_slope)
    return x * math.exp(max(-_STEEP, min(_STEEP, step if below else -step)))


def _log_tail(a: float, b: float, x: float, y: float) -> float:
    """The logarithm of the probability below a point that lies below the mean."""
    height = log_kernel(a, b, x, y)
    if height < _NOTHING:
        return height
    return height + math.log((_area if min(a, b) > _LARGE else _continued_fraction)(a, b, x, y))


def _area(a: float, b: float, x: float, y: float) -> float:
    """By Gauss-Legendre over the part of the tail that counts: it looks like a normal distribution's."""
    deviation = math.sqrt(x * y / (a + b))
    away = max((a * y - b * x) / (a + b) / deviation, 4.5)
    width = min(deviation * 40 / away, x)  # exp(-40) is where nothing is left
    steps = (_NODES + 1) * (width / 2)
    heights = (a - 1) * np.log1p(-steps / x) + (b - 1) * np.log1p(steps / y)
    return float(np.dot(_WEIGHTS, np.exp(heights))) * width / 2 / (x * y)


def _continued_fraction(a: float, b: float, x: float, y: float) -> float:
    """The incomplete beta's, in the form of Didonato and Morris (1992), which subtracts nothing large."""
    beyond = 1 + a * y - b * x
    value = (1 + 1 / a) / beyond
    top, bottom, top_before, bottom_before = 1.0, 1 / value, 0.0, 1.0
    for n in range(1, 100_000):
        weight = n * (b - n) * x
        last = a + 2 * n - 1
        numerator = (a + n - 1) * (a + b + n - 1) * weight * x / (last * last)
        denominator = n + weight / last + (a + n) * (beyond + n * (1 + y)) / (last + 2)
        top, top_before = numerator * top_before + denominator * top, top
        bottom, bottom_before = numerator * bottom_before + denominator * bottom, bottom
        following = top / bottom
        if abs(following - value) <= 1e-15 * following:
            return following
        value = following
        top, top_before = top / bottom, top_before / bottom
        bottom, bottom_before = 1.0, bottom_before / bottom
    return value
