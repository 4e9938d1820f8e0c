"""Options that several commands share, and the settings they come to."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from shadowlane.settings import Settings

_CONNECTION = "Connection"

BootstrapServers = Annotated[
    str | None,
    typer.Option(
        help="Kafka's addresses, host:port.",
        envvar="SHADOWLANE_BOOTSTRAP_SERVERS",
        show_default="localhost:9092",
        rich_help_panel=_CONNECTION,
    ),
]
Lake = Annotated[
    str | None,
    typer.Option(
        help="The lake: a folder, or s3://bucket/prefix, gs://… or az://….",
        envvar="SHADOWLANE_LAKE",
        show_default="./lake",
        rich_help_panel=_CONNECTION,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        help="A settings file; shadowlane.toml in this folder is read by itself.",
        envvar="SHADOWLANE_CONFIG",
        rich_help_panel=_CONNECTION,
    ),
]
Model = Annotated[str, typer.Option(help="The model whose requests are replayed.")]
Shadow = Annotated[str, typer.Option(help="The shadow's name.")]
Run = Annotated[str, typer.Option(help="The stream of replays: live, or a historical replay's name.")]


class Form(StrEnum):
    """How what is no report is printed."""

    table = "table"
    json = "json"


class Source(StrEnum):
    """Where requests are read."""

    kafka = "kafka"
    lake = "lake"
    auto = "auto"


class Format(StrEnum):
    """How a result is printed."""

    table = "table"
    json = "json"
    markdown = "markdown"
    html = "html"
    csv = "csv"


def settings(
    bootstrap_servers: str | None = None, lake: str | None = None, config: Path | None = None
) -> Settings:
    """Arguments over environment over file."""
    return Settings.load(bootstrap_servers=bootstrap_servers, lake=lake, config=config)
