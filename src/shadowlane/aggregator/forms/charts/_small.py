"""Small pictures beside a number that says the same: hidden from those who hear the page."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

from shadowlane.aggregator.forms.charts._svg import line, mark, rectangle


def gauge(value: float | None, bound: float, top: float) -> Markup:
    """A value on a bar from 0, and where its bound lies."""
    parts = [rectangle(0, 5, 160, 6, "track")]
    if value is not None:
        parts.append(rectangle(0, 5, 160 * min(1.0, max(0.0, value / top)), 6, "fill"))
    at = 160 * min(1.0, max(0.0, bound / top))
    parts.append(rectangle(min(at, 158.0), 0, 2, 16, "bound"))
    return _hidden("gauge", "0 0 160 16", parts)


def key(kind: str) -> Markup:
    """The sign of a legend, drawn as it is in the picture."""
    drawn = {
        "primary": [line(0, 6, 24, 6, "line primary"), mark(12, 6, "primary")],
        "shadow": [line(0, 6, 24, 6, "line shadow"), mark(12, 6, "shadow")],
        "whole": [line(0, 6, 24, 6, "whole")],
        "limit": [line(0, 6, 24, 6, "limit")],
        "band": [rectangle(0, 1, 24, 10, "band")],
        "rate": [line(0, 6, 24, 6, "line rate"), mark(12, 6, "rate")],
        "small": [line(0, 6, 24, 6, "whisker small"), mark(12, 6, "small")],
        "failed": [line(0, 6, 24, 6, "line failed"), mark(12, 6, "failed")],
    }
    return _hidden("key", "0 0 24 12", drawn.get(kind, [rectangle(2, 1, 20, 10, f"bar {kind}")]))


def _hidden(kind: str, box: str, parts: Iterable[Markup]) -> Markup:
    return Markup('<svg class="{}" viewBox="{}" aria-hidden="true" focusable="false">{}</svg>').format(
        kind, box, Markup().join(parts)
    )
