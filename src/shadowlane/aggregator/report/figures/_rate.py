"""A share of requests, with the interval that says how well it is known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Where a figure lies with this confidence."""

    low: float
    high: float
    level: float
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many of so many; no value and no interval of nothing."""

    part: int
    whole: int
    value: float | None
    interval: Interval | None
