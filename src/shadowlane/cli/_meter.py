"""How far something is that takes its time: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from shadowlane import logs

_LINE_SECONDS = 5.0


def log_above_a_bar() -> None:
    """Write warnings above a bar that runs, by the stderr that it has put in place of the real one."""
    level = logs.current().level
    logs.configure(replace(logs.current(), level=logging.WARNING if level == logging.INFO else level))


class Meter:
    """Shown on stderr while the block runs."""

    def __init__(self, at_first: str) -> None:
        console = Console(stderr=True)
        self._live = console.is_terminal
        columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=console, disable=not self._live)
        self._task = self._bar.add_task(at_first, total=None)
        self._said = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        if self._live:
            log_above_a_bar()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        if self._live:
            logs.configure(logs.current())

    def follow(self, done: int, total: int, words: str, line: str = "") -> None:
        """How far it is, in words beside the bar, and in a line of its own where there is no bar."""
        if self._live:
            self._bar.update(self._task, total=max(1, total), completed=done, description=words)
        elif time.monotonic() - self._said >= _LINE_SECONDS:
            self._said = time.monotonic()
            typer.echo(line or f"{words}: {done:,} of {total:,}", err=True)
