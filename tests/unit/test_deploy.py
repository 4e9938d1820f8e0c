"""The examples for Kubernetes and Grafana name what there is: options, paths, the group and the metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from shadowlane.aggregator._metrics import METRICS as AGGREGATORS
from shadowlane.cli._app import app
from shadowlane.replay_worker import ModelSource, Target, WorkerPlan
from shadowlane.replay_worker._metrics import METRICS as WORKERS

DEPLOY = Path(__file__).parents[2] / "deploy"
TARGET = Target("fraud", "boosting-2")


@pytest.fixture(scope="module")
def manifests() -> dict[str, Any]:
    """The workers' manifests by their kind."""
    return {each["kind"]: each for name in ("worker", "keda") for each in read(name)}


def read(name: str) -> list[dict[str, Any]]:
    """The manifests of a file."""
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / f"{name}.yaml").read_text(encoding="utf-8")))


@pytest.fixture(scope="module", params=["worker", "aggregator"])
def pod(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The pod of a Deployment."""
    deployment = next(each for each in read(request.param) if each["kind"] == "Deployment")
    assert deployment["apiVersion"] == "apps/v1"
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def test_the_manifests_are_of_the_versions_that_are_served(manifests: dict[str, Any]) -> None:
    """Each kind under its stable group and version, KEDA's under its only one."""
    assert {kind: each["apiVersion"] for kind, each in manifests.items()} == {
        "Deployment": "apps/v1",
        "PodDisruptionBudget": "policy/v1",
        "ScaledObject": "keda.sh/v1alpha1",
    }
    name = manifests["Deployment"]["metadata"]["name"]
    assert manifests["ScaledObject"]["spec"]["scaleTargetRef"]["name"] == name


def test_a_pod_is_started_with_options_that_there_are(pod: dict[str, Any]) -> None:
    """The command line takes each argument and each SHADOWLANE_ variable of the example."""
    (container,) = pod["containers"]
    command, *options = container["args"]
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    parameters = commands[command].params
    known = {name for parameter in parameters for name in parameter.opts}
    assert {option.partition("=")[0] for option in options} <= known
    variables = {str(each.envvar) for each in parameters} | {"SHADOWLANE_LOG_FORMAT"}
    given = {each["name"] for each in container["env"]} - {"POD_NAME"}
    assert given <= variables


def test_the_probes_ask_for_what_is_answered(pod: dict[str, Any]) -> None:
    """Alive and ready, at the port that the worker is told to open to the outside."""
    (container,) = pod["containers"]
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "health"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    assert container["ports"] == [
        {"name": "health", "containerPort": int(str(env["SHADOWLANE_HEALTH_PORT"]))}
    ]
    assert env["SHADOWLANE_HEALTH_HOST"] == "0.0.0.0"  # noqa: S104 - probes come from outside the pod


def test_a_pod_outlives_its_workers_grace(pod: dict[str, Any]) -> None:
    """Or Kubernetes would kill it before it has left the group."""
    plan = WorkerPlan(TARGET, ModelSource("python:models:predict"))
    assert pod["terminationGracePeriodSeconds"] >= plan.grace_seconds + 10


def test_the_scaler_looks_at_the_workers_own_group(manifests: dict[str, Any]) -> None:
    """The group is made from the model, the shadow and the run; one lag a partition is none."""
    (trigger,) = manifests["ScaledObject"]["spec"]["triggers"]
    metadata = trigger["metadata"]
    assert metadata["consumerGroup"] == TARGET.group
    assert int(metadata["activationLagThreshold"]) > manifests["ScaledObject"]["spec"]["maxReplicaCount"]
    assert all(isinstance(value, str) for value in metadata.values())


@pytest.mark.parametrize(
    ("file", "known", "common"),
    [
        ("workers", {metric.name: metric for metric in WORKERS}, {"model", "shadow", "run"}),
        ("aggregator", {metric.name: metric for metric in AGGREGATORS}, set()),
    ],
)
def test_the_dashboards_ask_for_metrics_that_there_are(
    file: str, known: dict[str, Any], common: set[str]
) -> None:
    """Each name in each expression, and each label that it is added up by."""
    dashboard = json.loads((DEPLOY / "grafana" / f"{file}.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [each["query"] for each in dashboard["templating"]["list"] if each["type"] == "query"]
    assert len(queries) > 8
    for query in queries:
        names = set(re.findall(r"shadowlane_\w+", query))
        metrics = {known.get(name) or known[re.sub("_(bucket|sum|count)$", "", name)] for name in names}
        assert metrics, query
        added_by = {label for labels in re.findall(r"by \(([^)]*)\)", query) for label in labels.split(", ")}
        for metric in metrics:
            assert added_by - {"le"} <= {*common, *metric.labels}, query
            assert ("_bucket" in query) <= (metric.kind == "histogram")
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
