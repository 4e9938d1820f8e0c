"""`shadowlane report`: the figures, and the verdict that they allow."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from shadowlane.cli._options import Config, Format, Lake, Model, Run, Shadow, settings
from shadowlane.errors import SettingsError, ShadowlaneError
from shadowlane.settings import Location

if TYPE_CHECKING:
    from shadowlane.aggregator import GateResult, Report


def moment(text: str) -> datetime:
    """A time as people write it; one that names no zone is in UTC."""
    try:
        moment = datetime.fromisoformat(re.sub(r"\s+(?=[Z+-])", "", text.strip()))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no time; write 2026-03-01, 2026-03-01T14:30 or 2026-03-01T14:30:00+02:00"
        ) from None


Start = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        parser=moment,
        metavar="TIME",
        help="Requests from this time on: 2026-03-01 or 2026-03-01T14:30, UTC or with a zone (Z, +02:00).",
    ),
]
End = Annotated[
    datetime | None,
    typer.Option("--to", parser=moment, metavar="TIME", help="Requests before this time."),
]
By = Annotated[
    list[str] | None, typer.Option("--by", help="Break the figures down by this segment; may be repeated.")
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        help="The criteria, a TOML file.", show_default="the five defaults", exists=True, dir_okay=False
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write to this file.", show_default="standard output")
]


def report(
    *,
    model: Model,
    shadow: Shadow,
    run: Run = "live",
    start: Start = None,
    end: End = None,
    by: By = None,
    policy: PolicyFile = None,
    form: Annotated[Format, typer.Option("--format", help="How it is printed.")] = Format.table,
    output: Output = None,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Show what the comparisons say: agreement, latency, errors, distributions, and the verdict.

    Example: shadowlane report --model fraud --shadow boosting-2 --by country --format html -o report.html
    """
    figures = _read(settings(lake=lake, config=config).lake, model, shadow, run, start, end, by)
    _show(figures, _decide(figures, policy), form, output)


def show_demo(lake: Path, model: str, shadow: str, page: Path) -> None:
    """The demo's end: the report with its verdict on the terminal, and the same as a page."""
    from shadowlane.aggregator import report_to_html  # noqa: PLC0415 - an extra brings it

    figures = _read(str(lake), model, shadow, "live", None, None, ["clinic"])
    verdict = _decide(figures, None)
    _show(figures, verdict, Format.table, None)
    page.write_text(report_to_html(figures, verdict), encoding="utf-8")


def _read(
    lake: str | Location,
    model: str,
    shadow: str,
    run: str,
    start: datetime | None,
    end: datetime | None,
    by: list[str] | None,
) -> Report:
    from shadowlane.aggregator import Scope, read_report  # noqa: PLC0415 - an extra brings them

    return read_report(lake, Scope(model, shadow, run, start, end), by=by or ())


def _decide(figures: Report, policy: Path | None) -> GateResult:
    from shadowlane.aggregator import Policy, decide  # noqa: PLC0415 - an extra brings them

    return decide(figures, Policy.load(policy) if policy else Policy(), datetime.now(UTC))


def _show(figures: Report, verdict: GateResult, form: Format, output: Path | None) -> None:
    from shadowlane import aggregator  # noqa: PLC0415 - an extra brings it
    from shadowlane.aggregator.terminal import print_report  # noqa: PLC0415 - the same

    if form is Format.table and output is None:
        with printing():
            print_report(figures, Console(), verdict)
        return
    if form is Format.table:
        raise SettingsError(
            "a table goes to the terminal; with --output, choose --format json, markdown, html or csv"
        )
    text = {
        Format.json: lambda: aggregator.report_to_json(figures),
        Format.markdown: lambda: aggregator.report_to_markdown(figures, verdict),
        Format.html: lambda: aggregator.report_to_html(figures, verdict),
        Format.csv: lambda: aggregator.report_to_csv(figures, verdict),
    }[form]()
    if output is None:
        with printing():
            typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ShadowlaneError(f"cannot write {output}: {error.strerror}; nothing was reported") from error
    typer.echo(f"written to {output}", err=True)


@contextmanager
def printing() -> Iterator[None]:
    """Standard output that cannot be written (a full disk, say) is an error in a sentence."""
    try:
        yield
    except BrokenPipeError:  # the reader has left; that is no failure to tell of
        raise
    except OSError as error:
        # Python tries once more as it ends, and would print a second error.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ShadowlaneError(f"cannot write to standard output: {error.strerror}") from error
