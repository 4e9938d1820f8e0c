"""`shadowlane lake`: care for the tables, and what they hold."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from shadowlane.cli._durations import duration
from shadowlane.cli._evidence import printing
from shadowlane.cli._options import Config, Form, Lake, settings
from shadowlane.process import stopped_by_signals

if TYPE_CHECKING:
    from shadowlane.lake import TableSpec

app = typer.Typer(help="Look after the lake: how it stands, and its files.", no_args_is_help=True)

_SAID_EVERY = 5.0
_INTERRUPTED = 130


class TableName(StrEnum):
    """A table of the lake."""

    comparisons = "comparisons"
    errors = "errors"
    labels = "labels"
    ledger = "ledger"
    requests = "requests"
    dead_letters = "dead_letters"


Tables = Annotated[
    list[TableName] | None,
    typer.Option("--table", metavar="TABLE", help="Only this table; may be repeated.", show_default="all"),
]
OnlyModel = Annotated[str | None, typer.Option("--model", help="Only this model's.", show_default="all")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
How = Annotated[Form, typer.Option("--format", help="How it is printed.")]


@app.command()
def compact(
    *,
    table: Tables = None,
    model: OnlyModel = None,
    older_than: Annotated[
        timedelta | None,
        typer.Option(
            parser=duration,
            metavar="TIME",
            help="Only days that ended so long ago: 12h, 7d.",
            show_default="all",
        ),
    ] = None,
    target_mb: Annotated[int, typer.Option(min=1, metavar="MB", help="How large a file is to become.")] = 128,
    dry_run: DryRun = False,
    form: How = Form.table,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Join the small files of each day into few large ones, while others write and read.

    It may be stopped at any moment and run again: each new file takes the place of those that it was made
    of in one commit. The small files stay on disk for readers of older versions until lake vacuum.

    Example: shadowlane lake compact --older-than 1h
    """
    from shadowlane.lake import care  # noqa: PLC0415 - an extra brings it

    given = settings(lake=lake, config=config)
    plan = care.CompactionPlan(
        given.lake,
        specs(table),
        model=model,
        older_than=older_than,
        target_bytes=target_mb * 2**20,
        dry_run=dry_run,
    )
    with stopped_by_signals() as stop, Meter("files joined") as meter:
        done = care.compact(plan, stop=stop, tick=meter.follow)
    show("compaction", done, _compacted(done), form)
    if stop.is_set():
        raise typer.Exit(_INTERRUPTED)


def _compacted(done: Iterable[Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("table", "files joined", "MB", "into files", "MB", "files now")]
    for each in done:
        into = "—" if each.into_bytes is None else megabytes(each.into_bytes)
        rows.append(
            (
                each.table,
                f"{each.joined:,}",
                megabytes(each.joined_bytes),
                f"{each.into:,}",
                into,
                f"{each.files:,}",
            )
        )
    return rows


def specs(tables: Sequence[TableName] | None) -> Sequence[TableSpec]:
    """The tables that were named; all, where none was."""
    from shadowlane.lake import TABLES  # noqa: PLC0415 - an extra brings it

    named = [each.value for each in tables or TableName]
    return [spec for spec in TABLES if spec.name in named]


def megabytes(size: int) -> str:
    """12.3."""
    return f"{size / 1e6:,.1f}"


def show(name: str, values: Sequence[Any], rows: Sequence[tuple[str, ...]], form: Form) -> None:
    """Print a result: as a document, or as rows of which the first is the head."""
    with printing():
        if form is Form.json:
            document = {"schema": f"shadowlane.{name}/1", "tables": [asdict(each) for each in values]}
            typer.echo(json.dumps(document, indent=2, default=str))
            return
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for place, head in enumerate(rows[0]):
            table.add_column(head, justify="right" if place else "left", no_wrap=True)
        for row in rows[1:]:
            table.add_row(*row)
        Console(highlight=False).print(table)


class Meter:
    """How far it is: a bar in a terminal, a line now and then elsewhere."""

    def __init__(self, what: str) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(what))
        self._live = console.is_terminal
        self._bar = Progress(*columns, console=console, disable=not self._live, transient=True)
        self._tasks: dict[str, Any] = {}
        self._what = what
        self._said = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def follow(self, table: str, done: int, total: int) -> None:
        """How far one table is."""
        if self._live:
            if table not in self._tasks:
                self._tasks[table] = self._bar.add_task(table)
            self._bar.update(self._tasks[table], completed=done, total=total)
        elif time.monotonic() - self._said >= _SAID_EVERY:
            self._said = time.monotonic()
            typer.echo(f"{table}: {done:,} of {total:,} {self._what}", err=True)
