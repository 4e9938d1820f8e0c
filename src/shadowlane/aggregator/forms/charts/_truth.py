"""Which of the two was right: correctness, calibration, and what time changes."""

from __future__ import annotations

from collections.abc import Iterator

from shadowlane.aggregator.forms._thin import spread
from shadowlane.aggregator.forms.charts._frame import MODELS, WIDTH, Frame, Picture, shares
from shadowlane.aggregator.forms.charts._svg import line, mark, path, picture
from shadowlane.aggregator.forms.charts._whiskers import Row, dot_of, whiskers
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import Correctness, Outcome

_MOST_BINS = 50
_TALL = 300.0


def truth(report: Report, place: int) -> Iterator[Picture]:
    """The pictures of one outcome."""
    found, key = report.truth and report.truth.outcomes[place], f"truth-{place + 1}"
    if not found:
        return
    cases = (("all labelled", found.correctness), ("disagreements", found.on_disagreements))
    yield from _right(
        f"{key}-right", "How often each is right", [(name, each) for name, each in cases if each]
    )
    if found.primary_calibration or found.shadow_calibration:
        yield _calibration(key, found)
    horizons = [
        (_values.many(each.days, "day"), each.correctness) for each in found.horizons if each.correctness
    ]
    yield from _right(f"{key}-horizons", "By how long after the request labels came", horizons)


def _right(key: str, title: str, cases: list[tuple[str, Correctness]]) -> Iterator[Picture]:
    rows = [
        Row(name, (*dot_of(each.primary, "primary"), *dot_of(each.shadow, "shadow"))) for name, each in cases
    ]
    drawing = whiskers(key, title, rows)
    if drawing:
        yield Picture(title, MODELS, drawing)


def _calibration(key: str, found: Outcome) -> Picture:
    """What scores promised against what came true; on the diagonal they keep their word."""
    frame = Frame(height=_TALL, margin_bottom=34)
    label = [(each / 4, f"{each / 4:g}") for each in range(5)]
    parts = [frame.y_axis(shares(0.0, 1.0)), frame.x_labels(label)]
    parts.append(line(frame.x(0), frame.y(0), frame.x(1), frame.y(1), "whole"))
    said = []
    for (name, _), side in zip(MODELS, (found.primary_calibration, found.shadow_calibration), strict=True):
        if side and side.bins:
            bins = spread(side.bins, _MOST_BINS)
            drawn = [(frame.x(each.mean_score), frame.y(each.outcome_rate)) for each in bins]
            parts += [path(drawn, f"line {name}"), *(mark(x, y, name) for x, y in drawn)]
            said.append(f"expected calibration error of the {name} {_values.distance(side.expected_error)}")
    title = "Calibration: the mean score, and how often it came true"
    drawing = picture(f"{key}-calibration", title, "; ".join(said), parts, WIDTH, _TALL)
    return Picture(title, (*MODELS, ("whole", "as promised")), drawing)
