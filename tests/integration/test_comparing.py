"""A worker with rules of all kinds on a real Kafka, and the same judged again in the lake."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Event

import duckdb
import pytest
from confluent_kafka import Producer
from deltalake import DeltaTable

from shadowlane.aggregator import AggregatorPlan, run_aggregator
from shadowlane.comparators import Comparator, configured
from shadowlane.comparators.sql import judgement
from shadowlane.kafka import KafkaSettings, TopicNames
from shadowlane.replay_worker import ModelSource, Tally, Target, WorkerPlan, run_worker
from shadowlane.schemas import Codec, Prediction, ProductionRequest
from tests_support import request

COUNT = 60
MODEL = """
def predict(features):
    amount = features["amount"]
    return {3.0: "even", 4.0: "same"}.get(amount, amount / 10 + 0.01)

def rule(primary, shadow):
    if primary.label == "odd":
        raise LookupError("no such label")
    return primary.label == shadow.label, 2
"""
CONFIG = """
[comparators.fraud]
score = "rel=0.05"
label = "python:comparing_model:rule"
ignore = ["segment.country=XX"]
"""


TARGET = Target("fraud", "boosting-2")
MODEL_SOURCE = ModelSource("python:comparing_model:predict")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with a model, a rule and settings in it."""
    (tmp_path / "comparing_model.py").write_text(MODEL)
    (tmp_path / "shadowlane.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.delitem(sys.modules, "comparing_model", raising=False)
    return tmp_path


def publish(producer: Producer, topics: TopicNames) -> None:
    """Scores, and two labels in ten; one request in three is of the ignored segment."""
    codec, labels = Codec(ProductionRequest), {3: "odd", 4: "same"}
    for number in range(COUNT):
        label = labels.get(number % 10)
        prediction = Prediction(score=number % 10 / 10) if label is None else Prediction(label=label)
        segments = {"country": "XX" if number % 3 == 0 else "DE"}
        event = request(number, segments=segments, prediction=prediction)
        producer.produce(topics.requests, codec.encode(event), key=event.entity_id)
    assert producer.flush(30) == 0


def replay(settings: KafkaSettings, plan: WorkerPlan) -> Tally:
    """Until all requests are done."""
    stop = Event()

    def tick(progress: Tally) -> None:
        if progress.requests >= COUNT:
            stop.set()

    return run_worker(plan, settings, "w", stop=stop, tick=tick)


def rows(lake: Path, columns: str) -> list[tuple[object, ...]]:
    """These columns of the lake's comparisons."""
    files = DeltaTable(str(lake / "comparisons")).file_uris()
    with duckdb.connect(":memory:") as connection:
        connection.read_parquet(files, hive_partitioning=False).create_view("comparisons")
        return connection.execute(f"SELECT {columns} FROM comparisons").fetchall()  # noqa: S608 (our own text)


def test_what_a_worker_judged_is_judged_alike_in_the_lake(
    folder: Path, settings: KafkaSettings, topics: TopicNames, producer_factory: Callable[..., Producer]
) -> None:
    """A rule that raises costs its own requests only; all else is what DuckDB says of it, too."""
    publish(producer_factory(), topics)
    tally = replay(settings, WorkerPlan(TARGET, MODEL_SOURCE, comparator=configured("fraud", env={})))
    assert tally.errors == {"compare": 4}  # two of the six such pairs are ignored before the rule sees them
    run_aggregator(AggregatorPlan(str(folder / "lake"), until_caught_up=True), settings, stop=Event())

    own, scores = "label:python:comparing_model:rule", "score:rel=0.05"
    ignored = "ignored:segment.country=XX"
    judged = judgement(Comparator.of([scores], ["segment.country=XX"]))
    again = f"{judged.comparator}, {judged.agreement}, {judged.difference}"
    found = rows(folder / "lake", f"comparator, agreement, difference, features IS NOT NULL, {again}")
    assert Counter(row[0] for row in found) == {own: 4, scores: 32, ignored: 20}
    assert {row[1:4] for row in found if row[0] == own} == {(True, 2.0, False)}
    assert {row[1:4] for row in found if row[0] == ignored} == {(False, None, False)}
    assert {row[1] for row in found if row[0] == scores} == {True, False}
    assert all(row[:3] == row[4:] for row in found if row[0] != own)
    assert all(row[3] != row[1] for row in found if row[0] == scores)
