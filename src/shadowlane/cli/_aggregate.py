"""`shadowlane aggregate`: land comparisons, errors, labels and counts in the lake."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from shadowlane.cli._options import BootstrapServers, Config, Lake, settings
from shadowlane.process import Heartbeat, stopped_by_signals

log = logging.getLogger(__name__)


def aggregate(
    *,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="End when all that was there at the start is landed.")
    ] = False,
    flush_rows: Annotated[int, typer.Option(min=1, help="Commit after so many rows.")] = 50_000,
    flush_bytes: Annotated[int, typer.Option(min=1, help="Commit after so many bytes of messages.")] = 64
    * 2**20,
    flush_seconds: Annotated[float, typer.Option(min=0.1, help="Commit after so many seconds.")] = 5.0,
    accept_gaps: Annotated[
        bool,
        typer.Option("--accept-gaps", help="Go on without messages that Kafka dropped before they landed."),
    ] = False,
    archive_requests: Annotated[
        bool,
        typer.Option(
            "--archive-requests",
            envvar="SHADOWLANE_ARCHIVE_REQUESTS",
            help="Land the requests too, to replay windows older than Kafka's retention.",
        ),
    ] = False,
    bootstrap_servers: BootstrapServers = None,
    lake: Lake = None,
    config: Config = None,
) -> None:
    """Land what the workers send, exactly once, in Delta tables that any engine reads.

    Runs until Ctrl-C or SIGTERM; what was read is landed first.

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
    )
    heartbeat = Heartbeat()
    with stopped_by_signals() as stop:
        log.info("landing in %s", chosen.lake)
        landings = run_aggregator(plan, chosen.kafka, stop=stop, tick=lambda _: heartbeat.beat())
    counts = ", ".join(f"{rows:,} {table}" for table, rows in sorted(landings.rows.items()))
    log.info("landed %s", counts or "nothing")
