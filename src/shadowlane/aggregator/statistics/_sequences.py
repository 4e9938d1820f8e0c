"""Intervals that stay right however often one looks, and whenever one stops: confidence sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.statistics._beta import log_kernel
from shadowlane.aggregator.statistics._normal import outside
from shadowlane.aggregator.statistics._rates import check_counts

_SETTLED_NEVER = 1e15  # requests: no one will see so many


def log_evidence(part: float, whole: float, bound: float, prior: tuple[float, float] = (1, 1)) -> float:
    """The logarithm of how much better a mixture of all rates explains the counts than this one rate.

    Its exponential is a martingale that starts at 1 if this is the rate, so over all time it reaches 20 with
    a probability of at most 1/20 (Ville). It is the prior's density at this rate over the posterior's.
    """
    a, b = prior
    if bound <= 0 or bound >= 1:
        impossible = part if bound <= 0 else whole - part
        return math.inf if impossible else 0.0
    rest = 1 - bound
    return log_kernel(a, b, bound, rest) - log_kernel(a + part, b + whole - part, bound, rest)


def beta_binomial_sequence(
    part: float, whole: float, level: float, prior: tuple[float, float] = (1, 1)
) -> tuple[float, float]:
    """Where a rate lies, valid at every look at once: the beta-binomial mixture (Robbins 1970).

    Over a whole stream of requests, the chance that it ever leaves out the rate is at most `1 - level`. That
    holds for requests that do not depend on each other; where they cluster by user, see `clustered_sequence`.
    A prior centred where the rate is expected makes it narrower there; it must be chosen before the data.
    """
    check_counts(part, whole)
    evidence = -math.log(outside(level))
    return (
        _lower(part, whole, evidence, prior),
        1 - _lower(whole - part, whole, evidence, (prior[1], prior[0])),
    )


def _lower(part: float, whole: float, evidence: float, prior: tuple[float, float]) -> float:
    """The smallest rate that has not this much evidence against it."""
    if part <= 0:
        return 0.0
    rate = part / whole
    low = rate * (1 - min(0.5, 4 * (math.sqrt((1 - rate) / part) + 1 / whole)))
    while (against := log_evidence(part, whole, low, prior)) < evidence:
        low = max(2 * low - rate, low / 2)
    # The evidence is a convex function of the rate, so that Newton's steps from below never go too far.
    while low > 0 and against > evidence:
        nearer = low + (against - evidence) / (part / low - (whole - part) / (1 - low))
        if not low < nearer < rate:
            break
        low, against = nearer, log_evidence(part, whole, nearer, prior)
    return low


def sequence_n_needed(part: float, whole: float, bound: float, level: float) -> int | None:
    """How many more requests would settle on which side of the bound the rate is, if it stays as it is.

    0 where it is settled; None where the rate is the bound, or so near that no traffic would settle it.
    """
    check_counts(part, whole)
    if whole == 0 or (needed := samples_to_settle(part / whole, bound, level)) is None:
        return None
    return max(0, needed - math.floor(whole))


def samples_to_settle(p: float, bound: float, level: float) -> int | None:
    """How many requests with a rate of p the beta-binomial sequence needs to exclude the bound, or None.

    Of streams with that rate, chance lets more than half settle it earlier.
    """
    evidence = -math.log(outside(level))

    def settled(whole: float) -> bool:
        return log_evidence(p * whole, whole, bound) >= evidence

    high = 1
    while not settled(high):
        high *= 2
        if high > _SETTLED_NEVER:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return high


def bounded_mean_sequence(values: Sequence[float] | NDArray[np.float64], level: float) -> tuple[float, float]:
    """Where the mean of values in [0, 1] lies, valid at every look at once, whatever their distribution.

    By betting (Waudby-Smith and Ramdas 2024): a mean is excluded once a gambler who bets that it is wrong has
    multiplied his money by `1 / (1 - level)`. The values must be in the order in which they came, and each
    must have that mean given those before it: users in the order of their first requests, say. It goes over
    the values some 60 times.
    """
    x = np.asarray(values, np.float64)
    if not np.all((x >= 0) & (x <= 1)):  # also where one is NaN
        raise ValueError("the mean's sequence is for values between 0 and 1: scale them first")
    if not len(x):
        return 0.0, 1.0
    wealth = math.log(2) - math.log(outside(level))  # half of the money is on each side
    bets = _bets(x, wealth)
    mean = float(x.mean())  # part of it in any case: if values drift, both sides could be ruled out
    return min(_lower_mean(x, bets, wealth), mean), max(1 - _lower_mean(1 - x, bets, wealth), mean)


def _bets(x: NDArray[np.float64], wealth: float) -> NDArray[np.float64]:
    """How much to bet on each value, from those before it."""
    seen = np.arange(1, len(x) + 1)
    means = (0.5 + np.cumsum(x)) / (seen + 1)
    variances = (0.25 + np.cumsum((x - means) ** 2)) / (seen + 1)
    known = np.concatenate([[0.25], variances[:-1]])
    stakes: NDArray[np.float64] = np.sqrt(2 * wealth / (known * seen * np.log1p(seen)))
    return stakes


def _lower_mean(x: NDArray[np.float64], bets: NDArray[np.float64], wealth: float) -> float:
    """The smallest mean that the gambler has not ruled out; he never stakes more than half of his money."""
    low, high = 0.0, 1.0
    while high - low > 1e-9:  # noqa: PLR2004 - finer than any mean is known
        middle = (low + high) / 2
        gained = float(np.sum(np.log1p(np.minimum(bets, 0.5 / middle) * (x - middle))))
        low, high = (middle, high) if gained >= wealth else (low, middle)
    return low
