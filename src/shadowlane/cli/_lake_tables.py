"""What the commands of `shadowlane lake` have in common: options, and figures as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from shadowlane.cli._options import Form
from shadowlane.visible import visible

if TYPE_CHECKING:
    from shadowlane.lake import TableSpec

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))
_LEAST = 2


class TableName(StrEnum):
    """A table of the lake."""

    comparisons = "comparisons"
    errors = "errors"
    labels = "labels"
    ledger = "ledger"
    requests = "requests"
    dead_letters = "dead_letters"
    decisions = "decisions"


Tables = Annotated[
    list[TableName] | None,
    typer.Option("--table", metavar="TABLE", help="Only this table; may be repeated.", show_default="all"),
]
OnlyModel = Annotated[str | None, typer.Option("--model", help="Only this model's.", show_default="all")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
How = Annotated[Form, typer.Option("--format", help="How it is printed.")]


def specs(tables: Sequence[TableName] | None) -> Sequence[TableSpec]:
    """The tables that were named; all, where none was."""
    from shadowlane.lake import TABLES  # noqa: PLC0415 - an extra brings it

    named = [each.value for each in tables or TableName]
    return [spec for spec in TABLES if spec.name in named]


def grid(title: str | None, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Padding:
    """A table for people: the first column is words, some of them from the data, the others are figures."""
    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for place, name in enumerate(head):
        shown.add_column(name, justify="right" if place else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(visible(cell)) for cell in row))
    # A table's own title would be broken at the table's width.
    return Padding(Group(*([Text(title, "bold")] if title else []), shown), (0, 0, 1, 0))


def count(number: int | None) -> str:
    """12,345."""
    return "—" if number is None else f"{number:,}"


def megabytes(size: float) -> str:
    """12.3."""
    return f"{size / 1e6:,.1f}"


def ago(moment: datetime | None) -> str:
    """How long ago, in the largest unit of which there are two."""
    if moment is None:
        return "—"
    seconds = (datetime.now(UTC) - moment.astimezone(UTC)).total_seconds()
    if seconds < 0:
        return "in the future"
    for unit, length in _UNITS:
        if seconds >= _LEAST * length:
            return f"{seconds // length:,.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
