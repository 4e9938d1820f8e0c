"""How far apart two models' distributions would be if it made no difference which of them answered.

Both answer the same requests, so tests for two independent samples say too little: for each request, a coin
decides whether the two answers change places, and the statistic is computed again. Each request has a coin of
its own, so where requests cluster by user, chance can do more than these draws show.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_ALIKE = 1e-12  # statistics this near to each other are equal but for rounding

Statistic = Callable[[NDArray[np.int64], NDArray[np.int64]], float | None]


def swap_null(
    joint_counts: NDArray[np.int64], statistic: Statistic, draws: int = 200, seed: int = 0
) -> NDArray[np.float64]:
    """The statistic of so many draws in which each request's two answers change places or not.

    `joint_counts[i, j]` is how many requests have the primary's answer in bin i and the shadow's in bin j.
    Of the requests in two bins, a binomial number swaps: a draw costs what the table does, not the requests.
    """
    joint = np.asarray(joint_counts, np.int64)
    primary, shadow = joint.sum(axis=1), joint.sum(axis=0)
    one, other = np.nonzero(np.triu(joint + joint.T, 1))
    there, back = joint[one, other], joint[other, one]
    rng = np.random.default_rng(seed)
    found = np.empty(draws)
    for draw in range(draws):
        moved = rng.binomial(there + back, 0.5) - there  # more from the one bin to the other than was seen
        net = np.zeros_like(primary)
        np.add.at(net, one, moved)
        np.subtract.at(net, other, moved)
        value = statistic(primary + net, shadow - net)
        found[draw] = np.nan if value is None else value
    return found


def permutation_p(observed: float, null: NDArray[np.float64]) -> float:
    """How often the draws come to at least what was seen; never 0, since what was seen is one draw more."""
    reached = np.count_nonzero(null >= observed - _ALIKE * max(1.0, abs(observed)))
    return float((reached + 1) / (len(null) + 1))
