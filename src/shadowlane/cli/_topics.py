"""`shadowlane topics`: make the pipeline's topics, or see whether they are as they must be."""

from __future__ import annotations

from typing import Annotated

import typer

from shadowlane.cli._options import BootstrapServers, Config, settings
from shadowlane.kafka import TopicNames, check_topics, create_topics, default_specs

app = typer.Typer(help="Make the pipeline's topics, or check them.", no_args_is_help=True)

Partitions = Annotated[
    int, typer.Option(min=1, help="Partitions of each large topic: as many workers can share the work.")
]


@app.command("create")
def create(
    *,
    partitions: Partitions = 6,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, show_default="the broker's default", help="Copies of each partition.")
    ] = None,
    bootstrap_servers: BootstrapServers = None,
    config: Config = None,
) -> None:
    """Make the topics that are not there yet; those that are stay as they are.

    Example: shadowlane topics create --partitions 12
    """
    kafka = settings(bootstrap_servers, config=config).kafka
    specs = default_specs(TopicNames(kafka.topic_prefix), partitions)
    for result in create_topics(kafka, specs, replication_factor):
        typer.echo(f"{result.name}: {'created' if result.created else 'there already'}")


@app.command("check")
def check(
    *, partitions: Partitions = 1, bootstrap_servers: BootstrapServers = None, config: Config = None
) -> None:
    """Say where the topics are not as the pipeline needs them (exit code 1 if anywhere).

    Example: shadowlane topics check
    """
    kafka = settings(bootstrap_servers, config=config).kafka
    specs = default_specs(TopicNames(kafka.topic_prefix), partitions)
    differences = check_topics(kafka, specs)
    for difference in differences:
        typer.echo(str(difference))
    if differences:
        raise typer.Exit(1)
    typer.echo(f"all {len(specs)} topics are as they must be")
