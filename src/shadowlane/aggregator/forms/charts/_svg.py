"""The few shapes that the report's pictures are made of. `Markup.format` escapes every value in them."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

Point = tuple[float, float]

_DOT = 3.5


def picture(
    key: str, title: str, description: str, parts: Iterable[Markup], width: float, height: float
) -> Markup:
    """A drawing, with what it shows in words for those who cannot see it; `key` is its own on the page."""
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-labelledby="{}-title {}-desc">'
        '<title id="{}-title">{}</title><desc id="{}-desc">{}</desc>{}</svg>'
    ).format(f"{width:g}", f"{height:g}", key, key, key, title, key, description, Markup().join(parts))


def path(points: Iterable[Point], kind: str, *, closed: bool = False) -> Markup:
    """A line through points, or the area that they enclose."""
    route = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return Markup('<path class="{}" d="M{}{}"/>').format(kind, route, "Z" if closed else "")


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line."""
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
        kind, *(f"{each:.1f}" for each in (x1, y1, x2, y2))
    )


def mark(x: float, y: float, kind: str, size: float = _DOT) -> Markup:
    """A point of a curve: the shadow's are squares, all others round, so that colour is not the only sign."""
    if "shadow" in kind.split():
        return Markup('<rect class="mark {}" x="{}" y="{}" width="{}" height="{}"/>').format(
            kind, f"{x - size:.1f}", f"{y - size:.1f}", f"{2 * size:g}", f"{2 * size:g}"
        )
    return Markup('<circle class="mark {}" cx="{}" cy="{}" r="{}"/>').format(
        kind, f"{x:.1f}", f"{y:.1f}", f"{size:g}"
    )


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
