"""The normal distribution, Student's, and what a level of confidence leaves outside."""

from __future__ import annotations

import math
from statistics import NormalDist

from shadowlane.aggregator.statistics._beta import beta_quantile

_STANDARD = NormalDist()


def outside(level: float) -> float:
    """What an interval of this level leaves out, both sides together: 0.05 of a level of 0.95."""
    if not 0 < level < 1:
        raise ValueError(f"a level of confidence lies between 0 and 1, such as 0.95; this is {level}")
    return 1 - level


def deviations(level: float) -> float:
    """How many standard deviations to each side hold this much of a normal distribution."""
    return -_STANDARD.inv_cdf(outside(level) / 2)


def normal_quantile(p: float) -> float:
    """The point of the standard normal distribution with this much below it."""
    return _STANDARD.inv_cdf(p)


def two_sided_p(z: float) -> float:
    """How often a standard normal value is at least so far from 0."""
    return math.erfc(abs(z) / math.sqrt(2))


def student_deviations(level: float, freedom: float) -> float:
    """How many to each side hold this much of Student's distribution; infinite without freedom."""
    if freedom <= 0:
        return math.inf
    # The share that t's square has in itself and the freedom is a beta variable, and so is the rest.
    share = beta_quantile(outside(level), 0.5, freedom / 2, upper=True)
    rest = 1 - share if share < 0.5 else beta_quantile(outside(level), freedom / 2, 0.5)  # noqa: PLR2004
    return math.sqrt(freedom * share / rest) if rest > 0 else math.inf
