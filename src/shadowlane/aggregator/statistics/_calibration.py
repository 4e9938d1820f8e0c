"""How good scores are as probabilities of an outcome of 0 or 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Values = Sequence[float] | NDArray[np.float64] | NDArray[np.int64] | NDArray[np.bool_]


def brier(scores: Values, outcomes: Values) -> float | None:
    """The mean squared distance of the score from the outcome; None of nothing."""
    score, outcome = np.asarray(scores, np.float64), np.asarray(outcomes, np.float64)
    return float(np.mean((score - outcome) ** 2)) if len(score) else None


def calibration(
    scores: Values, outcomes: Values, bins: int = 15
) -> tuple[float | None, tuple[tuple[int, float, float], ...]]:
    """The expected calibration error, and the bins it comes from: (requests, mean score, rate of outcomes).

    The bins hold about as many requests each; requests with one score are never parted, so there may be
    fewer bins. The error is a mean of absolute values, so it is above 0 for perfect scores too: about
    0.8 * sqrt(bins * p * (1 - p) / n).
    """
    score, outcome = np.asarray(scores, np.float64), np.asarray(outcomes, np.float64)
    if not len(score):
        return None, ()
    ends = (len(score) - 1) * np.arange(1, bins) // bins
    where = np.searchsorted(np.partition(score, ends)[ends], score)
    many = np.bincount(where, minlength=bins)
    some = many > 0
    promised = np.bincount(where, score, bins)[some] / many[some]
    came = np.bincount(where, outcome, bins)[some] / many[some]
    error = float(np.dot(many[some] / len(score), np.abs(promised - came)))
    return error, tuple(zip(many[some].tolist(), promised.tolist(), came.tolist(), strict=True))
