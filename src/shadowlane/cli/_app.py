"""The commands, and what each error means to a shell."""

from __future__ import annotations

import io
import logging
import sys
from enum import StrEnum
from typing import Annotated

import typer

from shadowlane import __version__, logs
from shadowlane.cli import (
    _aggregate,
    _decisions,
    _demo,
    _errors,
    _evidence,
    _gate,
    _kafka,
    _labels,
    _lake,
    _lake_sql,
    _plan,
    _replay,
    _sampling,
    _topics,
    _worker,
)
from shadowlane.errors import DamagedLakeError, SettingsError, ShadowlaneError

log = logging.getLogger(__name__)

_FAILED, _USAGE, _DAMAGED = 1, 2, 5


class LogFormat(StrEnum):
    """How the log is written."""

    text = "text"
    json = "json"


app = typer.Typer(
    name="shadowlane",
    help="Test a new ML model on real production traffic, unseen by users, and decide with evidence.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(_demo.demo)
app.command("worker")(_worker.worker)
app.command("replay")(_replay.replay)
app.command("aggregate")(_aggregate.aggregate)
app.command("report")(_evidence.report)
app.command("gate")(_gate.gate)
app.command("plan")(_plan.plan)
app.add_typer(_decisions.app, name="decisions")
app.add_typer(_errors.app, name="errors")
app.add_typer(_kafka.app, name="kafka")
_lake.app.command("sql")(_lake_sql.sql)
app.add_typer(_labels.app, name="labels")
app.add_typer(_lake.app, name="lake")
app.add_typer(_topics.app, name="topics")
app.add_typer(_sampling.app, name="sampling")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the flag's value
    if wanted:
        typer.echo(f"shadowlane {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[  # noqa: ARG001 - its callback prints and ends
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Say which version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more, on stderr.")] = False,
    log_format: Annotated[
        LogFormat,
        typer.Option(help="Log lines for people, or a JSON object a line.", envvar="SHADOWLANE_LOG_FORMAT"),
    ] = LogFormat.text,
) -> None:
    """Options before the command."""
    level = logging.DEBUG if verbose else logging.INFO
    logs.configure(logs.LogSettings(log_format.value, level))


def run() -> None:
    """Run, and turn errors into a sentence on stderr and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character is no reason to fail
    try:
        app(prog_name="shadowlane")
    except ShadowlaneError as error:
        _say(error)
        sys.exit(_exit_code(error))
    except BrokenPipeError:  # `shadowlane report | head`
        sys.stderr.close()
        sys.exit(_FAILED)


def _say(error: ShadowlaneError) -> None:
    if logs.current().format == "json":
        log.critical("%s", error)
    else:
        typer.echo(f"shadowlane: {error}", err=True)


def _exit_code(error: ShadowlaneError) -> int:
    if isinstance(error, SettingsError):
        return _USAGE
    return _DAMAGED if isinstance(error, DamagedLakeError) else _FAILED
