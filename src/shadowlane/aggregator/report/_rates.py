"""Rates and intervals as the report holds them."""

from __future__ import annotations

from shadowlane.aggregator.report.figures import Interval, Rate
from shadowlane.aggregator.statistics import rate, wilson

LEVEL = 0.95


def rate_of(part: int, whole: int, level: float = LEVEL) -> Rate:
    """So many of so many, with Wilson's interval."""
    found = interval(wilson(part, whole, level), level, "Wilson") if whole else None
    return Rate(part=part, whole=whole, value=rate(part, whole), interval=found)


def interval(bounds: tuple[float, float] | None, level: float, method: str) -> Interval | None:
    """The interval, where there are bounds."""
    return bounds and Interval(low=bounds[0], high=bounds[1], level=level, method=method)
