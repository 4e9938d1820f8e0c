"""How well a mean is known."""

from __future__ import annotations

import math

from shadowlane.aggregator.statistics._normal import student_deviations


def mean_interval(mean: float, sd: float, n: int, level: float) -> tuple[float, float]:
    """Where a mean lies, by Student's distribution; without bounds where one value says nothing of the rest.

    `sd` is the sample's standard deviation (its sum of squares over `n - 1`).
    """
    deviations = student_deviations(level, n - 1)
    if math.isinf(deviations):
        return -math.inf, math.inf
    half = deviations * sd / math.sqrt(n)
    return mean - half, mean + half
