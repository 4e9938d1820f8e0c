"""The figures' formulas: pure functions of counts. Each is held to another library's in the tests."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: How many bins both models' scores are counted in.
BINS = 50

#: How percentiles are read off: between the two nearest rows, in proportion.
QUANTILE_METHOD = "linear (Hyndman and Fan 7, as numpy.quantile)"


def rate(part: int, whole: int) -> float | None:
    """The share of the whole, or None of nothing."""
    return part / whole if whole else None


def jensen_shannon(primary: Sequence[int], shadow: Sequence[int]) -> float | None:
    """How far apart two distributions are, from counts over the same bins.

    It is the Jensen-Shannon *distance*: the square root of the divergence, with the natural logarithm,
    so from 0 (the same) to 0.8326 (nothing in common). None where either model has no counts.
    """
    p, q = np.asarray(primary, np.float64), np.asarray(shadow, np.float64)
    if not (p.sum() and q.sum()):
        return None
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return math.sqrt(max(divergence, 0.0))


def _relative_entropy(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    some = p > 0
    return float(np.sum(p[some] * np.log(p[some] / q[some])))


def bin_edges(lowest: float, highest: float) -> tuple[float, ...]:
    """The edges of the bins that share out a range evenly; the last bin holds its upper edge too."""
    with np.errstate(over="ignore", invalid="ignore"):
        edges = np.linspace(lowest, highest, BINS + 1)
        if not np.all(np.isfinite(edges)):  # a range wider than a float can say: its half cannot be
            edges = np.linspace(lowest / 2, highest / 2, BINS + 1) * 2
            edges[0], edges[-1] = lowest, highest
    if np.any(np.diff(edges) <= 0):
        # One value, or values too close to be told apart: all of them belong in one bin.
        wider = lowest + max(1.0, abs(lowest) / 1000)
        edges = np.linspace(*((lowest, wider) if math.isfinite(wider) else (lowest / 2, highest)), BINS + 1)
    return tuple(float(edge) for edge in edges)
