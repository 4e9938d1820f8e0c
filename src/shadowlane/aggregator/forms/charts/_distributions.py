"""How both models' predictions are spread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from shadowlane.aggregator.forms.charts._frame import HEIGHT, MODELS, WIDTH, Frame, Picture, fifths, shares
from shadowlane.aggregator.forms.charts._svg import Point, path, picture, rectangle, text
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import LabelDistribution, ScoreDistribution
from shadowlane.visible import visible

_MOST_LABELS = 10


def distributions(report: Report) -> Iterator[Picture]:
    """Histogram, cumulative share, labels."""
    if report.scores and report.scores.edges:
        yield _histogram(report.scores)
        yield _cumulative(report.scores)
    if report.labels and report.labels.labels:
        yield _labels(report.labels)


def _of_own(scores: ScoreDistribution) -> list[list[float]]:
    """Each model's counts as shares of its own scores."""
    return [[count / (sum(counts) or 1) for count in counts] for counts in (scores.primary, scores.shadow)]


def _histogram(scores: ScoreDistribution) -> Picture:
    both = _of_own(scores)
    top = max(map(max, both)) * 1.06 or 1.0
    frame = Frame(left=scores.edges[0], right=scores.edges[-1], high=top)
    parts = [frame.y_axis(shares(0.0, top)), frame.x_labels(fifths(scores.edges))]
    for (name, _), values in zip(MODELS, both, strict=True):
        outline = _steps(frame, scores.edges, values)
        area = [(outline[0][0], frame.floor), *outline, (outline[-1][0], frame.floor)]
        parts += [path(area, f"area {name}", closed=True), path(outline, f"line {name}")]
    title = "Scores: how often each model gives which"
    described = (
        f"From {_values.number(scores.edges[0])} to {_values.number(scores.edges[-1])}, "
        f"Jensen-Shannon distance {_values.distance(scores.distance)}."
    )
    return Picture(title, MODELS, picture("scores-histogram", title, described, parts, WIDTH, HEIGHT))


def _steps(frame: Frame, edges: Sequence[float], heights: Sequence[float]) -> list[Point]:
    return [
        (frame.x(edge), frame.y(height))
        for place, height in enumerate(heights)
        for edge in (edges[place], edges[place + 1])
    ]


def _cumulative(scores: ScoreDistribution) -> Picture:
    """The share of scores up to each edge: a shift shows here that a histogram hides in its noise."""
    frame = Frame(left=scores.edges[0], right=scores.edges[-1])
    parts = [frame.y_axis(shares(0.0, 1.0)), frame.x_labels(fifths(scores.edges))]
    for (name, _), values in zip(MODELS, _of_own(scores), strict=True):
        heights = [0.0, *accumulate(values)]
        drawn = [(frame.x(edge), frame.y(up_to)) for edge, up_to in zip(scores.edges, heights, strict=False)]
        parts.append(path(drawn, f"line {name}"))
    title = "Scores: the share up to each value"
    far = _values.distance(scores.kolmogorov_smirnov)
    described = f"Furthest apart by {far} (Kolmogorov-Smirnov)."
    return Picture(title, MODELS, picture("scores-cumulative", title, described, parts, WIDTH, HEIGHT))


def _labels(found: LabelDistribution) -> Picture:
    """How often each model answered with each label: two bars a label."""
    shown = found.labels[:_MOST_LABELS]
    every = [*found.labels, *([found.other] if found.other else [])]
    totals = (sum(each.primary for each in every) or 1, sum(each.shadow for each in every) or 1)
    rows = [
        (visible(each.label or "(empty)", 15), each.primary / totals[0], each.shadow / totals[1])
        for each in shown
    ]
    top = max(max(p, s) for _, p, s in rows) or 1.0
    parts = []
    for place, (label, *both) in enumerate(rows):
        y = 8.0 + place * 34
        parts.append(text(112, y + 16, label, "end", "label"))
        for row, ((name, _), share) in enumerate(zip(MODELS, both, strict=True)):
            width = share / top * 220
            parts.append(rectangle(120, y + row * 13, max(width, 0.5), 10, f"bar {name}"))
            parts.append(text(126 + width, y + row * 13 + 9, _values.percent(share, 1), "start", "small"))
    title = "Labels: how often each model gives which"
    described = "; ".join(
        f"{label}: {_values.percent(p, 1)} and {_values.percent(s, 1)}" for label, p, s in rows
    )
    drawing = picture("labels", title, described, parts, WIDTH, 12.0 + len(rows) * 34)
    return Picture(title, (("primary bar", "primary"), ("shadow bar", "shadow")), drawing)
