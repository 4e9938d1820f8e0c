"""`shadowlane report`: the figures, and the verdict that they allow."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
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
    from shadowlane.aggregator import Control, GateResult, Policy, Report, Scope


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
    list[str] | None,
    typer.Option(
        "--by",
        metavar="NAME",
        help="Tell more by this segment, or by a feature as feature:NAME; may be repeated.",
    ),
]
Where = Annotated[
    str | None,
    typer.Option(
        metavar="SQL",
        help="Only requests that meet this: \"segments['country'] = 'BR' AND primary_score > 0.5\".",
    ),
]
AgainstControl = Annotated[
    str | None,
    typer.Option(
        metavar="SHADOW[@RUN]",
        help="An A/A control: the primary replayed as this shadow. Its noise is told, and taken off.",
        show_default="what a worker's --control made",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="From which score on an answer is 1, where labels are 0 or 1.",
        show_default="0.5, for scores from 0 to 1",
    ),
]
WithRules = Annotated[
    bool,
    typer.Option(
        "--rules/--no-rules",
        help="Seek rules for what disagreeing, failing and slow requests share; it takes longer.",
    ),
]
Suite = Annotated[
    Path | None,
    typer.Option(
        "--export-suite",
        metavar="FILE",
        help="Also write the disagreements as a regression suite, for: shadowlane replay --suite.",
        show_default="none; .jsonl or .parquet",
    ),
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
    where: Where = None,
    by: By = None,
    control: AgainstControl = None,
    threshold: Threshold = None,
    rules: WithRules = True,
    policy: PolicyFile = None,
    suite: Suite = None,
    form: Annotated[Format, typer.Option("--format", help="How it is printed.")] = Format.table,
    output: Output = None,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Show what the comparisons say: agreement, latency, errors, distributions, labels, and the verdict.

    Example: shadowlane report --model fraud --shadow boosting-2 --by country --format html -o report.html
    """
    from shadowlane.aggregator import Policy, Scope  # noqa: PLC0415 - an extra brings them

    place = settings(lake=lake, config=config).lake
    criteria = Policy.load(policy) if policy else Policy()
    scope = Scope(model, shadow, run, start, end, where)
    with _at_work("reading the lake"):
        figures = _read(
            place,
            scope,
            criteria,
            by=by or [],
            control=_control(control),
            threshold=threshold,
            with_rules=rules,
        )
    if suite:
        _export(place, scope, suite)
    _show(figures, _decide(figures, criteria), form, output)


def _export(place: str | Location, scope: Scope, file: Path) -> None:
    from shadowlane.aggregator import export_suite  # noqa: PLC0415 - an extra brings it

    done = export_suite(place, scope, file)
    without = f", {done.without_features:,} left out without features" if done.without_features else ""
    typer.echo(f"{done.rows:,} of {done.disagreements:,} disagreements written to {file}{without}", err=True)


def show_demo(lake: Path, model: str, shadow: str, page: Path) -> None:
    """The demo's end: the report with its verdict on the terminal, and the same as a page."""
    from shadowlane.aggregator import Policy, Scope, report_to_html  # noqa: PLC0415 - an extra brings them

    figures = _read(str(lake), Scope(model, shadow), Policy(), by=["clinic"])
    verdict = _decide(figures, Policy())
    _show(figures, verdict, Format.table, None)
    page.write_text(report_to_html(figures, verdict), encoding="utf-8")


def _control(text: str | None) -> Control | None:
    from shadowlane.aggregator import Control  # noqa: PLC0415 - an extra brings it

    if text is None:
        return None
    shadow, _, run = text.partition("@")
    return Control(shadow, run or "live")


def _read(
    lake: str | Location,
    scope: Scope,
    policy: Policy,
    *,
    by: Sequence[str] = (),
    control: Control | None = None,
    threshold: float | None = None,
    with_rules: bool = True,
) -> Report:
    """The report, with all that the policy's verdict needs besides."""
    from shadowlane.aggregator import SECTIONS, Control, needed_sections, read_report  # noqa: PLC0415 - the same

    named = policy.segments.names if policy.segments else ()
    noise = policy.noise
    return read_report(
        lake,
        scope,
        by=[*dict.fromkeys((*by, *named))],
        control=control or (Control(noise.control, noise.control_run) if noise else None),
        sections=(SECTIONS | needed_sections(policy)) - (set() if with_rules else {"rules"}),
        threshold=policy.labels.threshold if threshold is None and policy.labels else threshold,
        confidence=policy.confidence,
    )


def _decide(figures: Report, policy: Policy) -> GateResult:
    from shadowlane.aggregator import decide  # noqa: PLC0415 - an extra brings it

    return decide(figures, policy, datetime.now(UTC))


@contextmanager
def _at_work(doing: str) -> Iterator[None]:
    """On a terminal, that something is being done; on stderr, and gone when it is done."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(f"{doing} …"):
        yield


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
