"""The report's pictures: inline SVG, coloured by the page's style sheet, readable without any script.

Each text in them is escaped by the shapes of `_svg`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from shadowlane.aggregator.forms._svg import Point, dot, line, path, picture, rectangle, text
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report.figures import LabelDistribution, LatencyBasis, ScoreDistribution, Segment
from shadowlane.visible import visible

_WIDTH, _HEIGHT = 420.0, 240.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 66.0, 12.0, 12.0, 30.0
_INNER_WIDTH, _INNER_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_FLOOR = _TOP + _INNER_HEIGHT
_LAST_LEVEL = 0.999
_P99 = 0.99
_PERCENTILES = (("p0", 0.0), ("p50", 0.5), ("p90", 0.9), ("p99", _P99), ("p99.9", _LAST_LEVEL))
_FEWEST_TICKS = 3
#: A unit of time, how many of it a millisecond is, and from how many milliseconds on an axis is in it.
_UNITS = (("s", 0.001, 10_000.0), ("ms", 1.0, 0.02), ("µs", 1e3, 1e-4), ("ns", 1e6, 0.0))


def histogram(scores: ScoreDistribution) -> Markup:
    """Both models' scores, as shares of each model's own."""
    shares = [[count / (sum(counts) or 1) for count in counts] for counts in (scores.primary, scores.shadow)]
    top = max(map(max, shares)) * 1.06 or 1.0
    parts = [_y_axis(top, lambda share: f"{share * 100:.3g} %"), _score_ticks(scores.edges)]
    for name, values in zip(("primary", "shadow"), shares, strict=True):
        outline = _steps([share / top for share in values])
        area = [(_LEFT, _FLOOR), *outline, (_LEFT + _INNER_WIDTH, _FLOOR)]
        parts += [path(area, f"area {name}", closed=True), path(outline, f"line {name}")]
    summary = f"Scores from {_values.number(scores.edges[0])} to {_values.number(scores.edges[-1])}"
    return picture(
        f"{summary}, Jensen-Shannon distance {_values.distance(scores.distance)}", parts, _WIDTH, _HEIGHT
    )


def _steps(heights: Sequence[float]) -> list[Point]:
    width = _INNER_WIDTH / len(heights)
    return [
        (_LEFT + (place + side) * width, _FLOOR - height * _INNER_HEIGHT)
        for place, height in enumerate(heights)
        for side in (0, 1)
    ]


def _score_ticks(edges: Sequence[float]) -> Markup:
    parts = []
    for share, anchor in ((0.0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1.0, "end")):
        value = edges[0] * (1 - share) + edges[-1] * share
        parts.append(text(_LEFT + share * _INNER_WIDTH, _FLOOR + 18, f"{value:.3g}", anchor))
    return Markup().join(parts)


def latency_curve(latency: LatencyBasis, limit: float | None = None) -> Markup:
    """How slow the slowest are: percentiles on a scale that gives the tail its room.

    Args:
        latency: Both models' latencies.
        limit: The policy's limit for the shadow's p99, drawn where it lies within the picture.
    """
    curves = {"primary": latency.primary.curve, "shadow": latency.shadow.curve}
    shown = {name: [(q, ms) for q, ms in curve if q <= _LAST_LEVEL] for name, curve in curves.items()}
    highest = max((ms for curve in shown.values() for _, ms in curve), default=0.0) or 1.0
    top = max(highest * 1.06, limit * 1.1 if limit and limit < highest * 4 else 0.0)
    parts = [_y_axis(top, _duration(top))]
    parts += [
        text(_at(q), _FLOOR + 18, name, "end" if q == _LAST_LEVEL else "middle") for name, q in _PERCENTILES
    ]
    if limit and limit < top:
        y = _FLOOR - limit / top * _INNER_HEIGHT
        parts.append(line(_LEFT, y, _LEFT + _INNER_WIDTH, y, "limit"))
        parts.append(text(_LEFT + 4, y - 5, f"limit for the shadow's p99: {limit:g} ms", "start", "note"))
        parts.append(line(_at(_P99), _TOP, _at(_P99), _FLOOR, "grid"))
    for name, curve in shown.items():
        if curve:
            parts.append(
                path([(_at(q), _FLOOR - ms / top * _INNER_HEIGHT) for q, ms in curve], f"line {name}")
            )
            parts += [dot(_at(_P99), _FLOOR - ms / top * _INNER_HEIGHT, name) for q, ms in curve if q == _P99]
    p99s = " and ".join(
        f"{_values.milliseconds(side.p99_ms)} for the {name}"
        for name, side in (("primary", latency.primary), ("shadow", latency.shadow))
    )
    return picture(f"Latency by percentile; p99 is {p99s}", parts, _WIDTH, _HEIGHT)


def _duration(top: float) -> Callable[[float], str]:
    """How the axis writes milliseconds: in a unit that keeps its labels short, and so on the picture."""
    unit, factor = next((unit, factor) for unit, factor, least in _UNITS if top >= least)
    return lambda ms: f"{ms * factor:.4g} {unit}"


def _at(level: float) -> float:
    return _LEFT + _INNER_WIDTH * math.log10(1 - level) / math.log10(1 - _LAST_LEVEL)


def labels(distribution: LabelDistribution) -> Markup:
    """How often each model answered with each label: two bars a label."""
    shown = distribution.labels[:10]
    totals = [
        sum(each.primary for each in distribution.labels),
        sum(each.shadow for each in distribution.labels),
    ]
    other = distribution.other
    if other:
        totals = [totals[0] + other.primary, totals[1] + other.shadow]
    shares = [
        (each.label or "(empty)", each.primary / (totals[0] or 1), each.shadow / (totals[1] or 1))
        for each in shown
    ]
    top = max(max(p, s) for _, p, s in shares) or 1.0
    parts = []
    for place, (label, primary, shadow) in enumerate(shares):
        y = 8.0 + place * 34
        parts.append(text(0, y + 16, visible(label, 16), "start", "label"))
        for row, (name, share) in enumerate((("primary", primary), ("shadow", shadow))):
            width = share / top * 230
            parts.append(rectangle(120, y + row * 12, width, 10, f"bar {name}"))
            parts.append(text(126 + width, y + row * 12 + 9, _values.percent(share, 1), "start", "small"))
    return picture("Labels: the share of each, by model", parts, _WIDTH, 12.0 + len(shares) * 34)


def gauge(value: float | None, bound: float, top: float) -> Markup:
    """A value on a bar from 0, and where its bound lies."""
    parts = [rectangle(0, 5, 160, 6, "track")]
    if value is not None:
        parts.append(rectangle(0, 5, 160 * min(1.0, value / top), 6, "fill"))
    at = 160 * min(1.0, bound / top)
    parts.append(rectangle(min(at, 158.0), 0, 2, 16, "bound"))
    return Markup('<svg class="gauge" viewBox="0 0 160 16" aria-hidden="true">{}</svg>').format(
        Markup().join(parts)
    )


def share_bar(share: float | None, kind: str) -> Markup:
    """A rate as a small bar in a table; the number stands beside it."""
    parts = [rectangle(0, 2, 80, 6, "track")]
    if share is not None:
        parts.append(rectangle(0, 2, max(1.0, 80 * share) if share else 0, 6, f"bar {kind}"))
    return Markup('<svg class="share" viewBox="0 0 80 10" aria-hidden="true">{}</svg>').format(
        Markup().join(parts)
    )


class Scale(NamedTuple):
    """What the bars of a segment's groups are drawn to."""

    low: float  # the agreement at the left end
    errors: float  # the highest error rate


def scale_of(segment: Segment, bound: float | None) -> Scale:
    """A scale on which the segment's groups can be told apart."""
    groups = [*segment.groups, *([segment.other] if segment.other else [])]
    rates = [group.agreement_rate for group in groups if group.agreement_rate is not None]
    lowest = min([*rates, *([bound] if bound is not None else [])], default=0.0)
    return Scale(max(0.0, lowest - 0.02), max((group.error_rate or 0.0 for group in groups), default=0.0))


def strip(share: float | None, low: float, kind: str, bound: float | None = None) -> Markup:
    """Where a rate lies between a scale's lower end and 100 %, and on which side of its bound."""
    width = 1 - low or 1.0
    parts = [rectangle(0, 4.5, 80, 1, "track")]
    if bound is not None:
        parts.append(rectangle(4 + 72 * (bound - low) / width, 0, 1.5, 10, "bound"))
    if share is not None:
        at = 4 + 72 * (share - low) / width
        parts.append(Markup('<circle class="bar {}" cx="{}" cy="5" r="4"/>').format(kind, f"{at:.1f}"))
    return Markup('<svg class="share" viewBox="0 0 80 10" aria-hidden="true">{}</svg>').format(
        Markup().join(parts)
    )


def stacked(parts: Iterable[tuple[str, int]]) -> Markup:
    """Counts as parts of one bar."""
    counts = [(kind, count) for kind, count in parts if count > 0]
    whole = sum(count for _, count in counts) or 1
    bars, at = [], 0.0
    for kind, count in counts:
        width = 400 * count / whole
        bars.append(rectangle(at, 0, max(width - 1, 1), 14, f"bar {kind}"))
        at += width
    return Markup(
        '<svg class="stack" viewBox="0 0 400 14" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
    ).format(Markup().join(bars))


def _y_axis(top: float, write: Callable[[float], str]) -> Markup:
    parts = []
    for tick in _ticks(top):
        y = _FLOOR - tick / top * _INNER_HEIGHT
        parts.append(line(_LEFT, y, _LEFT + _INNER_WIDTH, y, "grid"))
        parts.append(text(_LEFT - 6, y + 4, write(tick), "end"))
    return Markup().join(parts)


def _ticks(top: float) -> list[float]:
    """Three to six round steps from 0."""
    step = 10.0 ** math.floor(math.log10(top))
    for finer in (1.0, 2.0, 4.0, 5.0):
        if top / (step / finer) >= _FEWEST_TICKS:
            step /= finer
            break
    return [step * n for n in range(int(top / step) + 1)]
