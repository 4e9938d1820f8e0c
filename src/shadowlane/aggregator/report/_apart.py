"""How far apart two samples of values are: sorted where they are few, else from counts in narrow buckets."""

from __future__ import annotations

import math

import numpy as np

from shadowlane.aggregator.report._ranked import Ranked
from shadowlane.aggregator.statistics import kolmogorov_smirnov, wasserstein

#: Up to so many values, of both together, are sorted.
FEW = 1 << 21


def apart(one: Ranked, other: Ranked, few: int = FEW) -> tuple[float | None, float | None]:
    """The Kolmogorov-Smirnov statistic and the Wasserstein distance, of values in the same buckets.

    Sorting ten million would take longer than all the rest of the report. Counted in buckets, the first is
    short by no more than the share of values in one of them, and the second by about their width.
    """
    if not (one.count and other.count):
        return None, None
    with np.errstate(over="ignore", invalid="ignore"):
        if one.count + other.count <= few:
            both = one.sorted(), other.sorted()
            most, distance = kolmogorov_smirnov(*both), wasserstein(*both)
        else:
            most, distance = _counted(one, other)
    # Beyond what a float can say there is no distance to tell.
    return most, distance if distance is not None and math.isfinite(distance) else None


def _counted(one: Ranked, other: Ranked) -> tuple[float, float]:
    """From the counts alone, as if the values of a bucket were spread evenly over it."""
    ends = one.ends / one.count - other.ends / other.count
    lowest = min(each.at([0])[0] for each in (one, other))
    highest = max(each.at([each.count - 1])[each.count - 1] for each in (one, other))
    # Below the lowest and above the highest value the shares are the same.
    first, last = (one.buckets.place(value) for value in (lowest, highest))
    edges = one.buckets.starts(np.arange(first, last + 2))
    edges[0], edges[-1] = lowest, highest
    starts = np.concatenate([[0.0], ends[first:last]])
    middle = np.abs((starts + ends[first : last + 1]) / 2)
    return float(np.abs(ends).max()), float(np.dot(middle, np.diff(edges)))
