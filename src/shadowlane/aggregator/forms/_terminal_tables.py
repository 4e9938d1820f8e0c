"""Tables on a terminal, in whatever width there is (needs `[cli]`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from shadowlane.aggregator._error_groups import ErrorGroup
from shadowlane.aggregator.forms.content import Cell, Column, Table
from shadowlane.aggregator.report import _values
from shadowlane.visible import visible

_GAP = 3  # between two columns
_MARGIN = 2
_NARROW = 14  # text that may be broken needs no less
COLOURS = {
    "plain": "", "primary": "cyan", "shadow": "magenta", "good": "green", "bad": "bold red", "open": "yellow",
    "soft": "dim",
}  # fmt: skip


def fitted(table: Table, width: int) -> Iterable[RenderableType]:
    """The table with the columns that there is room for; a number or an id is never cut or broken."""
    if not table.rows:
        yield Text(table.title, "bold")
        yield _note(table.note)
        return
    places = [*range(len(table.columns))]
    numbers = [place for place in places[1:] if table.columns[place].kind == "right"]
    while _least(table, places) > width and numbers:
        places.remove(numbers.pop())
    if _least(table, places) > width and any(column.kind == "whole" for column in table.columns):
        yield from _listed(table)
    else:
        yield _grid(table, places)
    left_out = [column.name for place, column in enumerate(table.columns) if place not in places]
    if left_out:
        yield _note(f"Not shown, for want of room: {', '.join(left_out)}.")
    if table.note:
        yield _note(table.note)


def _note(text: str) -> RenderableType:
    return Padding(Text(text, "dim"), (0, 1))


def _least(table: Table, places: Sequence[int]) -> int:
    widths = [_needed(table.columns[place], [row[place] for row in table.rows]) for place in places]
    return sum(widths) + _GAP * (len(places) - 1) + _MARGIN


def _needed(column: Column, cells: Sequence[Cell]) -> int:
    widest = max([cell_len(column.name), *(cell_len(cell.text) for cell in cells)])
    return widest if column.kind in ("right", "whole") else min(widest, _NARROW)


def _grid(table: Table, places: Sequence[int]) -> RenderableType:
    columns = [table.columns[place] for place in places]
    grid = new_table(table.title or None, *columns, header=any(column.name for column in columns))
    for row in table.rows:
        grid.add_row(*(_text(row[place]) for place in places))
    return grid


def _listed(table: Table) -> Iterable[RenderableType]:
    """Each row's first cell on a line of its own, so that an id stays in one piece; below it the rest."""
    if table.title:
        yield Text(table.title, "bold")
    for first, *others in table.rows:
        yield Padding(_text(first), (0, 1))
        yield Padding(Text("  ").join(_text(each) for each in others), (0, 5))


def _text(cell: Cell) -> Text:
    return Text(cell.text, COLOURS[cell.tone])


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


def new_table(title: str | None, *columns: tuple[str, str], header: bool = True) -> Grid:
    """An empty table; a column is `left`, `right`, `data` or `whole` (to the left, and never broken)."""
    table = Grid(
        box=box.SIMPLE_HEAD if header else None, show_edge=False, padding=(0, 1),
        show_header=header, header_style="dim",
        title=Text(title, "bold") if title else None, title_justify="left",
    )  # fmt: skip
    for name, kind in columns:
        table.add_column(
            Text(name),
            justify="right" if kind == "right" else "left",
            no_wrap=kind in ("right", "whole"),
            overflow="fold",
        )
    return table
