"""`shadowlane errors`: what failed, in groups, and sending it through again once it is mended."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from datetime import UTC, datetime
from enum import StrEnum
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from shadowlane.cli._comparing_options import ComparingOptions
from shadowlane.cli._control_options import PrimaryOptions
from shadowlane.cli._durations import duration
from shadowlane.cli._evidence import moment, printing
from shadowlane.cli._fetch_options import FetchOptions
from shadowlane.cli._groups import with_options
from shadowlane.cli._isolation_options import IsolationOptions
from shadowlane.cli._model_options import ModelOptions
from shadowlane.cli._options import BootstrapServers, Config, Form, Lake, Run, Source, settings
from shadowlane.cli._shadow import ShadowOptions
from shadowlane.process import stopped_by_signals

if TYPE_CHECKING:
    from shadowlane.replay_worker import Tally
    from shadowlane.replay_worker.redrive import Redriven

log = logging.getLogger(__name__)

app = typer.Typer(help="See what failed, and send it through again once it is mended.", no_args_is_help=True)

_SAID_EVERY = 5.0


class Stage(StrEnum):
    """Where a request can fail."""

    decode = "decode"
    load = "load"
    fetch = "fetch"
    predict = "predict"
    timeout = "timeout"
    crash = "crash"
    compare = "compare"
    oversize = "oversize"


def _since(text: str) -> datetime:
    """A time, or how long ago it was."""
    try:
        return datetime.now(UTC) - duration(text.strip().removeprefix("-"))
    except typer.BadParameter:
        return moment(text)


Stages = Annotated[
    list[Stage] | None,
    typer.Option("--stage", metavar="STAGE", help="Only errors of this stage; may be repeated."),
]
Since = Annotated[
    datetime | None,
    typer.Option(
        parser=_since,
        metavar="TIME",
        help="Only errors that happened since then: 2026-03-01T14:30, or how long ago, as 90m, 12h or 7d.",
    ),
]
Format = Annotated[Form, typer.Option("--format", help="How it is printed.")]


@app.command("list")
def show(
    *,
    model: Annotated[str | None, typer.Option(help="Only this model's.", show_default="all")] = None,
    shadow: Annotated[str | None, typer.Option(help="Only this shadow's.", show_default="all")] = None,
    run: Annotated[str | None, typer.Option(help="Only this run's.", show_default="all")] = None,
    stage: Stages = None,
    since: Since = None,
    from_topic: Annotated[
        bool, typer.Option("--from-topic", help="Read the topic shadow-errors in place of the lake.")
    ] = False,
    form: Format = Form.table,
    lake: Lake = None,
    bootstrap_servers: BootstrapServers = None,
    config: Config = None,
) -> None:
    """List what failed, in groups: stage, type, and the message without what differs between requests.

    Of a request's errors the last one counts; the lake knows which requests were compared since.

    Example: shadowlane errors list --model fraud --shadow boosting-2 --since 12h
    """
    from shadowlane import aggregator  # noqa: PLC0415 - an extra brings it
    from shadowlane.aggregator.terminal import print_errors  # noqa: PLC0415 - the same

    chosen = aggregator.ErrorFilter(model, shadow, run, [each.value for each in stage or ()], since)
    given = settings(bootstrap_servers, lake, config)
    if from_topic:
        with stopped_by_signals() as stop:
            groups = aggregator.errors_in_topic(given.kafka, chosen, stop)
    else:
        groups = aggregator.errors_in_lake(given.lake, chosen)
    with printing():
        if form is Form.json:
            typer.echo(aggregator.errors_to_json(groups))
        else:
            print_errors(groups, Console())


@app.command("redrive")
@with_options(
    shadow=ShadowOptions,
    loading=ModelOptions,
    fetching=FetchOptions,
    isolation=IsolationOptions,
    comparing=ComparingOptions,
    primary=PrimaryOptions,
)
def redrive(
    *,
    shadow: ShadowOptions,
    loading: ModelOptions,
    fetching: FetchOptions,
    isolation: IsolationOptions,
    comparing: ComparingOptions,
    primary: PrimaryOptions,
    run: Run = "live",
    stage: Stages = None,
    since: Since = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many there are, and ask nobody.")
    ] = False,
    source: Annotated[
        Source,
        typer.Option(
            help="Where the requests are read again: in Kafka; in the lake's archive (shadowlane aggregate "
            "--archive-requests); or there only those that Kafka no longer holds (auto)."
        ),
    ] = Source.kafka,
    form: Format = Form.table,
    bootstrap_servers: BootstrapServers = None,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Replay the requests whose last word is an error, under the same identity; each counts once.

    What was compared since is left out: after Ctrl-C, run it again and it goes on.

    Example: shadowlane errors redrive --model fraud --shadow boosting-2 --load python:models:predict
    """
    from shadowlane.replay_worker.redrive import Origin, Selection  # noqa: PLC0415 - its packages come with an extra
    from shadowlane.replay_worker.redrive import redrive as send_again  # noqa: PLC0415 - the same

    plan = comparing.applied_to(shadow.plan(run, fetching.applied_to(loading.source())), config)
    plan = replace(plan, isolation=isolation.value(), primary=primary.source())
    selection = Selection([each.value for each in stage or ()], since)
    chosen = settings(bootstrap_servers, lake, config)
    with stopped_by_signals() as stop:
        result = send_again(
            plan,
            chosen.kafka,
            selection,
            stop=stop,
            origin=Origin(source.value, chosen.lake),
            dry_run=dry_run,
            tick=_Teller(),
        )
    with printing():
        if form is Form.json:
            typer.echo(json.dumps({"schema": "shadowlane.redrive/1", **asdict(result)}, indent=2))
        else:
            typer.echo("\n".join(_lines(result)))


class _Teller:
    """Says how far it is, every few seconds."""

    def __init__(self) -> None:
        self._then = monotonic()

    def __call__(self, tally: Tally) -> None:
        if monotonic() - self._then > _SAID_EVERY:
            self._then = monotonic()
            log.info("%s redriven so far, %s of them compared", f"{tally.requests:,}", f"{tally.compared:,}")


def _lines(result: Redriven) -> list[str]:
    """What became of them, in words; what is none is left out."""
    errors = ", ".join(f"{count:,} {stage}" for stage, count in sorted(result.errors.items()))
    said = [
        (result.already_compared, "compared since, left as they are"),
        (result.gone, "gone: no longer there (--source auto looks in the lake's archive too)"),
        (result.redriven, "redriven"),
        (result.archived, "  read from the lake's archive"),
        (result.compared, "  compared now"),
        (sum(result.errors.values()), f"  errors again ({errors})"),
        (result.of_other_models, "  requests of other models"),
        (result.left, "to go"),
        (result.elsewhere, "not redrivable: their shadow ran in the service's own process"),
    ]
    lines = [f"{result.failed:>9,} failed"]
    return lines + [f"{count:>9,} {words}" for count, words in said if count]
