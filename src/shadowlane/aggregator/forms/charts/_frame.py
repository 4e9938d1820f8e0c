"""The frame of a picture: where values lie in it, and its axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from shadowlane.aggregator.forms.charts._svg import line, text

WIDTH, HEIGHT = 420.0, 240.0
_ROUND = 1e-9
_FAR = 2.0  # widths of the values' own range
#: A unit of time, how many of it a millisecond is, and from how many milliseconds on an axis is in it.
_UNITS = (("s", 0.001, 10_000.0), ("ms", 1.0, 0.02), ("µs", 1e3, 1e-4), ("ns", 1e6, 0.0))


class Picture(NamedTuple):
    """A drawing, what it is called, and which of its signs means what."""

    title: str
    legend: tuple[tuple[str, str], ...]  # (kind of sign, meaning)
    drawing: Markup


MODELS = (("primary", "primary"), ("shadow", "shadow"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Values from `low` to `high` go from the floor to the top; `left` to `right` across."""

    left: float = 0.0
    right: float = 1.0
    low: float = 0.0
    high: float = 1.0
    width: float = WIDTH
    height: float = HEIGHT
    margin_left: float = 66.0
    margin_right: float = 14.0
    margin_top: float = 12.0
    margin_bottom: float = 30.0

    @property
    def floor(self) -> float:
        """Where the lowest values lie."""
        return self.height - self.margin_bottom

    @property
    def far(self) -> float:
        """Where the values furthest to the right lie."""
        return self.width - self.margin_right

    def x(self, value: float) -> float:
        """Across. What is outside is drawn at the edge."""
        return self.margin_left + _share(value, self.left, self.right) * (self.far - self.margin_left)

    def y(self, value: float) -> float:
        """From the top down, as SVG counts."""
        return self.floor - _share(value, self.low, self.high) * (self.floor - self.margin_top)

    def y_axis(self, write: Callable[[float], str], most: int = 6) -> Markup:
        """Lines across at round values, and what they mean at the left."""
        parts = []
        for tick in ticks(self.low, self.high, most):
            y = self.y(tick)
            parts.append(line(self.margin_left, y, self.far, y, "grid"))
            parts.append(text(self.margin_left - 6, y + 4, write(tick), "end"))
        return Markup().join(parts)

    def x_labels(self, labels: Sequence[tuple[float, str]]) -> Markup:
        """What values mean, below; the outermost stay within the picture."""
        parts = []
        for place, (value, said) in enumerate(labels):
            anchor = "start" if place == 0 else "end" if place == len(labels) - 1 else "middle"
            parts.append(text(self.x(value), self.floor + 18, said, anchor))
        return Markup().join(parts)


def _share(value: float, low: float, high: float) -> float:
    # Halves, since the width of a range of floats may be none.
    width = high / 2 - low / 2
    share = (value / 2 - low / 2) / width if width else 0.5
    return min(1.0, max(0.0, share)) if math.isfinite(share) else 0.0


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values in a range, as close as there may be so many of them."""
    width = high - low
    if not (math.isfinite(width) and width > 0):
        return [low]
    coarse = 10.0 ** math.ceil(math.log10(width))
    steps = [coarse / finer for finer in (100.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0)]
    for step in steps:
        first, last = math.ceil(low / step - _ROUND), math.floor(high / step + _ROUND)
        if 1 <= last - first + 1 <= most:
            return [step * n for n in range(first, last + 1)]
    return [low]


def fifths(edges: Sequence[float]) -> list[tuple[float, str]]:
    """Five labels, evenly apart from the first to the last value."""
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    return [(value, f"{value:.3g}") for value in (edges[0] * (1 - s) + edges[-1] * s for s in shares)]


def duration(top: float) -> Callable[[float], str]:
    """How an axis writes milliseconds: in a unit that keeps its labels short, and so on the picture."""
    unit, factor = next((unit, factor) for unit, factor, least in _UNITS if top >= least)
    return lambda ms: f"{ms * factor:.4g} {unit}"


def shares(low: float, high: float) -> Callable[[float], str]:
    """How an axis writes shares: with the decimals that its steps need, and no more."""
    width = max(high - low, 1e-9) * 100
    decimals = min(6, max(0, 1 - math.floor(math.log10(width))))
    return lambda share: f"{share * 100:.{decimals}f} %"


def in_view(limit: float | None, values: Sequence[float]) -> bool:
    """Whether a limit is near enough to be drawn: one far off would press all values into a corner."""
    if limit is None or not values:
        return False
    low, high = min(values), max(values)
    width = high - low
    return low - _FAR * width <= limit <= high + _FAR * width


def limit_sign(limit: float | None, *, is_drawn: bool) -> list[tuple[str, str]]:
    """What a legend says of a policy's limit; where there is none, nothing."""
    if limit is None:
        return []
    return [
        ("limit", "the policy's limit" if is_drawn else f"the policy's limit, {limit * 100:g} %, is far off")
    ]


def around(values: Sequence[float], low: float = 0.0, high: float = 1.0) -> tuple[float, float]:
    """A range that holds all values with some room, within these ends."""
    bottom, top = min(values), max(values)
    room = (top - bottom) * 0.08 or max(abs(top) * 0.05, 1e-6)
    return max(low, bottom - room), min(high, top + room)
