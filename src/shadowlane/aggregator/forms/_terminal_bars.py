"""Pictures of one line on a terminal: rows of small bars (needs `[cli]`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from shadowlane.aggregator.forms._thin import merged
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report

_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = " .:-=+*#@"
_MOST = 72


def blocks_of(encoding: str) -> str:
    """The letters that a terminal of this encoding can draw bars with."""
    return _BLOCKS if encoding.lower().startswith("utf") else _ASCII_BLOCKS


def scores(report: Report, blocks: str) -> Iterable[RenderableType]:
    """Both models' scores as rows of small bars."""
    found = report.scores
    if not found or not found.edges:
        return
    low, high = _values.number(found.edges[0]), _values.number(found.edges[-1])
    yield Text.assemble(("Scores", "bold"), ("   heights are logarithms, so that rare scores show", "dim"))
    for name, colour, counts in (("primary", "cyan", found.primary), ("shadow", "magenta", found.shadow)):
        yield Padding(
            Text.assemble((f"{name:8}", colour), "│", (_logarithms(counts, blocks), colour), "│"), (0, 1)
        )
    yield Padding(Text(f"{'':9}{low}{high:>{max(1, 50 - len(low))}}", "dim"), (0, 1))


def _logarithms(counts: Sequence[int], blocks: str) -> str:
    # In proportion, and by the square root too, all but the fullest bin of skewed scores look alike.
    whole = math.log1p(max(counts) or 1)
    top = len(blocks) - 1
    return "".join(blocks[math.ceil(math.log1p(count) / whole * top)] for count in counts)


def over_time(report: Report, blocks: str) -> Iterable[RenderableType]:
    """Disagreement and errors over time, the worst stretch as high as a bar can be."""
    points = merged(report.agreement.over_time, _MOST) if report.agreement else ()
    if len(points) <= 1:
        return
    apart = [
        (each.compared - each.ignored - each.agreements) / ((each.compared - each.ignored) or 1)
        for each in points
    ]
    failed = [each.errored / (each.requests or 1) for each in points]
    ends = f"{points[0].start:%Y-%m-%d %H:%M} to {points[-1].start:%Y-%m-%d %H:%M}"
    yield Text.assemble(("Over time", "bold"), (f"   {ends}, heights from 0 to each row's highest", "dim"))
    for name, values in (("disagree", apart), ("errors", failed)):
        highest = max(values)
        bars = "".join(
            blocks[math.ceil(each / highest * (len(blocks) - 1)) if highest else 0] for each in values
        )
        yield Padding(
            Text.assemble((f"{name:9}", "dim"), "│", bars, "│", (f" {_values.percent(highest)}", "dim")),
            (0, 1),
        )
