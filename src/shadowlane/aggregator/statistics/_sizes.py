"""How many samples a question needs, before any was taken."""

from __future__ import annotations

import math

from shadowlane.aggregator.statistics._normal import deviations, normal_quantile
from shadowlane.aggregator.statistics._rates import wilson


def samples_for_difference(p: float, delta: float, level: float, power: float) -> int:
    """How many requests each of two groups needs to tell a rate of p from one of `p + delta`.

    By the two-sided z test of two proportions; with `power`, this often it is found where it is there.
    """
    other = p + delta
    if delta == 0 or not (0 <= p <= 1 and 0 <= other <= 1):
        raise ValueError("two different rates between 0 and 1 can be told apart, no others")
    middle = (p + other) / 2
    alike = deviations(level) * math.sqrt(2 * middle * (1 - middle))
    apart = normal_quantile(power) * math.sqrt(p * (1 - p) + other * (1 - other))
    return math.ceil(((alike + apart) / delta) ** 2)


def samples_for_rate(p: float, half_width: float, level: float) -> int:
    """How many requests it takes until Wilson's interval of a rate of p is this narrow to each side."""
    if half_width <= 0:
        raise ValueError("an interval is wider than nothing: give a half width above 0")

    def enough(n: int) -> bool:
        low, high = wilson(p * n, n, level)
        return (high - low) / 2 <= half_width

    high = 1
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
