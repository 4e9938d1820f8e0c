"""`shadowlane worker` as an operator runs it: its options, and the code and sentence that it ends with."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from replayed import results
from shadowlane.kafka import KafkaSettings, TopicNames, make_producer
from shadowlane.schemas import Codec, ProductionRequest
from tests_support import request

MODEL = "def predict(features):\n    return features['no such feature']\n"
Started = subprocess.Popen[str]


@pytest.fixture
def start(kafka: KafkaSettings, topics: TopicNames, tmp_path: Path) -> Callable[..., Started]:
    """Starts the command in a folder with a model in it that fails on everything."""
    (tmp_path / "command_model.py").write_text(MODEL)
    env = {
        **os.environ,
        "SHADOWLANE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "SHADOWLANE_TOPIC_PREFIX": topics.prefix,
        "SHADOWLANE_LEAVE_WITH_PARENT": str(os.getpid()),
    }

    def call(*options: str) -> Started:
        given = ("--model", "fraud", "--shadow", "s", "--load", "python:command_model:predict")
        return subprocess.Popen(
            [sys.executable, "-m", "shadowlane", "worker", *given, *options],
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return call


def publish(settings: KafkaSettings, topics: TopicNames, count: int) -> None:
    """So many requests."""
    producer = make_producer(settings)
    for number in range(count):
        producer.produce(topics.requests, Codec(ProductionRequest).encode(request(number)))
    assert producer.flush(30) == 0


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_failures_in_a_row_end_it_with_the_reason(
    protocol: str, start: Callable[..., Started], kafka: KafkaSettings, topics: TopicNames
) -> None:
    """Exit code 1; the last line says how many, where to look and which option to turn."""
    publish(kafka, topics, 60)
    worker = start("--max-consecutive-errors", "20", "--group-protocol", protocol)
    out, log = worker.communicate(timeout=90)
    assert worker.returncode == 1
    assert not out
    last = log.strip().splitlines()[-1]
    assert "requests in a row failed on shadow 's', which reaches the ceiling of 20" in last
    assert "--max-consecutive-errors" in last


def test_the_ceilings_can_be_taken_away(
    start: Callable[..., Started], kafka: KafkaSettings, topics: TopicNames
) -> None:
    """A worker that may fail for ever goes on until it is told to stop, and ends with 0."""
    publish(kafka, topics, 1_200)
    worker = start("--max-consecutive-errors", "0", "--max-error-ratio", "1", "--batch")
    deadline = time.monotonic() + 60
    while len(results(replace(kafka, topic_prefix=topics.prefix))) < 1_200:
        assert time.monotonic() < deadline, "waited in vain"
    worker.terminate()
    worker.communicate(timeout=60)
    assert worker.returncode == 0


def test_two_starting_points_are_one_too_many(start: Callable[..., Started]) -> None:
    """A usage error, before anything is loaded."""
    worker = start("--latest", "--from-beginning")
    _, log = worker.communicate(timeout=60)
    assert worker.returncode == 2
    assert "--from-beginning and --latest exclude each other" in log
