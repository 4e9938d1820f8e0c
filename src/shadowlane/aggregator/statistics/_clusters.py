"""Rates of requests that come in clusters: a user's requests are more alike than two users' are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.statistics._normal import deviations, student_deviations
from shadowlane.aggregator.statistics._rates import score_interval
from shadowlane.aggregator.statistics._sequences import beta_binomial_sequence

Counts = Sequence[float] | NDArray[np.float64] | NDArray[np.int64]


def design_effect(parts: Counts, wholes: Counts) -> float | None:
    """By how much clusters multiply the variance of the rate; the requests are worth that much fewer.

    None where it cannot be said: fewer than two clusters, or a rate of 0 or 1.
    """
    part, whole = _clusters(parts, wholes)
    n, p = whole.sum(), part.sum() / max(whole.sum(), 1)
    if len(whole) < 2 or not 0 < p < 1:  # noqa: PLR2004 - one cluster shows nothing of others
        return None
    return float(_squares(part, whole) / (n * p * (1 - p)))


def _clusters(parts: Counts, wholes: Counts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    part, whole = np.asarray(parts, np.float64), np.asarray(wholes, np.float64)
    if not np.all((part >= 0) & (part <= whole)):
        raise ValueError("a cluster's part lies between 0 and its whole: look at the order of the arguments")
    return part[whole > 0], whole[whole > 0]


def _squares(part: NDArray[np.float64], whole: NDArray[np.float64]) -> float:
    """The sum over the clusters of how far each is from what the rate leads one to expect, squared."""
    clusters = len(whole)
    return float(np.sum((part - whole * (part.sum() / whole.sum())) ** 2)) * clusters / (clusters - 1)


def _cautious_effect(part: NDArray[np.float64], whole: NDArray[np.float64]) -> float:
    """The design effect, which a handful of events cannot make out to be small.

    It starts where all requests of a user are alike, and the data have as much say as they have events.
    """
    n, p = whole.sum(), part.sum() / whole.sum()
    all_alike = float(np.sum(whole * whole) / n)
    events = n * p * (1 - p)
    return float(max(1.0, (_squares(part, whole) + all_alike) / (events + 1)))


def clustered_rate_interval(parts: Counts, wholes: Counts, level: float) -> tuple[float, float]:
    """Where the rate of requests lies, from each cluster's counts, for one look."""
    part, whole = _clusters(parts, wholes)
    if len(whole) < 2:  # noqa: PLR2004 - one cluster shows nothing of others
        return 0.0, 1.0
    effect = _cautious_effect(part, whole)
    return score_interval(
        part.sum() / effect, whole.sum() / effect, student_deviations(level, len(whole) - 1)
    )


def clustered_sequence(parts: Counts, wholes: Counts, level: float) -> tuple[float, float]:
    """Where the rate of requests lies when they cluster by user, however often one looks."""
    part, whole = _clusters(parts, wholes)
    if len(whole) < 2:  # noqa: PLR2004 - one cluster shows nothing of others
        return 0.0, 1.0
    few = (student_deviations(level, len(whole) - 1) / deviations(level)) ** 2
    effect = _cautious_effect(part, whole) * few
    plain = beta_binomial_sequence(part.sum(), whole.sum(), level)
    wide = beta_binomial_sequence(part.sum() / effect, whole.sum() / effect, level)
    return min(plain[0], wide[0]), max(plain[1], wide[1])
