"""`shadowlane errors` as an operator uses it: look, mend, send through again, look again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from confluent_kafka import Producer

from shadowlane.aggregator import AggregatorPlan, run_aggregator
from shadowlane.kafka import KafkaSettings, TopicNames
from shadowlane.replay_worker import ErrorCeiling, ModelSource, Tally, Target, WorkerPlan, run_worker
from shadowlane.schemas import Codec, ProductionRequest
from tests_support import request

Result = subprocess.CompletedProcess[str]
MODEL = """
def broken(features):
    if features["amount"] == 3.0:
        raise KeyError("history of \\x1b[2J")
    return 0.5

def mended(features):
    return 0.5
"""
WHICH = ("--model", "fraud", "--shadow", "next")
LOAD = ("--load", "python:errors_models:mended")


@pytest.fixture
def run(
    tmp_path: Path, kafka: KafkaSettings, topics: TopicNames, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Runs `shadowlane errors …` on this test's topics and lake, where the models are."""
    (tmp_path / "errors_models.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    env = os.environ | {
        "SHADOWLANE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "SHADOWLANE_TOPIC_PREFIX": topics.prefix,
        "SHADOWLANE_LAKE": str(tmp_path / "lake"),
    }

    def call(*arguments: str) -> Result:
        command = [sys.executable, "-m", "shadowlane", "errors", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=120
        )

    return call


def failed(settings: KafkaSettings, topics: TopicNames, producer: Producer) -> None:
    """A worker has met ten requests that it failed on, and a message that is none."""
    codec = Codec(ProductionRequest)
    for number in range(100):
        producer.produce(topics.requests, codec.encode(request(number)))
    producer.produce(topics.requests, b"not ours")
    assert producer.flush(30) == 0
    source = ModelSource("python:errors_models:broken")
    plan, stop = WorkerPlan(Target("fraud", "next"), source, ceiling=ErrorCeiling(1.0)), Event()

    def tick(tally: Tally) -> None:
        if tally.requests >= 101:
            stop.set()

    assert run_worker(plan, settings, "w", stop=stop, tick=tick).failed == 11


def land(settings: KafkaSettings, lake: Path) -> None:
    """All that was sent."""
    run_aggregator(AggregatorPlan(str(lake), until_caught_up=True), settings, stop=Event())


def test_look_mend_redrive_and_look_again(
    run: Callable[..., Result],
    kafka: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
    tmp_path: Path,
) -> None:
    """The list names what failed, the redrive mends it under the same identity, and the list says so."""
    settings = KafkaSettings(kafka.bootstrap_servers, topic_prefix=topics.prefix)
    failed(settings, topics, producer_factory())
    said = json.loads(run("list", "--from-topic", "--format", "json").stdout)
    assert [(each["stage"], each["requests"]) for each in said["errors"]] == [("predict", 10), ("decode", 1)]
    assert said["errors"][0]["compared_since"] is None
    assert said["errors"][0]["message"] == "'…'"

    dry = run("redrive", *WHICH, *LOAD, "--stage", "predict", "--dry-run")
    assert dry.stdout.split("\n")[:2] == ["       10 failed", "       10 to go"]
    done = run("redrive", *WHICH, *LOAD, "--format", "json")
    assert done.returncode == 0, done.stderr
    mended = json.loads(done.stdout)
    assert mended["schema"] == "shadowlane.redrive/1"
    assert (mended["failed"], mended["redriven"], mended["compared"]) == (11, 11, 10)
    assert (mended["errors"], mended["gone"], mended["left"]) == ({"decode": 1}, 0, 0)
    assert "11 requests failed" in done.stderr
    again = run("redrive", *WHICH, *LOAD, "--since", "1h")
    assert again.stdout.splitlines() == [
        "       11 failed",
        "       10 compared since, left as they are",
        "        1 redriven",
        "        1   errors again (1 decode)",
    ]

    land(settings, tmp_path / "lake")
    shown = run("list", *WHICH, "--run", "live")
    assert "fraud  →  next   run live" in shown.stdout
    assert "10 compared since" in " ".join(shown.stdout.split())
    assert "\x1b" not in shown.stdout
    assert "no errors" in run("list", "--model", "another").stdout


def test_what_cannot_be_asked_for_is_said(run: Callable[..., Result]) -> None:
    """Wrong usage is exit code 2 with a sentence."""
    for arguments in (
        ("list", "--since", "yesterday"),
        ("list", "--stage", "nowhere"),
        ("redrive", *WHICH, *LOAD, "--run", "control"),
        ("redrive", *WHICH, *LOAD, "--run", "../x"),
    ):
        result = run(*arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert "Traceback" not in result.stderr
