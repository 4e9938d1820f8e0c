"""The example for Kubernetes names commands and options of `shadowlane lake` that there are."""

from __future__ import annotations

from pathlib import Path

import typer.main
import yaml

from shadowlane.cli._app import app

MANIFEST = Path(__file__).parents[3] / "deploy" / "kubernetes" / "lake-care.yaml"


def test_care_is_started_with_options_that_there_are() -> None:
    """Each step takes its arguments and variables, and none waits for an answer."""
    (job,) = yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8"))
    assert (job["kind"], job["apiVersion"]) == ("CronJob", "batch/v1")
    spec = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    steps = [*spec["initContainers"], *spec["containers"]]
    lake = typer.main.get_command(app).commands["lake"]  # type: ignore[attr-defined]
    assert [step["args"][1] for step in steps] == ["compact", "vacuum", "expire"]
    for step in steps:
        group, command, *options = step["args"]
        assert group == "lake"
        parameters = lake.commands[command].params
        known = {name for parameter in parameters for name in parameter.opts}
        assert {option.partition("=")[0] for option in options} <= known
        variables = {str(each.envvar) for each in parameters} | {"SHADOWLANE_LOG_FORMAT"}
        assert {each["name"] for each in step["env"]} <= variables
    assert "--yes" in steps[-1]["args"]
