"""Agreement and errors over time, and the agreement that other tolerances would give."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from markupsafe import Markup

from shadowlane.aggregator.forms._thin import merged, spread
from shadowlane.aggregator.forms.charts._frame import (
    HEIGHT,
    WIDTH,
    Frame,
    Picture,
    around,
    in_view,
    limit_sign,
    shares,
)
from shadowlane.aggregator.forms.charts._svg import line, mark, path, picture
from shadowlane.aggregator.forms.charts._whiskers import Row, dot_of, whiskers
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._rates import LEVEL
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import Agreement, Rate, TimePoint
from shadowlane.aggregator.statistics import wilson
from shadowlane.visible import visible

_MOST_POINTS = 120
_FEW_POINTS = 40
_WIDE = 20.0  # so many times from the least to the largest tolerance: on a scale of logarithms
_DAY = 86_400


def agreement(report: Report, limit: float | None) -> Iterator[Picture]:
    """Over time, by tolerance, by comparator, and beside the noise."""
    found = report.agreement
    if not found:
        return
    points = merged(found.over_time, _MOST_POINTS)
    if len(points) > 1:
        yield _over_time("agreement-time", "Agreement over time", points, _agreeing, found.rate.value, limit)
    if len(found.tolerance_curve) > 1:
        yield _tolerance(found)
    yield from _compared(found)


def errors(report: Report, limit: float | None) -> Iterator[Picture]:
    """The error rate over time."""
    points = merged(report.agreement.over_time, _MOST_POINTS) if report.agreement else ()
    if len(points) > 1 and any(each.errored for each in points):
        yield _over_time("errors-time", "Errors over time", points, _failing, report.error_rate, limit)


def _agreeing(point: TimePoint) -> tuple[int, int]:
    return point.agreements, point.compared - point.ignored


def _failing(point: TimePoint) -> tuple[int, int]:
    return point.errored, point.requests


def _over_time(
    key: str,
    title: str,
    points: Sequence[TimePoint],
    counts: Callable[[TimePoint], tuple[int, int]],
    whole: float | None,
    limit: float | None,
) -> Picture:
    """A rate with its band, stretch by stretch; a stretch without requests leaves a gap."""
    kind = "failed" if key.startswith("errors") else "rate"
    known = [(each, *counts(each)) for each in points]
    bands = {part.start: wilson(hits, of, LEVEL) for part, hits, of in known if of}
    rates = {part.start: hits / of for part, hits, of in known if of}
    values = [*rates.values(), *(end for ends in bands.values() for end in ends)]
    lines = [(whole, "whole")] if whole is not None else []
    shown_limit = limit if in_view(limit, [*values, *(value for value, _ in lines)]) else None
    lines += [(shown_limit, "limit")] if shown_limit is not None else []
    low, high = around([*values, *(value for value, _ in lines)] or [0.0, 1.0])
    first, last = points[0].start.timestamp(), points[-1].start.timestamp()
    frame = Frame(left=first, right=last, low=low, high=high)
    parts = [frame.y_axis(shares(low, high), 5), _times(frame, points)]
    for run in _runs([part.start for part, _, of in known if of]):
        at = [(frame.x(start.timestamp()), start) for start in run]
        upper = [(x, frame.y(bands[start][1])) for x, start in at]
        lower = [(x, frame.y(bands[start][0])) for x, start in reversed(at)]
        drawn = [(x, frame.y(rates[start])) for x, start in at]
        parts += [path([*upper, *lower], "band", closed=True), path(drawn, f"line {kind}")]
        if len(drawn) == 1 or len(points) <= _FEW_POINTS:
            parts += [mark(x, y, kind, 2.5) for x, y in drawn]
    for value, sign in lines:
        parts.append(line(frame.margin_left, frame.y(value), frame.far, frame.y(value), sign))
    described = _described(rates, whole, highest=kind == "failed")
    legend = [(kind, "rate"), ("band", "95 % interval (Wilson) of each stretch"), ("whole", "over all")]
    legend += limit_sign(limit, is_drawn=shown_limit is not None)
    return Picture(title, tuple(legend), picture(key, title, described, parts, WIDTH, HEIGHT))


def _runs(starts: Sequence[datetime]) -> list[list[datetime]]:
    """Stretches that follow each other; where none has requests for a while, a line would be made up."""
    steps = sorted(after - before for before, after in pairwise(starts))
    usual = steps[len(steps) // 2] if steps else timedelta(0)
    runs: list[list[datetime]] = []
    for start in starts:
        if runs and start - runs[-1][-1] <= usual * 1.5:
            runs[-1].append(start)
        else:
            runs.append([start])
    return runs


def _described(rates: dict[datetime, float], whole: float | None, *, highest: bool) -> str:
    if not rates:
        return "No stretch has requests."
    worst = (max if highest else min)(rates, key=lambda start: rates[start])
    said = f"{_values.percent(whole)} over all; {'highest' if highest else 'lowest'} "
    return f"{said}{_values.percent(rates[worst])}, from {worst:%Y-%m-%d %H:%M} on."


def _times(frame: Frame, points: Sequence[TimePoint]) -> Markup:
    first, last = points[0].start, points[-1].start
    form = "%Y-%m-%d" if (last - first).total_seconds() > 2 * _DAY else "%m-%d %H:%M"
    shown = (first, first + (last - first) / 2, last)
    return frame.x_labels([(each.timestamp(), f"{each:{form}}") for each in shown])


def _tolerance(found: Agreement) -> Picture:
    """How many would agree if differences up to so much did."""
    curve = spread(found.tolerance_curve, _MOST_POINTS)
    sizes = [each.tolerance for each in curve if each.tolerance > 0]
    is_wide = bool(sizes) and max(sizes) / min(sizes) > _WIDE
    at = [_logarithm(each.tolerance, min(sizes)) if is_wide else each.tolerance for each in curve]
    low, high = around([each.rate for each in curve])
    frame = Frame(left=min(at), right=max(at), low=low, high=high)
    labels = [(x, f"{each.tolerance:.2g}") for x, each in spread([*zip(at, curve, strict=True)], 4)]
    drawn = [(frame.x(x), frame.y(each.rate)) for x, each in zip(at, curve, strict=True)]
    parts = [frame.y_axis(shares(low, high), 5), frame.x_labels(labels), path(drawn, "line rate")]
    parts += [mark(x, y, "rate", 2.5) for x, y in drawn] if len(drawn) <= _FEW_POINTS else []
    ends = (curve[0], curve[-1])
    described = "; ".join(
        f"up to {_values.number(each.tolerance)}: {_values.percent(each.rate)}" for each in ends
    )
    title = "Agreement, if differences up to … agreed"
    drawing = picture("agreement-tolerance", title, described, parts, WIDTH, HEIGHT)
    return Picture(title, (("rate", f"agreement{', scale of logarithms' if is_wide else ''}"),), drawing)


def _logarithm(value: float, least: float) -> float:
    return math.log10(value) if value > 0 else math.log10(least) - 0.3


def _compared(found: Agreement) -> Iterator[Picture]:
    """Comparators side by side; the shadow's disagreement and the control's."""
    if len(found.by_comparator) > 1:
        rows = [Row(visible(each.comparator, 40), dot_of(each.rate, "rate")) for each in found.by_comparator]
        lines = [(found.rate.value, "whole")] if found.rate.value is not None else []
        drawing = whiskers("agreement-comparators", "Agreement by comparator", rows, lines=lines)
        if drawing:
            yield Picture(
                "Agreement by comparator", (("rate", "rate and interval"), ("whole", "over all")), drawing
            )
    floor = found.noise_floor
    if floor and found.rate.value is not None and floor.disagreement.value is not None:
        rows = [
            Row("shadow", dot_of(_complement(found.rate), "shadow")),
            Row("control", dot_of(floor.disagreement, "primary")),
        ]
        drawing = whiskers("agreement-noise", "Disagreement, and the control's", rows)
        legend = (("shadow", "the shadow against the primary"), ("primary", "the primary against itself"))
        if drawing:
            yield Picture("Disagreement, and the control's", legend, drawing)


def _complement(rate: Rate) -> Rate:
    ends = rate.interval
    turned = (
        type(ends)(low=1 - ends.high, high=1 - ends.low, level=ends.level, method=ends.method)
        if ends
        else None
    )
    value = None if rate.value is None else 1 - rate.value
    return Rate(part=rate.whole - rate.part, whole=rate.whole, value=value, interval=turned)
