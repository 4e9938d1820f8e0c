"""The options for models that ask others: a server over HTTP, or a store of features."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from shadowlane.replay_worker import ModelSource

_PANEL = "Models that ask others"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """How much is asked at once, and what is looked up before the model is asked."""

    concurrency: Annotated[
        int,
        typer.Option(
            min=1,
            help="How many requests a model over HTTP is asked at once, and look-ups made at once.",
            rich_help_panel=_PANEL,
        ),
    ] = 8
    fetch: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="What looks features up before the model is asked: python:package.module:attribute.",
            show_default="nothing does",
            rich_help_panel=_PANEL,
        ),
    ] = None
    fetch_seconds: Annotated[
        float,
        typer.Option(
            help="How long a request's look-up may take, all its attempts together.", rich_help_panel=_PANEL
        ),
    ] = 2.0

    def applied_to(self, source: ModelSource) -> ModelSource:
        """The model with these."""
        return replace(
            source, concurrency=self.concurrency, fetch=self.fetch, fetch_seconds=self.fetch_seconds
        )
