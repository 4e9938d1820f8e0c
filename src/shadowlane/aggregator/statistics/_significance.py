"""How often chance alone would do as much: p-values of counts, all two-sided."""

from __future__ import annotations

import math

import numpy as np

from shadowlane.aggregator.statistics._binomial import at_least, at_most, log_probability
from shadowlane.aggregator.statistics._normal import two_sided_p
from shadowlane.aggregator.statistics._rates import check_counts

_ENOUGH = 10  # expected in each cell: from here on the normal distribution is close
_ALIKE = 1e-7  # probabilities this near to each other are equal but for rounding, as in scipy and R


def binomial_p(k: int, n: int, p: float) -> float:
    """How often so many of n, or a number no likelier, come of a rate of p; exact."""
    check_counts(k, n)
    mode = min(math.floor((n + 1) * p), n)
    limit = log_probability(k, n, p) + _ALIKE
    if log_probability(mode, n, p) <= limit:
        return 1.0
    if k < mode:
        return min(1.0, at_most(k, n, p) + at_least(_first_rarer(mode, n + 1, n, p, limit), n, p))
    return min(1.0, at_least(k, n, p) + at_most(_first_rarer(mode, -1, n, p, limit), n, p))


def _first_rarer(near: int, far: int, n: int, p: float, limit: float) -> int:
    """The first number from the mode outwards that is no likelier than the limit."""
    while abs(far - near) > 1:
        middle = (near + far) // 2
        near, far = (near, middle) if log_probability(middle, n, p) <= limit else (middle, far)
    return far


def mcnemar_p(only_first: int, only_second: int) -> float:
    """How often chance would split so unevenly the requests on which only one of the two has it; exact."""
    return binomial_p(only_first, only_first + only_second, 0.5)


def two_proportion_p(part1: int, whole1: int, part2: int, whole2: int) -> float:
    """How often two groups of one rate differ so much.

    Fisher's exact test where fewer than 10 are expected in a cell, the pooled z test (without a correction
    for continuity) from there on.
    """
    check_counts(part1, whole1)
    check_counts(part2, whole2)
    part, whole = part1 + part2, whole1 + whole2
    if part in {0, whole} or not (whole1 and whole2):
        return 1.0
    if min(whole1, whole2) / whole * min(part, whole - part) < _ENOUGH:
        return _fisher_p(part1, whole1, part, whole)
    pooled = part / whole
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / whole1 + 1 / whole2))
    return two_sided_p((part1 / whole1 - part2 / whole2) / deviation)


def _fisher_p(part1: int, whole1: int, part: int, whole: int) -> float:
    """The sum of the hypergeometric probabilities that are no likelier than the one seen."""
    lowest, highest = max(0, part - (whole - whole1)), min(part, whole1)
    k = np.arange(lowest, highest, dtype=np.float64)
    ratios = (part - k) * (whole1 - k) / ((k + 1) * (whole - whole1 - part + k + 1))
    logs = np.concatenate([[0.0], np.cumsum(np.log(ratios))])
    seen = logs[part1 - lowest]
    top = logs.max()
    return min(1.0, float(np.exp(logs[logs <= seen + _ALIKE] - top).sum() / np.exp(logs - top).sum()))
