"""The bins that both models' scores are counted in."""

from __future__ import annotations

import math

import numpy as np

#: How many bins both models' scores are counted in.
BINS = 50

#: How percentiles are read off: between the two nearest rows, in proportion.
QUANTILE_METHOD = "linear (Hyndman and Fan 7, as numpy.quantile)"


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
