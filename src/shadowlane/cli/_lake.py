"""`shadowlane lake`: care for the tables, and what they hold."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from shadowlane.cli import _lake_status
from shadowlane.cli._durations import duration
from shadowlane.cli._evidence import printing
from shadowlane.cli._lake_tables import (
    DryRun,
    How,
    OnlyModel,
    TableName,
    Tables,
    count,
    grid,
    megabytes,
    specs,
)
from shadowlane.cli._options import Config, Form, Lake, settings
from shadowlane.errors import SettingsError
from shadowlane.process import stopped_by_signals

if TYPE_CHECKING:
    from shadowlane.lake.care import Day

app = typer.Typer(help="Look after the lake: how it stands, and its files.", no_args_is_help=True)

_SAID_EVERY = 5.0
_INTERRUPTED = 130

app.command("status")(_lake_status.status)


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
    head = ("table", "files joined", "MB", "into files", "MB", "files now")
    rows = [
        (
            each.table,
            count(each.joined),
            megabytes(each.joined_bytes),
            count(each.into),
            "—" if each.into_bytes is None else megabytes(each.into_bytes),
            count(each.files),
        )
        for each in done
    ]
    show("compaction", done, grid(None, head, rows), form)
    if stop.is_set():
        raise typer.Exit(_INTERRUPTED)


@app.command()
def vacuum(
    *,
    table: Tables = None,
    keep_hours: Annotated[
        float,
        typer.Option(min=0, metavar="HOURS", help="Keep what was listed or written since; 168 at most."),
    ] = 168.0,
    force: Annotated[
        bool, typer.Option("--force", help="Keep less than an hour; only when nobody writes or reads.")
    ] = False,
    dry_run: DryRun = False,
    form: How = Form.table,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Delete files that no version of the last days lists, and what killed writers left behind.

    Readers of the present version never miss a file by it. Versions that are older than what is kept can
    no longer be read.

    Example: shadowlane lake vacuum --dry-run
    """
    from shadowlane.lake import care  # noqa: PLC0415 - an extra brings it

    given = settings(lake=lake, config=config)
    keep = timedelta(hours=keep_hours)
    plan = care.VacuumPlan(given.lake, specs(table), keep=keep, force=force, dry_run=dry_run)
    done = care.vacuum(plan)
    head = ("table", "would go" if dry_run else "deleted", "MB", "kept for now", "MB")
    rows = [
        (
            each.table,
            count(each.files),
            megabytes(each.bytes),
            count(each.waiting),
            megabytes(each.waiting_bytes),
        )
        for each in done
    ]
    show("vacuum", done, grid(None, head, rows), form)


@app.command()
def expire(
    *,
    older_than: Annotated[
        timedelta | None,
        typer.Option(parser=duration, metavar="TIME", help="Days that ended so long ago: 90d, 12w."),
    ] = None,
    keep_gb: Annotated[
        float | None,
        typer.Option(min=0, metavar="GB", help="The oldest days, until the tables list no more than this."),
    ] = None,
    table: Annotated[
        list[TableName] | None,
        typer.Option(
            "--table",
            metavar="TABLE",
            help="Only this table; may be repeated.",
            show_default="all but labels and ledger",
        ),
    ] = None,
    model: OnlyModel = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without being asked.")] = False,
    dry_run: DryRun = False,
    form: How = Form.table,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Let whole days go, the oldest first: by age, by size, or both.

    The rows are gone from the tables at once; their files go with a later lake vacuum. Where reading goes
    on in Kafka stays as it is.

    Example: shadowlane lake expire --older-than 90d --yes
    """
    from shadowlane.lake import care  # noqa: PLC0415 - an extra brings it

    given = settings(lake=lake, config=config)
    chosen = specs(table) if table else care.EXPIRING
    size = None if keep_gb is None else int(keep_gb * 1e9)
    plan = care.ExpiryPlan(given.lake, chosen, model=model, older_than=older_than, keep_bytes=size)
    days = care.expiring(plan)
    if not dry_run and days:
        typer.echo(_going(days), err=True)
        _ask(yes=yes)
        days = care.expire(plan, days)
    rows = [
        (f"{each.date}", each.table, each.model or "(unknown)", count(each.rows), megabytes(each.bytes))
        for each in days
    ]
    listed = grid(None, ("day", "table", "model", "rows", "MB"), rows) if rows else "no day is to go"
    show("expiry", days, listed, form)


def _going(days: Sequence[Day]) -> str:
    rows, size = sum(each.rows for each in days), sum(each.bytes for each in days)
    between = f"{min(each.date for each in days)} to {max(each.date for each in days)}"
    tables = ", ".join(sorted({each.table for each in days}))
    return f"{rows:,} rows of {between} go from {tables}: {megabytes(size)} MB"


def _ask(*, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise SettingsError("nobody is there to be asked: pass --yes to let these days go, or --dry-run")
    typer.confirm("Go on?", abort=True, err=True)


def show(name: str, values: Sequence[Any], table: RenderableType, form: Form) -> None:
    """Print a result, as a document or as a table."""
    with printing():
        if form is Form.json:
            document = {"schema": f"shadowlane.lake-{name}/1", name: [asdict(each) for each in values]}
            typer.echo(json.dumps(document, indent=2, default=str))
        else:
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
