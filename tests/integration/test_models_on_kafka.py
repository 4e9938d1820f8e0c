"""Real models on a real data set through a real Kafka: each comparison says what the model itself says."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from confluent_kafka import Consumer, Producer
from skl2onnx import to_onnx
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from shadowlane.kafka import KafkaSettings, TopicNames
from shadowlane.replay_worker import ModelSource, Tally, Target, WorkerPlan, run_worker
from shadowlane.schemas import Codec, Features, Prediction, ProductionRequest, ShadowComparison
from tests_support import request

ROWS = 300
FRAME, TARGET = load_breast_cancer(return_X_y=True, as_frame=True)
FRAME = FRAME.iloc[:, :20].assign(hospital=np.where(np.arange(len(FRAME)) % 3, "Graz", "Wien"))
NUMBERS = [name for name in FRAME if name != "hospital"]

Made = tuple[ModelSource, list[tuple[str, float]]]


def answers(classes: Any, probabilities: Any) -> list[tuple[str, float]]:
    """Labels and scores as a person would work them out."""
    return [(str(classes[row.argmax()]), float(row.max())) for row in probabilities]


def skops_pipeline(folder: Path) -> Made:
    """Text and numbers by name, from a skops file."""
    columns = make_column_transformer((OneHotEncoder(), ["hospital"]), (StandardScaler(), NUMBERS))
    model = make_pipeline(columns, LogisticRegression()).fit(FRAME, TARGET)
    skops.io.dump(model, folder / "model.skops")
    expected = answers(model.classes_, model.predict_proba(FRAME[:ROWS]))
    return ModelSource(f"sklearn:{folder / 'model.skops'}"), expected


def onnx_graph(folder: Path) -> Made:
    """Numbers in a matrix, of a graph."""
    x = FRAME[NUMBERS].to_numpy(np.float32)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, TARGET)
    (folder / "model.onnx").write_bytes(to_onnx(model, x[:1]).SerializeToString())
    expected = answers(model.classes_, model.predict_proba(x[:ROWS]))
    return ModelSource(f"onnx:{folder / 'model.onnx'}", tuple(NUMBERS)), expected


def publish(producer: Producer, topics: TopicNames, rows: pd.DataFrame) -> None:
    """Each patient is a request, which the primary called benign."""
    codec = Codec(ProductionRequest)
    for number, row in enumerate(rows.to_dict("records")):
        features = Features.of({str(name): value for name, value in row.items()})
        event = request(number, features=features, prediction=Prediction(label="1", score=0.9))
        producer.produce(topics.requests, codec.encode(event))
    assert producer.flush(30) == 0


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("make", [skops_pipeline, onnx_graph])
def test_a_comparison_says_what_the_model_says(
    tmp_path: Path,
    kafka: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
    consumer_factory: Callable[..., Consumer],
    make: Callable[[Path], Made],
    batch: bool,
) -> None:
    """Label, score and agreement of every request, whichever way the model is asked."""
    source, expected = make(tmp_path)
    publish(producer_factory(), topics, FRAME[:ROWS])
    stop, deadline = Event(), time.monotonic() + 120

    def tick(tally: Tally) -> None:
        if tally.requests >= ROWS or time.monotonic() > deadline:
            stop.set()

    plan = WorkerPlan(Target("fraud", "second"), source, batch=batch)
    settings = KafkaSettings(kafka.bootstrap_servers, topic_prefix=topics.prefix)
    tally = run_worker(plan, settings, "w", stop=stop, tick=tick)
    assert (tally.compared, dict(tally.errors), dict(tally.missing_features)) == (ROWS, {}, {})

    consumer, codec = consumer_factory(), Codec(ShadowComparison)
    consumer.subscribe([topics.comparisons])
    found: dict[int, ShadowComparison] = {}
    while len(found) < ROWS and time.monotonic() < deadline:
        for message in consumer.consume(ROWS, 0.5):
            event = codec.decode(message.value() or b"")
            found[int(event.request_id.removeprefix("request-"))] = event
    assert [found[row].shadow_prediction.label for row in range(ROWS)] == [label for label, _ in expected]
    scores = [found[row].shadow_prediction.score for row in range(ROWS)]
    assert scores == pytest.approx([score for _, score in expected], abs=1e-5)
    assert {each.latency_basis for each in found.values()} <= {"warmup", "single", "amortized"}
