"""The few shapes that the report's pictures are made of. `Markup.format` escapes every value in them."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

Point = tuple[float, float]


def picture(summary: str, parts: Iterable[Markup], width: float, height: float) -> Markup:
    """A drawing, with what it shows in words for those who cannot see it."""
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>'
    ).format(f"{width:g}", f"{height:g}", summary, summary, Markup().join(parts))


def path(points: Iterable[Point], kind: str, *, closed: bool = False) -> Markup:
    """A line through points, or the area that they enclose."""
    route = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return Markup('<path class="{}" d="M{}{}"/>').format(kind, route, "Z" if closed else "")


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line."""
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
        kind, *(f"{each:.1f}" for each in (x1, y1, x2, y2))
    )


def dot(x: float, y: float, kind: str) -> Markup:
    """A point of a curve."""
    return Markup('<circle class="dot {}" cx="{}" cy="{}" r="3.5"/>').format(kind, f"{x:.1f}", f"{y:.1f}")


def rectangle(x: float, y: float, width: float, height: float, kind: str) -> Markup:
    """A box."""
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="1"/>').format(
        kind, *(f"{each:.1f}" for each in (x, y, width, height))
    )


def text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> Markup:
    """A piece of text."""
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        kind, f"{x:.1f}", f"{y:.1f}", anchor, text
    )
