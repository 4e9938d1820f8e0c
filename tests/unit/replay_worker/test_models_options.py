"""The command line's options of a model become its source."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from shadowlane.cli._groups import with_options
from shadowlane.cli._model_options import ModelOptions
from shadowlane.replay_worker import ModelSource


def sourced(*arguments: str) -> ModelSource:
    """What a command is given for these arguments."""
    found: list[ModelSource] = []

    @with_options(loading=ModelOptions)
    def command(*, loading: ModelOptions) -> None:
        found.append(loading.source())

    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return found[0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), {}),
        (("--features", "a, b,,c"), {"features": ("a", "b", "c")}),
        (("--input", "pandas"), {"input": "pandas"}),
        (("--trust", "one.Type", "--trust", "another.Type"), {"trusted": ("one.Type", "another.Type")}),
        (("--allow-pickle", "--sha256", "00ff"), {"allow_pickle": True, "sha256": "00ff"}),
    ],
)
def test_each_option_has_its_place(arguments: tuple[str, ...], expected: dict[str, Any]) -> None:
    """Lists by commas or by repetition; what is not given is as a source has it by itself."""
    assert sourced("--load", "python:a:b", *arguments) == ModelSource("python:a:b", **expected)
