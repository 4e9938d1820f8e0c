"""The noise floor from end to end: a run's second answers land beside it and have a report of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from confluent_kafka import Producer

from shadowlane.aggregator import AggregatorPlan, Scope, read_report, run_aggregator
from shadowlane.kafka import KafkaSettings, TopicNames
from shadowlane.replay_worker import Control, ModelSource, Tally, Target, WorkerPlan, run_worker
from shadowlane.replay_worker._control import is_controlled
from shadowlane.schemas import Codec, ProductionRequest
from tests_support import request

MODEL = """
import random

def noisy(features):
    return random.random()

def steady(features):
    return features["amount"] / 10
"""
REQUESTS, SHARE = 400, 0.5
CHOSEN = sum(is_controlled(f"request-{number}", SHARE) for number in range(REQUESTS))


@pytest.mark.parametrize(("shadow", "is_noisy"), [("noisy", True), ("steady", False)])
def test_a_report_tells_noise_from_change(
    shadow: str,
    is_noisy: bool,
    settings: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A share is in run control too: there a noisy shadow disagrees with itself, and a steady one not."""
    (tmp_path / "noise_models.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    producer, codec = producer_factory(), Codec(ProductionRequest)
    for number in range(REQUESTS):
        producer.produce(topics.requests, codec.encode(request(number)))
    assert producer.flush(30) == 0
    source = ModelSource(f"python:noise_models:{shadow}")
    plan = WorkerPlan(Target("fraud", shadow), source, control=Control(SHARE))
    stop = Event()

    def tick(tally: Tally) -> None:
        if tally.requests >= REQUESTS:
            stop.set()

    assert run_worker(plan, settings, "w", stop=stop, tick=tick).compared == REQUESTS
    lake = str(tmp_path / "lake")
    landed = run_aggregator(AggregatorPlan(lake, until_caught_up=True), settings, stop=Event()).rows
    assert landed["comparisons"] == REQUESTS + CHOSEN
    report = read_report(lake, Scope("fraud", shadow, run="control"))
    assert (report.compared, report.errored) == (CHOSEN, 0)
    assert (report.agreements < CHOSEN / 2) if is_noisy else (report.agreements == CHOSEN)
    assert read_report(lake, Scope("fraud", shadow)).compared == REQUESTS
