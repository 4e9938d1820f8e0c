"""`shadowlane kafka`: the embedded Apache Kafka, for a laptop and for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shadowlane.kafka import start_detached, status, stop_detached

app = typer.Typer(
    help="A real Apache Kafka on this machine, with no Docker and no Java.", no_args_is_help=True
)

DataDir = Annotated[
    Path, typer.Option(help="Where it keeps its data and its log.", envvar="SHADOWLANE_KAFKA_DATA_DIR")
]
_DATA_DIR = Path(".shadowlane/kafka")
_NOT_RUNNING = 1


@app.command("start")
def start(
    *,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port on 127.0.0.1.")] = 9092,
    data_dir: DataDir = _DATA_DIR,
) -> None:
    """Start it in the background; what it keeps is there again after a stop.

    Example: shadowlane kafka start --port 9092
    """
    started = start_detached(data_dir, port, progress=lambda text: typer.echo(text, err=True))
    typer.echo(f"Kafka runs at {started.bootstrap_servers} (pid {started.pid})")


@app.command("stop")
def stop(*, data_dir: DataDir = _DATA_DIR) -> None:
    """Stop it; its data stays.

    Example: shadowlane kafka stop
    """
    typer.echo("Kafka is stopped" if stop_detached(data_dir) else "Kafka was not running")


@app.command("status")
def show_status(*, data_dir: DataDir = _DATA_DIR) -> None:
    """Say whether it runs, and where (exit code 1 if not).

    Example: shadowlane kafka status
    """
    now = status(data_dir)
    if not now.running:
        typer.echo("Kafka is not running")
        raise typer.Exit(_NOT_RUNNING)
    typer.echo(f"Kafka runs at {now.bootstrap_servers} (pid {now.pid}, log {now.log})")
