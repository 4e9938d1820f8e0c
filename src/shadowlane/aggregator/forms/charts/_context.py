"""What the figures rest on: features, freshness, and the days with requests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from markupsafe import Markup

from shadowlane.aggregator.forms.charts._frame import HEIGHT, WIDTH, Frame, Picture, around, shares
from shadowlane.aggregator.forms.charts._svg import line, mark, picture, rectangle, text
from shadowlane.aggregator.forms.charts._whiskers import Row, dot_of, whiskers
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import DayCoverage, Slice
from shadowlane.visible import visible

_MOST_FEATURES = 12
_MOST_WEEKS = 26
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HOURS = 24
_LABEL = 58.0  # the room that a week's label takes
#: The shades of the calendar: from so many of a day's hours with requests on.
_SHADES = ((24, "full"), (12, "half"), (1, "some"))


def balance(report: Report) -> Iterator[Picture]:
    """What came of all observed requests, and of the delivered ones."""
    ledger, found = report.ledger, report.completeness
    if not ledger or not ledger.observed:
        return
    lost = sum(ledger.dropped.values()) + ledger.failed
    observed = [
        ("good", "delivered", ledger.delivered),
        ("quiet", "sampled out", ledger.sampled_out),
        ("open", "the primary failed", ledger.primary_failed),
        ("bad", "dropped or not delivered", lost),
    ]
    yield _bar("balance-observed", "Of all observed", observed)
    if found and found.unexplained is not None:
        delivered = [
            ("good", "compared", report.compared),
            ("bad", "errored", report.errored),
            ("quiet", "on their way", found.pending or 0),
            ("open", "in no count", found.unexplained),
        ]
        yield _bar("balance-delivered", "Of all delivered", delivered)


def _bar(key: str, title: str, parts: Sequence[tuple[str, str, int]]) -> Picture:
    """Counts as parts of one bar, in the order of the legend."""
    shown = [each for each in parts if each[2] > 0]
    whole, at, bars = sum(count for *_, count in shown) or 1, 0.0, []
    for kind, _, count in shown:
        width = WIDTH * count / whole
        bars.append(rectangle(at, 0, max(width - 1, 1.0), 16, f"bar {kind}"))
        at += width
    legend = tuple((kind, f"{count:,} {name}") for kind, name, count in shown)
    described = "; ".join(said for _, said in legend)
    return Picture(title, legend, picture(key, title, described, bars, WIDTH, 16))


def features(report: Report) -> Iterator[Picture]:
    """The features that are missing most often."""
    found = [each for each in report.features.features if each.missing.part] if report.features else []
    rows = [Row(visible(each.name, 40), dot_of(each.missing, "failed")) for each in found[:_MOST_FEATURES]]
    drawing = whiskers("features-missing", "Missing, of all requests", rows, lines=[(0.0, "zero")])
    if drawing:
        yield Picture("Missing, of all requests", (("failed", "rate and interval"),), drawing)


def freshness(report: Report) -> Iterator[Picture]:
    """Agreement by hour of day, and by replay lag."""
    found = report.freshness
    if not found:
        return
    if any(each.agreement.value is not None for each in found.by_hour):
        yield _by_hour(found.by_hour, report.agreement_rate)
    rows = [Row(visible(each.name, 40), dot_of(each.agreement, "rate")) for each in found.by_lag]
    whole = report.agreement_rate
    lines = [(whole, "whole")] if whole is not None else []
    title = "Agreement by replay lag"
    drawing = whiskers("freshness-lag", title, rows, lines=lines)
    if drawing:
        yield Picture(title, (("rate", "rate and interval"), ("whole", "over all")), drawing)


def _by_hour(slices: Sequence[Slice], whole: float | None) -> Picture:
    slices = slices[:_HOURS]
    known = [(place, each.agreement) for place, each in enumerate(slices) if each.agreement.value is not None]
    values = [rate.value for _, rate in known if rate.value is not None]
    values += [end for _, rate in known if rate.interval for end in (rate.interval.low, rate.interval.high)]
    low, high = around([*values, *([whole] if whole is not None else [])])
    frame = Frame(left=-0.5, right=len(slices) - 0.5, low=low, high=high)
    parts = [frame.y_axis(shares(low, high), 5), _hours(frame, slices)]
    if whole is not None:
        parts.append(line(frame.margin_left, frame.y(whole), frame.far, frame.y(whole), "whole"))
    for place, rate in known:
        x = frame.x(place)
        if rate.interval:
            parts.append(line(x, frame.y(rate.interval.low), x, frame.y(rate.interval.high), "whisker rate"))
        parts.append(mark(x, frame.y(rate.value or 0.0), "rate"))
    worst = min(known, key=lambda each: each[1].value or 0.0)
    title = "Agreement by hour of day (UTC)"
    described = f"Lowest at {visible(slices[worst[0]].name, 40)}: {_values.percent(worst[1].value)}."
    drawing = picture("freshness-hours", title, described, parts, WIDTH, HEIGHT)
    return Picture(title, (("rate", "rate and interval"), ("whole", "over all")), drawing)


def _hours(frame: Frame, slices: Sequence[Slice]) -> Markup:
    shown = [(place, each) for place, each in enumerate(slices) if place % 6 == 0]
    return Markup().join(
        text(frame.x(place), frame.floor + 18, visible(each.name, 8), "middle") for place, each in shown
    )


def coverage(report: Report) -> Iterator[Picture]:
    """A calendar: a column a week, a cell a day, the darker the more of its hours have requests."""
    found = report.coverage
    if not found or not found.days:
        return
    days = {each.day: each for each in found.days}
    last = max(days)
    first = max(min(days), last - timedelta(weeks=_MOST_WEEKS - 1))
    monday = first - timedelta(days=first.weekday())
    weeks = (last - monday).days // 7 + 1
    size = min(34.0, 360.0 / weeks)
    parts = [text(40, 24 + size * (row + 0.5) + 4, name, "end") for row, name in enumerate(_WEEKDAYS)]
    for week in range(weeks):
        start = monday + timedelta(weeks=week)
        if week % max(1, math.ceil(_LABEL / size)) == 0:
            parts.append(text(48 + size * week, 16, f"{start:%b %d}", "start"))
        parts += [
            _day(days.get(day), 48 + size * week, 24 + size * row, size)
            for row, day in enumerate(start + timedelta(days=each) for each in range(7))
            if first <= day <= last
        ]
    title = "Days with requests"
    described = f"{_values.many(len(found.days), 'day')}, {found.hours_of_week} of the week's 168 hours."
    drawing = picture("coverage-days", title, _cut(described, first, min(days)), parts, WIDTH, 30 + size * 7)
    legend = (("full", "all 24 hours"), ("half", "12 to 23"), ("some", "1 to 11"), ("none", "no request"))
    return_title = f"{title}, the last {_MOST_WEEKS} weeks" if first > min(days) else title
    yield Picture(return_title, legend, drawing)


def _cut(described: str, first: date, earliest: date) -> str:
    return f"{described} Drawn from {first:%Y-%m-%d} on." if first > earliest else described


def _day(day: DayCoverage | None, x: float, y: float, size: float) -> Markup:
    hours = day.hours if day else 0
    kind = next((shade for least, shade in _SHADES if hours >= least), "none")
    return rectangle(x + 1, y + 1, size - 2, size - 2, f"bar {kind}")
