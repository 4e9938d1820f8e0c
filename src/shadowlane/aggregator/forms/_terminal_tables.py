"""The tables of the terminal's page: what is measured, one part of the page each (needs `[cli]`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from shadowlane.aggregator._error_groups import ErrorGroup
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import DISAGREEMENT_ORDER, Latency, Segment
from shadowlane.visible import visible

_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = " .:-=+*#@"
_GAP = 3  # between two columns
_NARROW = 14  # a prediction needs no less


def latencies(report: Report) -> Iterable[RenderableType]:
    """Both models' percentiles, by how they were timed."""
    if not report.latencies:
        return
    table = new_table(
        "Latency", ("timed", "left"), ("requests", "right"), ("model", "left"),
        ("p50", "right"), ("p95", "right"), ("p99", "right"),
    )  # fmt: skip
    for each in report.latencies:
        basis = Text(visible(each.basis, 20))
        table.add_row(basis, f"{each.requests:,}", Text("primary", "cyan"), *_percentiles(each.primary))
        table.add_row("", "", Text("shadow", "magenta"), *_percentiles(each.shadow))
    yield Text()
    yield table


def _percentiles(latency: Latency) -> list[str]:
    return [_values.milliseconds(each) for each in (latency.p50_ms, latency.p95_ms, latency.p99_ms)]


def scores(report: Report, encoding: str) -> Iterable[RenderableType]:
    """Both models' scores as rows of small bars."""
    found = report.scores
    if not found or not found.edges:
        return
    blocks = _BLOCKS if encoding.lower().startswith("utf") else _ASCII_BLOCKS
    low, high = _values.number(found.edges[0]), _values.number(found.edges[-1])
    yield Text()
    yield Text.assemble(("Scores", "bold"), ("   heights are logarithms, so that rare scores show", "dim"))
    for name, colour, counts in (("primary", "cyan", found.primary), ("shadow", "magenta", found.shadow)):
        yield Padding(
            Text.assemble((f"{name:8}", colour), "│", (_sparkline(counts, blocks), colour), "│"), (0, 1)
        )
    yield Padding(Text(f"{'':9}{low}{high:>{max(1, 50 - len(low))}}", "dim"), (0, 1))
    yield Padding(Text(f"Jensen-Shannon distance {_values.distance(found.distance)}"), (0, 1))


def _sparkline(counts: Sequence[int], blocks: str) -> str:
    highest = max(counts) or 1
    top = len(blocks) - 1
    # In proportion, and by the square root too, all but the fullest bin of skewed scores look alike.
    whole = math.log1p(highest)
    return "".join(blocks[math.ceil(math.log1p(count) / whole * top)] for count in counts)


def labels(report: Report) -> Iterable[RenderableType]:
    """The most frequent labels."""
    found = report.labels
    if not found:
        return
    table = new_table("Labels", ("label", "left"), ("primary", "right"), ("shadow", "right"))
    for each in found.labels[:8]:
        table.add_row(Text(visible(each.label or "(empty)", 60)), f"{each.primary:,}", f"{each.shadow:,}")
    yield Text()
    yield table
    yield Padding(Text(f"Jensen-Shannon distance {_values.distance(found.distance)}"), (0, 1))


def errors(report: Report) -> Iterable[RenderableType]:
    """The errors by stage and type."""
    if not report.errors:
        return
    table = new_table(
        "Errors",
        ("stage", "left"),
        ("error", "left"),
        ("requests", "right"),
        ("share", "right"),
        ("example", "left"),
    )
    for stage in report.errors:
        for place, each in enumerate(stage.types):
            table.add_row(
                Text(visible(stage.stage, 12) if place == 0 else ""),
                Text(visible(each.error_type, 30)),
                f"{each.requests:,}",
                _values.percent(each.rate) if stage.counted else "not counted",
                Text(visible(each.example, 36)),
            )
        if stage.other_types:
            table.add_row("", "(other types)", f"{stage.other_types:,}", "", "")
    yield Text()
    yield table


def error_groups(title: str, groups: Sequence[ErrorGroup]) -> RenderableType:
    """The errors of one shadow and run, by what was said; each with partition and offset of its latest."""
    table = new_table(
        title,
        ("requests", "right"),
        ("stage", "left"),
        ("error", "left"),
        ("message", "left"),
        ("last seen", "left"),
        ("at", "left"),
    )
    for each in groups:
        table.add_row(
            _values.count(each.requests),
            Text(visible(each.stage, 12)),
            Text(visible(each.error_type, 30)),
            Text(visible(each.message)),
            f"{each.last_seen:%Y-%m-%d %H:%M}",
            f"[{each.example.partition}]@{each.example.offset}",
        )
        if each.compared_since:
            table.add_row("", "", "", Text(f"{each.compared_since:,} compared since", "green"))
    return table


def segment(segment: Segment) -> RenderableType:
    """The figures by one segment."""
    table = new_table(
        f"By {visible(segment.name, 60)}",
        ("value", "left"),
        ("requests", "right"),
        ("agreement", "right"),
        ("error rate", "right"),
        ("", "left"),
    )
    for group in [*segment.groups, *([segment.other] if segment.other else [])]:
        name = "(all others)" if group is segment.other else group.value or "(none)"
        table.add_row(
            Text(visible(name, 50)),
            f"{group.requests:,}",
            _values.percent(group.agreement_rate),
            _values.percent(group.error_rate),
            Text("small" if group.is_small else "", "dim"),
        )
    return Padding(table, (1, 0, 0, 0))


def disagreements(report: Report, width: int) -> Iterable[RenderableType]:
    """The largest disagreements. A request's id stays in one piece: it is there to be looked up."""
    if not report.largest_disagreements:
        return
    rows = [
        (
            visible(each.request_id),
            visible(_values.prediction(each.primary), 40),
            visible(_values.prediction(each.shadow), 40),
            _values.number(each.difference),
        )
        for each in report.largest_disagreements
    ]
    yield Text()
    yield from _disagreements(rows, width)
    yield Padding(Text(DISAGREEMENT_ORDER, "dim"), (0, 1))


def _disagreements(rows: Sequence[tuple[str, ...]], width: int) -> Iterable[RenderableType]:
    """A table with the columns that there is room for; without room for any, each id on its own line."""
    ids, differences = (max(cell_len(row[column]) for row in rows) for column in (0, 3))
    room = width - ids - 2 * _NARROW - 3 * _GAP
    title = "Largest disagreements"
    if room < 0:
        yield Text(title, "bold")
        for request, primary, shadow, _ in rows:
            yield Padding(Text(request), (0, 1))
            yield Padding(Text(f"{primary}  →  {shadow}"), (0, 5))
        return
    columns = [("request", "whole"), ("primary", "left"), ("shadow", "left"), ("difference", "right")]
    has_difference = any(row[3] != _values.NOTHING for row in rows)
    if not has_difference or room < max(differences, len("difference")) + _GAP:
        columns.pop()
    shown = new_table(title, *columns)
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row[: len(columns)]))
    yield shown


def new_table(title: str | None, *columns: tuple[str, str], header: bool = True) -> Table:
    """An empty table; a column is `left`, `right` or `whole` (to the left, and never broken)."""
    table = Table(
        box=box.SIMPLE_HEAD if header else None, show_edge=False, padding=(0, 1),
        show_header=header, header_style="dim",
        title=Text(title, "bold") if title else None, title_justify="left",
    )  # fmt: skip
    for name, justify in columns:
        table.add_column(
            name,
            justify="right" if justify == "right" else "left",
            no_wrap=justify in ("right", "whole"),
            overflow="fold",
        )
    return table
