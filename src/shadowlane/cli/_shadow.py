"""The options that say which model is replayed, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from shadowlane.cli._options import Model, Run, Shadow

if TYPE_CHECKING:
    from shadowlane.replay_worker import ModelSource, WorkerPlan

_MODEL = "The shadow model"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowOptions:
    """What `shadowlane worker` and `shadowlane replay` have in common."""

    model: Model
    shadow: Shadow
    shadow_version: Annotated[str, typer.Option(help="The shadow's version.", rich_help_panel=_MODEL)] = ""
    batch: Annotated[
        bool,
        typer.Option("--batch", help="Ask the model about many requests at once; latencies are amortized."),
    ] = False
    batch_size: Annotated[
        int, typer.Option(min=1, metavar="N", help="Requests in a transaction, at most.")
    ] = 5_000
    max_error_ratio: Annotated[
        float, typer.Option(help="Stop when a larger share of requests fails (1: never).")
    ] = 0.5
    max_consecutive_errors: Annotated[
        int, typer.Option(min=0, metavar="N", help="Stop when so many requests in a row fail (0: never).")
    ] = 500

    def plan(self, run: Run, source: ModelSource, *, start: str = "earliest") -> WorkerPlan:
        """All that a worker needs to know, for a run of this name."""
        from shadowlane import replay_worker as replay  # noqa: PLC0415 - its packages come with an extra

        return replay.WorkerPlan(
            target=replay.Target(self.model, self.shadow, self.shadow_version, run),
            source=source,
            ceiling=replay.ErrorCeiling(self.max_error_ratio, consecutive=self.max_consecutive_errors),
            batch=self.batch,
            batch_size=self.batch_size,
            start="latest" if start == "latest" else "earliest",
        )
