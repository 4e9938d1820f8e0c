"""`shadowlane demo`: the whole pipeline on this machine, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from shadowlane.process import stopped_by_signals

if TYPE_CHECKING:
    from shadowlane.demo import Follow

_INTERRUPTED = 130
_STEPS = ("published", "replayed", "landed")


def demo(
    *,
    requests: Annotated[
        int, typer.Option(min=1, help="How many requests the serving process answers.")
    ] = 20_000,
    folder: Annotated[Path, typer.Option(help="Where the lake, the logs and the report go.")] = Path(
        "shadowlane-demo"
    ),
) -> None:
    """See the whole pipeline work on this machine: Kafka, a service, workers, the lake, a report, a verdict.

    Needs no Docker and no Java, ends by itself and leaves no process behind.

    Example: shadowlane demo --requests 20000
    """
    from shadowlane import demo as it  # noqa: PLC0415 - its packages come with an extra
    from shadowlane.cli import _evidence  # noqa: PLC0415 - the same

    console = Console(stderr=True)
    with stopped_by_signals() as stop:
        try:
            with _Meter(console, requests) as meter:
                shown = it.run_demo(requests, folder, stop=stop, say=meter.say, follow=meter.follow)
        except it.Interrupted as interrupted:
            typer.echo(f"shadowlane: {interrupted}", err=True)
            raise typer.Exit(_INTERRUPTED) from None
    page = shown.folder / "report.html"
    _evidence.show_demo(shown.lake, it.MODEL, it.SHADOW, page)
    typer.echo(f"\nHTML report: {page}")


class _Meter:
    """How far the requests are: bars in a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._live = console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description:>10}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TimeElapsedColumn(),
            console=console,
            disable=not self._live,
        )
        self._total = total
        self._tasks: dict[str, TaskID] = {}
        self._said = -1

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        """A step that was taken."""
        if self._tasks and self._bars.finished:
            self._bars.stop()  # while they run, what is printed stands above them
        self._console.print(text, markup=False, highlight=False)

    def follow(self, now: Follow) -> None:
        """How far each stage is."""
        seen = (now.published, now.replayed, now.landed)
        # What has landed was replayed before, though the count of that may be a moment old.
        counts = [min(self._total, max(seen[step:])) for step in range(len(seen))]
        if self._live:
            for step, count in zip(_STEPS, counts, strict=True):
                if step not in self._tasks:
                    self._tasks[step] = self._bars.add_task(step, total=self._total)
                self._bars.update(self._tasks[step], completed=count)
            return
        tenth = sum(counts) * 10 // (3 * self._total)
        if tenth > self._said:
            self._said = tenth
            said = ", ".join(f"{count:,} {step}" for step, count in zip(_STEPS, counts, strict=True))
            typer.echo(said, err=True)
