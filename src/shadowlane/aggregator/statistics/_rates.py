"""How well a rate is known from counts, and how far two rates are apart: intervals of a fixed sample.

These hold for one look at data whose amount was settled beforehand. Who looks again and again, and stops
when he likes what he sees, needs the sequences.
"""

from __future__ import annotations

import math

from shadowlane.aggregator.statistics._beta import beta_quantile
from shadowlane.aggregator.statistics._normal import deviations, outside


def rate(part: int, whole: int) -> float | None:
    """The share of the whole, or None of nothing."""
    return part / whole if whole else None


def check_counts(part: float, whole: float) -> None:
    """Raise ValueError where a part is none of its whole, as when the two were swapped."""
    if not 0 <= part <= whole:
        raise ValueError("a part lies between 0 and its whole: look at the order of the arguments")


def wilson(part: float, whole: float, level: float) -> tuple[float, float]:
    """Wilson's score interval of a rate: right on average over the rates, so good to show."""
    return score_interval(part, whole, deviations(level))


def score_interval(part: float, whole: float, z: float) -> tuple[float, float]:
    """Wilson's interval, so many standard deviations wide."""
    check_counts(part, whole)
    if whole == 0 or math.isinf(z):
        return 0.0, 1.0
    return _lower_score(part, whole, z), 1 - _lower_score(whole - part, whole, z)


def _lower_score(part: float, whole: float, z: float) -> float:
    if part == 0:
        return 0.0
    # The smaller root, as the product of both over the larger: no digits are lost to a difference.
    middle, square = part + z * z / 2, z * z
    larger = middle + z * math.sqrt(part * (whole - part) / whole + square / 4)
    return part / whole * part / larger


def clopper_pearson(part: int, whole: int, level: float) -> tuple[float, float]:
    """The exact interval of a rate: it holds at least so often, whatever the rate is."""
    check_counts(part, whole)
    tail = outside(level) / 2
    low = beta_quantile(tail, part, whole - part + 1) if part else 0.0
    high = 1 - beta_quantile(tail, whole - part, part + 1) if part < whole else 1.0
    return low, high


def newcombe_difference(
    part1: float, whole1: float, part2: float, whole2: float, level: float
) -> tuple[float, float]:
    """Where the second rate less the first lies, of two groups of requests that share none.

    Newcombe's hybrid of both Wilson intervals (1998, method 10).
    """
    first, second = wilson(part1, whole1, level), wilson(part2, whole2, level)
    if not (whole1 and whole2):
        return -1.0, 1.0
    rate1, rate2 = part1 / whole1, part2 / whole2
    difference = rate2 - rate1
    return (
        max(-1.0, difference - math.hypot(rate2 - second[0], first[1] - rate1)),
        min(1.0, difference + math.hypot(second[1] - rate2, rate1 - first[0])),
    )


def paired_difference(only_first: int, only_second: int, whole: int, level: float) -> tuple[float, float]:
    """Where the second rate less the first lies, both over the same requests (Tango's score interval, 1998).

    `only_first` of the requests had it by the first alone, `only_second` by the second alone.
    """
    check_counts(only_first + only_second, whole)
    z = deviations(level)
    if whole == 0:
        return -1.0, 1.0
    return _lower_paired(only_second, only_first, whole, z), -_lower_paired(only_first, only_second, whole, z)


def _lower_paired(gained: int, lost: int, whole: int, z: float) -> float:
    """The smallest difference that the score test does not reject."""
    low, high = -1.0, (gained - lost) / whole
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if _score(middle, gained, lost, whole) <= z else (middle, high)
    return low


def _score(difference: float, gained: int, lost: int, whole: int) -> float:
    """How many standard deviations the counts are above what this difference would lead one to expect."""
    # The most likely share of lost ones, given the difference: the root of a square equation.
    a, c = 2 * whole, -lost * difference * (1 - difference)
    b = -(gained + lost) + (2 * whole - gained + lost) * difference
    root = math.sqrt(max(b * b - 4 * a * c, 0.0))
    share = (root - b) / (2 * a) if b <= 0 else -2 * c / (b + root)
    variance = whole * (2 * max(share, 0.0) + difference * (1 - difference))
    return (gained - lost - whole * difference) / math.sqrt(max(variance, 1e-300))  # rounding aside, above 0
