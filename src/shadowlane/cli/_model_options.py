"""The options that say where the shadow model is, what it takes, and what its user vouches for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from shadowlane.replay_worker import ModelSource

_PANEL = "The shadow model"


class InputForm(StrEnum):
    """How a model is given its features."""

    dicts = "dicts"
    numpy = "numpy"
    pandas = "pandas"
    arrow = "arrow"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """The shadow's own model."""

    load: Annotated[
        str,
        typer.Option(
            metavar="URI",
            help="Where the shadow model is: python:module:attribute, sklearn:model.skops, "
            "onnx:model.onnx, mlflow:models:/NAME/VERSION, https://host/v2/models/NAME.",
            rich_help_panel=_PANEL,
        ),
    ]
    features: Annotated[
        str,
        typer.Option(
            help="The features in the model's order, with commas, where it does not name them.",
            rich_help_panel=_PANEL,
        ),
    ] = ""
    input: Annotated[
        InputForm | None,
        typer.Option(
            metavar="FORM",
            help="How the model is given its features: dicts, numpy, pandas or arrow.",
            show_default="as the model says",
            rich_help_panel=_PANEL,
        ),
    ] = None
    trust: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE",
            help="A type that a skops file may bring in; can be given several times.",
            show_default="those that skops trusts",
            rich_help_panel=_PANEL,
        ),
    ] = None
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle",
            help="Load a pickle or an MLflow model, which runs its code; --sha256 says which.",
            rich_help_panel=_PANEL,
        ),
    ] = False
    sha256: Annotated[
        str | None,
        typer.Option(help="The sha256 of the model's file, or of its folder.", rich_help_panel=_PANEL),
    ] = None

    def source(self) -> ModelSource:
        """Where the shadow comes from."""
        from shadowlane.replay_worker import ModelSource  # noqa: PLC0415 - its packages come with an extra

        return ModelSource(
            self.load,
            features=tuple(name.strip() for name in self.features.split(",") if name.strip()),
            input=self.input.value if self.input else None,
            allow_pickle=self.allow_pickle,
            sha256=self.sha256,
            trusted=tuple(self.trust or ()),
        )
