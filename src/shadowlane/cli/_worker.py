"""`shadowlane worker`: replay requests on the shadow."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from shadowlane.cli._options import BootstrapServers, Config, Model, Run, Shadow, settings
from shadowlane.comparators import Comparator
from shadowlane.errors import SettingsError
from shadowlane.process import stopped_by_signals

_MODEL_PANEL, _COMPARING = "The shadow model", "Comparing"


class KeepFeatures(StrEnum):
    """Which comparisons carry their features."""

    disagreements = "disagreements"
    all = "all"
    none = "none"


def worker(
    *,
    model: Model,
    shadow: Shadow,
    load: Annotated[
        str,
        typer.Option(
            help="Where the shadow model is: python:package.module:attribute, or sklearn:model.joblib.",
            rich_help_panel=_MODEL_PANEL,
        ),
    ],
    shadow_version: Annotated[
        str, typer.Option(help="The shadow's version.", rich_help_panel=_MODEL_PANEL)
    ] = "",
    features: Annotated[
        str,
        typer.Option(
            help="The features in the model's order, with commas, where it does not name them.",
            rich_help_panel=_MODEL_PANEL,
        ),
    ] = "",
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle", help="Load a pickle, which runs its code.", rich_help_panel=_MODEL_PANEL
        ),
    ] = False,
    sha256: Annotated[
        str | None, typer.Option(help="The model file's sha256.", rich_help_panel=_MODEL_PANEL)
    ] = None,
    run: Run = "live",
    processes: Annotated[int, typer.Option(min=1, help="Worker processes on this machine.")] = 1,
    batch: Annotated[
        bool,
        typer.Option("--batch", help="Ask the model about many requests at once; latencies are amortized."),
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Requests in a transaction, at most.")] = 500,
    comparator: Annotated[
        str,
        typer.Option(
            help="When two predictions agree: auto, label, score:0.05, …", rich_help_panel=_COMPARING
        ),
    ] = "auto",
    keep_features: Annotated[
        KeepFeatures,
        typer.Option(help="Which comparisons carry their features.", rich_help_panel=_COMPARING),
    ] = KeepFeatures.disagreements,
    max_error_ratio: Annotated[
        float, typer.Option(help="Stop when a larger share of requests fails (1: never).")
    ] = 0.5,
    latest: Annotated[
        bool, typer.Option("--latest", help="Where no offsets are committed, start with new requests only.")
    ] = False,
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

    plan = replay.WorkerPlan(
        target=replay.Target(model, shadow, shadow_version, run),
        source=replay.ModelSource(
            load, tuple(filter(None, features.split(","))), allow_pickle=allow_pickle, sha256=sha256
        ),
        comparator=Comparator.parse(comparator),
        ceiling=replay.ErrorCeiling(max_error_ratio),
        batch=batch,
        batch_size=batch_size,
        keep_features=keep_features.value,
        start="latest" if latest else "earliest",
    )
    if worker_id and processes > 1:
        raise SettingsError("--worker-id names one worker; with --processes, ids are made from the host")
    kafka = settings(bootstrap_servers, config=config).kafka
    with stopped_by_signals() as stop:
        if processes == 1:
            replay.run_one(plan, kafka, worker_id, stop)
        else:
            replay.run_fleet(plan, kafka, processes, stop)
