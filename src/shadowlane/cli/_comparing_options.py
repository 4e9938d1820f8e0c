"""The options that say when two predictions agree, and what a comparison carries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shadowlane.comparators import configured

if TYPE_CHECKING:
    from shadowlane.replay_worker import WorkerPlan

_PANEL = "Comparing"


class KeepFeatures(StrEnum):
    """Which comparisons carry their features."""

    disagreements = "disagreements"
    all = "all"
    none = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparingOptions:
    """How a model's and its shadow's predictions are compared."""

    comparator: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="When two predictions agree: auto, label, label:case,space,nfkc, text:0.9, score:0.05, "
            "score:abs=0.01,rel=0.05, vector:cosine=0.99, ranking:top=5,overlap=0.8, "
            "python:module:attribute. Once for each kind of prediction; "
            "auto stands for the rules of the settings file.",
            show_default="auto",
            rich_help_panel=_PANEL,
        ),
    ] = None
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT",
            help="Pairs that are in no agreement rate: label=VALUE (either model's) or "
            "segment.NAME=VALUE. Can be repeated.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    keep_features: Annotated[
        KeepFeatures,
        typer.Option(
            metavar="WHICH",
            help="Which comparisons carry their features: disagreements, all or none.",
            rich_help_panel=_PANEL,
        ),
    ] = KeepFeatures.disagreements

    def applied_to(self, plan: WorkerPlan, config: Path | None) -> WorkerPlan:
        """The plan that compares like this."""
        rules = configured(plan.target.model, self.comparator or (), self.ignore or (), config=config)
        return replace(plan, comparator=rules, keep_features=self.keep_features.value)
