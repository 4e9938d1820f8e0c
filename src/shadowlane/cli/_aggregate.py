"""`shadowlane aggregate`: land comparisons, errors, labels and counts in the lake."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from shadowlane import logs
from shadowlane.cli._group_options import GroupProtocol
from shadowlane.cli._groups import with_options
from shadowlane.cli._health_options import HealthOptions
from shadowlane.cli._options import BootstrapServers, Config, Form, Lake, settings
from shadowlane.process import Heartbeat, stopped_by_signals

if TYPE_CHECKING:
    from shadowlane.aggregator import Landings

log = logging.getLogger(__name__)

_INTERRUPTED = 130
_COMMITS = "When to commit"
_TROUBLE = "When something is wrong"


@with_options(health=HealthOptions)
def aggregate(
    *,
    health: HealthOptions,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="End when all that was there at the start is landed.")
    ] = False,
    archive_requests: Annotated[
        bool,
        typer.Option(
            "--archive-requests",
            envvar="SHADOWLANE_ARCHIVE_REQUESTS",
            help="Land the requests too, to replay windows older than Kafka's retention.",
        ),
    ] = False,
    flush_rows: Annotated[
        int, typer.Option(min=1, help="Commit after so many rows.", rich_help_panel=_COMMITS)
    ] = 50_000,
    flush_bytes: Annotated[
        int, typer.Option(min=1, help="Commit after so many bytes of messages.", rich_help_panel=_COMMITS)
    ] = 64 * 2**20,
    flush_seconds: Annotated[
        float, typer.Option(min=0.1, help="Commit after so many seconds.", rich_help_panel=_COMMITS)
    ] = 5.0,
    accept_gaps: Annotated[
        bool,
        typer.Option(
            "--accept-gaps",
            help="Go on without messages that Kafka dropped before they landed.",
            rich_help_panel=_TROUBLE,
        ),
    ] = False,
    give_up_after: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="End with an error when the lake could not be written for so long.",
            show_default="300 with --until-caught-up, else never",
            rich_help_panel=_TROUBLE,
        ),
    ] = None,
    group_protocol: Annotated[
        GroupProtocol,
        typer.Option(
            help="How aggregators share partitions: classic, or consumer (KIP-848; Kafka 4.0 or newer)."
        ),
    ] = GroupProtocol.classic,
    form: Annotated[Form, typer.Option("--format", help="How the summary is printed.")] = Form.table,
    bootstrap_servers: BootstrapServers = None,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Land what the workers send, exactly once, in Delta tables that any engine reads.

    Runs until Ctrl-C or SIGTERM; what was read is landed first. While the lake cannot be written (a full
    disk, a store that is away) it waits, says why, and goes on by itself.

    Example: shadowlane aggregate --lake ./lake
    """
    from shadowlane.aggregator import AggregatorPlan, run_aggregator  # noqa: PLC0415 - an extra brings it

    chosen = settings(bootstrap_servers, lake, config)
    plan = AggregatorPlan(
        chosen.lake,
        flush_rows=flush_rows,
        flush_bytes=flush_bytes,
        flush_seconds=flush_seconds,
        until_caught_up=until_caught_up,
        accept_gaps=accept_gaps,
        archive_requests=archive_requests,
        give_up_seconds=give_up_after,
        group_protocol=group_protocol.value,
    )
    with stopped_by_signals() as stop, _followed(shown=until_caught_up) as follow:
        log.info("landing in %s", chosen.lake)
        landings = run_aggregator(plan, chosen.kafka, stop=stop, tick=follow, health=health.value())
        follow(landings)  # the last batch lands after the last tick
    if form is Form.json:
        typer.echo(json.dumps(landings.to_dict(), indent=2))
    elif logs.current().format == "json":
        log.info("landed %s", landings)
    else:
        typer.echo(f"landed {landings}", err=True)
    if until_caught_up and stop.is_set():
        raise typer.Exit(_INTERRUPTED)


@contextmanager
def _followed(*, shown: bool) -> Iterator[Callable[[Landings], None]]:
    """Beat for whoever watches the process; a meter for who waits for the end."""
    heartbeat = Heartbeat()
    if not shown or logs.current().format == "json":
        yield lambda _: heartbeat.beat()
        return
    from shadowlane.cli._meter import Meter  # noqa: PLC0415 - rich takes its time to import

    with Meter("joining Kafka") as meter:

        def follow(landings: Landings) -> None:
            heartbeat.beat()
            done, total = landings.progress
            if total:
                meter.follow(
                    done, total, f"landed {landings}", f"{done:,} of {total:,} read; landed {landings}"
                )

        yield follow
