"""How many figures fell below each of some bounds, and what they add up to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: From 50 µs, a small model's time, to 30 s, the time limit of a call.
SECONDS = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
SIZES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0)


@dataclass(slots=True)
class Histogram:
    """Plain numbers, so that it can be sent to another process and added up."""

    bounds: tuple[float, ...]
    #: How many are at or below each bound and above the one before; the last are above them all.
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def add(self, values: np.ndarray[Any, Any]) -> None:
        """Take these in, all at one stroke; what is no figure is left out."""
        values = values[np.isfinite(values)]
        places = np.searchsorted(self.bounds, values)
        found = np.bincount(places, minlength=len(self.counts)).tolist()
        self.counts = [before + more for before, more in zip(self.counts, found, strict=True)]
        self.total += float(values.sum())

    def add_one(self, value: float) -> None:
        """Take this one in."""
        self.add(np.array([value]))

    def merge(self, other: Histogram) -> None:
        """Take in all that another one has."""
        self.counts = [ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total
