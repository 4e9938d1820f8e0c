"""`shadowlane worker`: replay requests on the shadow."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from shadowlane.cli._comparing_options import ComparingOptions
from shadowlane.cli._control_options import ControlOptions, PrimaryOptions
from shadowlane.cli._fetch_options import FetchOptions
from shadowlane.cli._group_options import GroupOptions
from shadowlane.cli._groups import with_options
from shadowlane.cli._health_options import HealthOptions
from shadowlane.cli._isolation_options import IsolationOptions
from shadowlane.cli._model_options import ModelOptions
from shadowlane.cli._options import BootstrapServers, Config, Run, settings
from shadowlane.cli._shadow import ShadowOptions
from shadowlane.errors import SettingsError
from shadowlane.process import stopped_by_signals


@with_options(
    shadow=ShadowOptions,
    loading=ModelOptions,
    fetching=FetchOptions,
    isolation=IsolationOptions,
    comparing=ComparingOptions,
    primary=PrimaryOptions,
    control=ControlOptions,
    health=HealthOptions,
    group=GroupOptions,
)
def worker(
    *,
    shadow: ShadowOptions,
    loading: ModelOptions,
    fetching: FetchOptions,
    isolation: IsolationOptions,
    comparing: ComparingOptions,
    primary: PrimaryOptions,
    control: ControlOptions,
    health: HealthOptions,
    group: GroupOptions,
    run: Run = "live",
    processes: Annotated[int, typer.Option(min=1, metavar="N", help="Worker processes on this machine.")] = 1,
    worker_id: Annotated[
        str | None,
        typer.Option(
            help="An id that survives a restart and that no other worker has; made from the host by default."
        ),
    ] = None,
    bootstrap_servers: BootstrapServers = None,
    config: Config = None,
) -> None:
    """Replay each request on the shadow and send on how the two answers compare.

    Runs until Ctrl-C or SIGTERM; what is under way is finished first.

    Example: shadowlane worker --model fraud --shadow boosting-2 --load python:models:predict --processes 2
    """
    from shadowlane import replay_worker as replay  # noqa: PLC0415 - its packages come with an extra

    if worker_id and processes > 1:
        raise SettingsError("--worker-id names one worker; with --processes, ids are made from the host")
    plan = group.applied_to(shadow.plan(run, fetching.applied_to(loading.source())))
    plan = comparing.applied_to(plan, config)
    plan = replace(plan, isolation=isolation.value())
    plan = replace(plan, primary=primary.source(), control=control.value(primary.source()))
    kafka = settings(bootstrap_servers, config=config).kafka
    with stopped_by_signals() as stop:
        if processes == 1:
            replay.run_one(plan, kafka, worker_id, stop, health.value())
        else:
            replay.run_fleet(plan, kafka, processes, stop, health.value())
