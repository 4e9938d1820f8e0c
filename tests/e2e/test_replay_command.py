"""`shadowlane replay` as a user runs it: what is refused, what goes to which stream, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Producer

from shadowlane.kafka import KafkaSettings, TopicNames
from shadowlane.schemas import Codec, ProductionRequest
from tests_support import request

CODEC = Codec(ProductionRequest)
START = datetime.now(UTC) - timedelta(hours=5)
SHADOW = ("--model", "fraud", "--shadow", "boosting-2", "--load", "python:replay_model:predict")

Result = subprocess.CompletedProcess[str]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A clean environment, and a folder with a model in it."""
    (tmp_path / "replay_model.py").write_text('def predict(features):\n    return features["amount"] / 10\n')
    return {name: value for name, value in os.environ.items() if not name.startswith("SHADOWLANE_")}


@pytest.fixture
def run(tmp_path: Path, env: dict[str, str]) -> Callable[..., Result]:
    """Runs `shadowlane replay …` in that folder."""

    def call(*arguments: str, **more: str) -> Result:
        words = [sys.executable, "-m", "shadowlane", "replay", *SHADOW, *arguments]
        return subprocess.run(
            words, cwd=tmp_path, env=env | more, capture_output=True, text=True, check=False, timeout=120
        )

    return call


@pytest.fixture
def place(
    kafka: KafkaSettings, topics: TopicNames, producer_factory: Callable[..., Producer]
) -> dict[str, str]:
    """A Kafka with a request a minute for two hours, as the environment names it."""
    producer = producer_factory(**{"enable.idempotence": True})
    for number in range(120):
        event = request(number, event_time=START + timedelta(minutes=number))
        milliseconds = int(event.event_time.timestamp() * 1000)
        producer.produce(topics.requests, CODEC.encode(event), key=event.entity_id, timestamp=milliseconds)
    assert producer.flush(30) == 0
    return {"SHADOWLANE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "SHADOWLANE_TOPIC_PREFIX": topics.prefix}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say from when on"),
        (("--from", "yesterday"), "write a time (2026-03-01"),
        (("--from", "-1d", "--to", "-2d"), "the end must be later than the beginning"),
        (("--from", "-1d", "--speed", "fast"), "write max, original, 10x"),
        (("--from", "-1d", "--margin", "10"), "'10' is no duration: write 30s, 10m, 36h, 1d12h"),
        (("--from", "-1d", "--run", "live"), "choose another name with --run"),
        (("--from", "-1d", "--run", "../etc"), "../etc"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    run: Callable[..., Result], arguments: tuple[str, ...], words: str
) -> None:
    """What cannot be understood is said on stderr before Kafka is looked for."""
    result = run(*arguments, "--bootstrap-servers", "127.0.0.1:9")
    assert (result.returncode, result.stdout) == (2, "")
    assert words in " ".join(result.stderr.split())


def test_a_replay_says_what_it_came_to_and_what_shows_it(
    run: Callable[..., Result], place: dict[str, str]
) -> None:
    """Sentences on standard output, no colour and no bar without a terminal; once more it is done already."""
    window = ("--from", f"{START + timedelta(minutes=30):%Y-%m-%dT%H:%M:%S}", "--to", "now")
    result = run(*window, **place)
    assert result.returncode == 0
    assert "no zone named, so UTC" in result.stderr
    assert "requests  90: 90 compared, 0 errors" in result.stdout
    assert "next  shadowlane report --model fraud --shadow boosting-2 --run from-" in result.stdout
    assert "\x1b" not in result.stdout + result.stderr
    again = run(*window, **place)
    assert again.returncode == 0
    assert "done already" in again.stdout
    assert "requests  90: 90 compared, 0 errors" in again.stdout


def test_a_dry_run_and_a_replay_are_json_on_standard_output_alone(
    run: Callable[..., Result], place: dict[str, str]
) -> None:
    """Both can be piped; the estimate is of what the replay then finds."""
    estimate = json.loads(run("--from", "-1d", "--dry-run", "--format", "json", **place).stdout)
    assert (estimate["dry_run"], estimate["messages"], estimate["requests"]) == (True, 120, 120)
    assert estimate["sample"]["failed"] == 0
    summary = json.loads(run("--from", "-1d", "--format", "json", **place).stdout)
    assert (summary["run"], summary["finished"]) == ("from-1d-ago-to-now", True)
    assert (summary["requests"], summary["compared"], summary["errors"]) == (120, 120, {})
    dry = run("--from", "-1d", "--dry-run", **place)
    assert "messages  0 at most" in dry.stdout


def test_ctrl_c_leaves_at_once_and_says_how_to_go_on(
    tmp_path: Path, env: dict[str, str], place: dict[str, str], run: Callable[..., Result]
) -> None:
    """In the middle of waiting for the pace: exit code 130; the same command at full speed does the rest."""
    window = ("--from", "-1d", "--format", "json")
    words = [sys.executable, "-m", "shadowlane", "replay", *SHADOW, *window, "--speed", "2/s"]
    log = tmp_path / "replay.log"
    with log.open("wb") as err, (tmp_path / "out.json").open("wb") as out:
        process = subprocess.Popen(words, cwd=tmp_path, env=env | place, stdout=out, stderr=err)
    deadline = time.monotonic() + 90
    while " 0 errors" not in log.read_text().partition("\n")[2]:  # a line of progress, after the first
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    said = json.loads((tmp_path / "out.json").read_text())
    assert not said["finished"]
    assert said["requests"] < 120
    rest = json.loads(run(*window, **place).stdout)
    assert (rest["finished"], rest["requests"]) == (True, 120)
