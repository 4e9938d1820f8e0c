"""p-values corrected for how many were looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted so that the chance of even one false alarm stays below the limit (Holm 1979). No NaN."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return _put_back(steps, order)


def benjamini_hochberg(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted so that of the alarms, at most this share is false (Benjamini and Hochberg 1995). No NaN."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    steps = p[order] * (len(p) / np.arange(1, len(p) + 1))
    return _put_back(np.minimum.accumulate(steps[::-1])[::-1], order)


def _put_back(steps: NDArray[np.float64], order: NDArray[np.intp]) -> NDArray[np.float64]:
    adjusted = np.empty(len(steps))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted
