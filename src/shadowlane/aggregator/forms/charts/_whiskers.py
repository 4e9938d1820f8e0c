"""Rates with their intervals, a row each, the whole as a line through all: dot and whisker."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from shadowlane.aggregator.forms.charts._frame import WIDTH, Frame, around, shares, ticks
from shadowlane.aggregator.forms.charts._svg import line, mark, picture, text
from shadowlane.aggregator.report.figures import Interval, Rate
from shadowlane.visible import visible

_ROW, _ROW_OF_TWO = 22.0, 30.0
_TOP = 20.0
_NAMES = 104.0
_LETTERS = 15
_MOST_ROWS = 60


class Dot(NamedTuple):
    """A value with its interval, where there is one."""

    value: float
    low: float
    high: float
    kind: str


class Row(NamedTuple):
    """What a row is called, and its dots."""

    name: str
    dots: tuple[Dot, ...]


def dot_of(rate: Rate | None, kind: str) -> tuple[Dot, ...]:
    """A rate's dot; none of what has no value."""
    if rate is None or rate.value is None:
        return ()
    return (dot(rate.value, rate.interval, kind),)


def dot(value: float, interval: Interval | None, kind: str) -> Dot:
    """A value's dot; without an interval the whisker has no length."""
    return Dot(value, interval.low if interval else value, interval.high if interval else value, kind)


def whiskers(
    key: str,
    title: str,
    rows: Sequence[Row],
    *,
    lines: Sequence[tuple[float, str]] = (),
    write: Callable[[float], str] | None = None,
    within: tuple[float, float] = (0.0, 1.0),
) -> Markup | None:
    """The picture; None where no row has a value. `lines` are values with the sign that marks them."""
    rows = [row for row in rows[:_MOST_ROWS] if any(math.isfinite(each.value) for each in row.dots)]
    if not rows:
        return None
    ends = [end for row in rows for each in row.dots for end in (each.low, each.high)]
    low, high = around(
        [*(end for end in ends if math.isfinite(end)), *(value for value, _ in lines)], *within
    )
    height = _ROW_OF_TWO if any(len(row.dots) > 1 for row in rows) else _ROW
    frame = Frame(
        left=low,
        right=high,
        height=_TOP + height * len(rows) + 24,
        margin_left=_NAMES,
        margin_top=_TOP,
        margin_bottom=24,
        margin_right=22,
    )
    said = write or shares(low, high)
    parts = [_axis(frame, said)]
    parts += [line(frame.x(value), _TOP - 8, frame.x(value), frame.floor, sign) for value, sign in lines]
    for place, row in enumerate(rows):
        parts.append(_drawn(frame, row, _TOP + height * (place + 0.5)))
    described = "; ".join(
        f"{row.name}: {' and '.join(said(each.value) for each in row.dots)}" for row in rows[:12]
    )
    return picture(key, title, described, parts, WIDTH, frame.height)


def _axis(frame: Frame, write: Callable[[float], str]) -> Markup:
    found = ticks(frame.left, frame.right, 4)
    parts = [line(frame.x(tick), _TOP - 8, frame.x(tick), frame.floor, "grid") for tick in found]
    parts += [text(frame.x(tick), frame.floor + 16, write(tick), "middle") for tick in found]
    return Markup().join(parts)


def _drawn(frame: Frame, row: Row, middle: float) -> Markup:
    parts = [text(_NAMES - 8, middle + 4, visible(row.name, _LETTERS), "end", "label")]
    for place, each in enumerate(row.dots):
        y = middle + (place - (len(row.dots) - 1) / 2) * 11
        parts.append(line(frame.x(each.low), y, frame.x(each.high), y, f"whisker {each.kind}"))
        parts.append(mark(frame.x(each.value), y, each.kind, 3.5 if len(row.dots) > 1 else 4.5))
    return Markup().join(parts)
