"""The options that say how a run's noise is measured, and who answers for a primary that said nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from shadowlane.cli._model_options import InputForm

if TYPE_CHECKING:
    from shadowlane.replay_worker import Control, ModelSource

_PANEL = "The primary, and the noise floor"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimaryOptions:
    """A second load of the primary's own model."""

    primary_load: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="The primary's own model, asked where a request came without its prediction.",
            show_default="such requests are errors",
            rich_help_panel=_PANEL,
        ),
    ] = None
    primary_features: Annotated[
        str,
        typer.Option(
            help="The features in that model's order, with commas, where it does not name them.",
            rich_help_panel=_PANEL,
        ),
    ] = ""
    primary_input: Annotated[
        InputForm | None,
        typer.Option(
            metavar="FORM",
            help="How that model is given its features: dicts, numpy, pandas or arrow.",
            show_default="as the model says",
            rich_help_panel=_PANEL,
        ),
    ] = None
    primary_trust: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE",
            help="A type that its skops file may bring in; can be given several times.",
            show_default="those that skops trusts",
            rich_help_panel=_PANEL,
        ),
    ] = None
    primary_allow_pickle: Annotated[
        bool,
        typer.Option(
            "--primary-allow-pickle", help="Load a pickle, which runs its code.", rich_help_panel=_PANEL
        ),
    ] = False
    primary_sha256: Annotated[
        str | None, typer.Option(help="That model file's sha256.", rich_help_panel=_PANEL)
    ] = None

    def source(self) -> ModelSource | None:
        """Where the primary's model comes from, if anybody says so."""
        from shadowlane.replay_worker import ModelSource  # noqa: PLC0415 - its packages come with an extra

        if self.primary_load is None:
            return None
        return ModelSource(
            self.primary_load,
            features=tuple(name.strip() for name in self.primary_features.split(",") if name.strip()),
            input=self.primary_input.value if self.primary_input else None,
            allow_pickle=self.primary_allow_pickle,
            sha256=self.primary_sha256,
            trusted=tuple(self.primary_trust or ()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlOptions:
    """A share of the requests is answered twice."""

    control: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Answer this share of the requests a second time as run `control`: by the primary's own "
            "model (--primary-load), else by the shadow.",
            show_default="none",
            rich_help_panel=_PANEL,
        ),
    ] = None

    def value(self, primary: ModelSource | None) -> Control | None:
        """The control, if one is wanted."""
        from shadowlane.replay_worker import Control  # noqa: PLC0415 - its packages come with an extra

        return None if self.control is None else Control(self.control, primary)
