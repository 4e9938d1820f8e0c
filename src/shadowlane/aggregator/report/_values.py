"""How values are written for people: numbers that never flatter."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

from shadowlane.aggregator.report.figures import Interval
from shadowlane.schemas import Prediction
from shadowlane.visible import visible

NOTHING = "—"
_MOST_DECIMALS = 12
_WHOLE = 100.0
_HALF = 0.5
_SMALL = 10.0
_TINIEST = 1e-9
_SMALLEST_P = 0.0001


def count(value: int | None) -> str:
    """12,345."""
    return NOTHING if value is None else f"{value:,}"


def many(value: int, noun: str) -> str:
    """1 row, 2 rows."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def unreadable(messages: int) -> str:
    """What is said of messages that could not be decoded, beside the figures that they are not in."""
    return f"{many(messages, 'message')} on the topic; no model was asked, not counted"


def percent(value: float | None, decimals: int = 2) -> str:
    """A rate as 99.12 %. What is not all is never written as 100 %, nor what is not none as 0 %."""
    if value is None:
        return NOTHING
    for places in range(decimals, _MOST_DECIMALS + 1):
        text = f"{value * 100:.{places}f}"
        if (value == 1 or float(text) != _WHOLE) and (value == 0 or float(text) != 0):
            return f"{text} %"
    return "under 100 %" if value > _HALF else "over 0 %"


def points(value: float | None, decimals: int = 2) -> str:
    """A difference of two rates as +1.20 points; one that is not none is never written as 0."""
    if value is None:
        return NOTHING
    for places in range(decimals, _MOST_DECIMALS + 1):
        text = f"{value * 100:+.{places}f}"
        if value == 0 or float(text) != 0:
            return f"{text} points"
    return "over 0 points" if value > 0 else "under 0 points"


def p_value(value: float | None) -> str:
    """0.0312; the smallest only as smaller than any that matters."""
    if value is None:
        return NOTHING
    return "<0.0001" if value < _SMALLEST_P else f"{value:.4f}"


def signed(value: float | None) -> str:
    """A difference of any size, in four digits and with its sign."""
    return NOTHING if value is None else f"{value:+,.4g}"


def signed_milliseconds(value: float | None) -> str:
    """+5.10 ms."""
    return NOTHING if value is None else ("-" if value < 0 else "+") + milliseconds(abs(value))


def between(interval: Interval | None, write: Callable[..., str]) -> str:
    """Both ends of an interval: 94.69 to 95.29 %."""
    if interval is None:
        return NOTHING
    low, high = write(interval.low), write(interval.high)
    unit = high.partition(" ")[2]
    return f"{low.removesuffix(f' {unit}')} to {high}"


def lag(milliseconds: float | None) -> str:
    """A length of time that may be days: 850 ms, 12.4 s, 2.0 h."""
    if milliseconds is None:
        return NOTHING
    units = ((86_400_000, "days"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))
    for size, name in units:
        if abs(milliseconds) >= size:
            return f"{milliseconds / size:,.1f} {name}"
    return f"{milliseconds:,.0f} ms"


def seconds(value: int) -> str:
    """A length of time in the largest unit that it is a whole number of: 1 hour, 90 minutes."""
    for unit, name in ((604_800, "week"), (86_400, "day"), (3_600, "hour"), (60, "minute")):
        if value and value % unit == 0:
            return many(value // unit, name)
    return many(value, "second")


def milliseconds(value: float | None, decimals: int = 1) -> str:
    """1,234.5 ms; a small one gets three digits that say something."""
    if value is None:
        return NOTHING
    if 0 < value < _SMALL:
        decimals = max(decimals, 2 - math.floor(math.log10(value)) if value > _TINIEST else _MOST_DECIMALS)
    return f"{value:,.{decimals}f} ms"


def distance(value: float | None, decimals: int = 4) -> str:
    """0.0123."""
    return NOTHING if value is None else f"{value:.{decimals}f}"


def apart(value: float, bound: float, write: Callable[..., str]) -> tuple[str, str]:
    """A value and its bound, the value with as many decimals as it takes to tell the two apart."""
    limit = shortest(bound, write)
    for decimals in (None, *range(3, _MOST_DECIMALS)):
        written = write(value) if decimals is None else write(value, decimals)
        if value == bound or abs(_number_in(written) - _number_in(limit)) > 0:
            return written, limit
    return repr(value), repr(bound)


def shortest(bound: float, write: Callable[..., str]) -> str:
    """A bound with no more decimals than it has: 90 %, 0.1 %, 100 ms."""
    written = (write(bound, decimals) for decimals in range(_MOST_DECIMALS))
    exact = write(bound, _MOST_DECIMALS)
    return next((text for text in written if _number_in(text) == _number_in(exact)), exact)


def _number_in(written: str) -> float:
    digits = written.partition(" ")[0].replace(",", "")
    return float(digits) if digits[-1].isdigit() else math.nan


def number(value: float | None) -> str:
    """A number of any size, in six digits."""
    return NOTHING if value is None else f"{value:,.6g}"


def moment(value: datetime | None) -> str:
    """2026-03-01 12:00:00 UTC."""
    return NOTHING if value is None else f"{value:%Y-%m-%d %H:%M:%S} UTC"


def prediction(value: Prediction) -> str:
    """What a model answered, in short."""
    parts = [] if value.label is None else [visible(value.label)]
    if value.score is not None:
        parts.append(f"({number(value.score)})" if parts else number(value.score))
    if value.vector is not None:
        parts.append("[" + ", ".join(map(number, value.vector)) + "]")
    if value.ranking is not None:
        parts.append(" > ".join(visible(item, 40) for item in value.ranking))
    return " ".join(parts) or NOTHING
