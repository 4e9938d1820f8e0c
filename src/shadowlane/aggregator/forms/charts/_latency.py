"""How slow the slowest are, and by how much the shadow is slower."""

from __future__ import annotations

import math
from collections.abc import Iterator

from markupsafe import Markup

from shadowlane.aggregator.forms._thin import spread
from shadowlane.aggregator.forms.charts._frame import HEIGHT, MODELS, WIDTH, Frame, Picture, duration
from shadowlane.aggregator.forms.charts._svg import line, mark, path, picture, text
from shadowlane.aggregator.forms.charts._whiskers import Row, dot, whiskers
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import Latency, LatencyBasis, PairedLatency

_LAST_LEVEL = 0.999
_P99 = 0.99
_PERCENTILES = (("p0", 0.0), ("p50", 0.5), ("p90", 0.9), ("p99", _P99), ("p99.9", _LAST_LEVEL))
_JUDGED = ((0.5, "p50"), (0.95, "p95"), (_P99, "p99"))
_MOST_POINTS = 100


def latency(report: Report, limit: float | None) -> Iterator[Picture]:
    """The curves, and the difference request by request."""
    judged = report.latency
    if judged:
        yield _curves(judged, limit)
        if judged.paired:
            yield from _paired(judged.paired)


def _curves(latency: LatencyBasis, limit: float | None) -> Picture:
    """Percentiles on a scale that gives the tail its room."""
    curves = {"primary": latency.primary.curve, "shadow": latency.shadow.curve}
    shown = {
        name: spread([(q, ms) for q, ms in curve if q <= _LAST_LEVEL and math.isfinite(ms)], _MOST_POINTS)
        for name, curve in curves.items()
    }
    highest = max((ms for curve in shown.values() for _, ms in curve), default=0.0) or 1.0
    top = max(highest * 1.06, limit * 1.1 if limit and limit < highest * 4 else 0.0)
    frame = Frame(right=math.log10(1 / (1 - _LAST_LEVEL)), high=top)
    parts = [frame.y_axis(duration(top)), frame.x_labels([(_at(q), name) for name, q in _PERCENTILES])]
    if limit and limit < top:
        y = frame.y(limit)
        parts.append(line(frame.margin_left, y, frame.far, y, "limit"))
        parts.append(
            text(frame.margin_left + 4, y - 5, f"limit for the shadow's p99: {limit:g} ms", "start", "note")
        )
        parts.append(line(frame.x(_at(_P99)), frame.margin_top, frame.x(_at(_P99)), frame.floor, "grid"))
    for name, side in (("primary", latency.primary), ("shadow", latency.shadow)):
        if shown[name]:
            drawn = [(frame.x(_at(q)), frame.y(ms)) for q, ms in shown[name]]
            parts += [path(drawn, f"line {name}"), _known(frame, side, name)]
    p99s = " and ".join(
        f"{_values.milliseconds(side.p99_ms)} for the {name}"
        for name, side in (("primary", latency.primary), ("shadow", latency.shadow))
    )
    title = "Latency by percentile"
    drawing = picture("latency-curve", title, f"p99 is {p99s}.", parts, WIDTH, HEIGHT)
    return Picture(title, MODELS, drawing)


def _known(frame: Frame, side: Latency, name: str) -> Markup:
    """The percentiles that are judged by, with their intervals."""
    parts = []
    for level, percentile in _JUDGED:
        value, ends = getattr(side, f"{percentile}_ms"), getattr(side, f"{percentile}_interval")
        x = frame.x(_at(level)) + (3 if name == "shadow" else -3)
        if value is not None and ends:
            parts.append(line(x, frame.y(ends.low), x, frame.y(ends.high), f"whisker {name}"))
        if value is not None:
            parts.append(mark(frame.x(_at(level)), frame.y(value), name))
    return Markup().join(parts)


def _at(level: float) -> float:
    return -math.log10(1 - level)


def _paired(found: PairedLatency) -> Iterator[Picture]:
    rows = [
        Row("median", (dot(found.median_ms, found.median_interval, "rate"),)),
        Row("p95", (dot(found.p95_ms, None, "rate"),)),
        Row("p99", (dot(found.p99_ms, None, "rate"),)),
    ]
    title = "Shadow less primary, request by request"
    sizes = [abs(each.value) for row in rows for each in row.dots]
    write = duration(max(sizes) or 1.0)
    drawing = whiskers(
        "latency-paired", title, rows, lines=[(0.0, "whole")], write=write, within=(-math.inf, math.inf)
    )
    if drawing:
        yield Picture(
            title, (("rate", "difference, with its interval where known"), ("whole", "as fast")), drawing
        )
