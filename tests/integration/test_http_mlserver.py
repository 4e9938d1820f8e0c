"""Models on a server that others wrote: the same answers as the model asked directly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from confluent_kafka import Consumer, Producer
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import mlserver
from asked import asked
from shadowlane.kafka import KafkaSettings, TopicNames
from shadowlane.replay_worker import ModelSource, Tally, Target, WorkerPlan, run_worker
from shadowlane.replay_worker.models import load_model
from shadowlane.schemas import Codec, Features, ProductionRequest, ShadowComparison
from tests_support import request

Rows = np.ndarray[Any, np.dtype[np.float64]]

CANCER = {
    "parameters": {"version": "v1"},
    "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 30]}],
    "outputs": [
        {"name": "predict", "datatype": "INT64", "shape": [-1]},
        {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2]},
    ],
}
FRAUD = {
    "parameters": {"content_type": "pd"},
    "inputs": [
        {"name": "amount", "datatype": "FP64", "shape": [-1]},
        {"name": "visits", "datatype": "INT64", "shape": [-1]},
        {"name": "country", "datatype": "BYTES", "shape": [-1], "parameters": {"content_type": "str"}},
    ],
}


@pytest.fixture(scope="module")
def cancer() -> tuple[Rows, Any]:
    """Real measurements, some of which are missing, and a model that was fitted on them."""
    rows, labels = load_breast_cancer(return_X_y=True)
    rows, labels = rows[::3].astype(np.float64), labels[::3]
    rows[::7, 3] = math.nan
    return rows, HistGradientBoostingClassifier(max_iter=20).fit(rows, labels)


@pytest.fixture(scope="module")
def fraud() -> tuple[pd.DataFrame, Any]:
    """Requests with text in them, and a model that was fitted on the table."""
    draw = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "amount": draw.normal(size=300),
            "visits": draw.integers(0, 9, 300),
            "country": draw.choice(["DE", "FR", "é"], 300),
        }
    )
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["country"]), (StandardScaler(), ["amount", "visits"])
    )
    labels = np.where(table.amount + (table.country == "FR") > 0.5, "fraud", "fine")
    return table, make_pipeline(columns, LogisticRegression()).fit(table, labels)


@pytest.fixture(scope="module")
def server(
    cancer: tuple[Rows, Any], fraud: tuple[pd.DataFrame, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """MLServer with both models."""
    folder: Path = tmp_path_factory.mktemp("mlserver")
    joblib.dump(cancer[1], folder / "cancer.joblib")
    joblib.dump(fraud[1], folder / "fraud.joblib")
    with mlserver.serving(mlserver.install(), folder, {"cancer": CANCER, "fraud": FRAUD}) as url:
        yield url


@pytest.mark.timeout(600)  # the first run installs the server
def test_a_worker_compares_what_the_server_answered(
    server: str,
    cancer: tuple[Rows, Any],
    settings: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
    consumer_factory: Callable[..., Consumer],
) -> None:
    """Labels and confidences, to the last digit, also where a measurement is missing (null in JSON)."""
    rows, model = cancer
    names = [f"m{column}" for column in range(rows.shape[1])]
    producer, codec = producer_factory(), Codec(ProductionRequest)
    for number, row in enumerate(rows.tolist()):
        features = Features.of(dict(zip(names, row, strict=True)))
        producer.produce(topics.requests, codec.encode(request(number, features=features)))
    assert producer.flush(30) == 0
    uri = f"{server}/v2/models/cancer/versions/v1#predict,predict_proba"
    plan = WorkerPlan(Target("fraud", "served"), ModelSource(uri, features=tuple(names), concurrency=4))
    stop = Event()

    def tick(tally: Tally) -> None:
        if tally.requests >= len(rows):
            stop.set()

    tally = run_worker(plan, settings, "w", stop=stop, tick=tick)
    assert (tally.compared, tally.errors.total()) == (len(rows), 0)
    consumer, found = consumer_factory([topics.comparisons]), dict[str, Any]()
    while len(found) < len(rows):
        for message in consumer.consume(len(rows), 1.0):
            comparison = Codec(ShadowComparison).decode(message.value())
            found[comparison.request_id] = comparison.shadow_prediction
    labels, confidences = model.predict(rows).tolist(), model.predict_proba(rows).max(axis=1).tolist()
    answers = [found[f"request-{number}"] for number in range(len(rows))]
    assert [answer.label for answer in answers] == [str(label) for label in labels]
    assert [answer.score for answer in answers] == confidences


@pytest.mark.timeout(600)
def test_a_model_of_named_columns_is_asked_by_name(server: str, fraud: tuple[pd.DataFrame, Any]) -> None:
    """Text, whole numbers and numbers, each as a tensor of its own: one at a time and many at once."""
    table, model = fraud
    served = load_model(ModelSource(f"{server}/v2/models/fraud#predict,predict_proba"))
    assert list(served.names) == ["amount", "visits", "country"]
    inputs = served.prepare(asked(*table.to_dict("records")))
    single = served.read_each([served.one(inputs, row) for row in range(20)])
    together = served.read_many(served.many(inputs), len(table))
    labels, confidences = model.predict(table).tolist(), model.predict_proba(table).max(axis=1).tolist()
    for answers in (single, together):  # a matrix product's last digit depends on the number of its rows
        assert answers.field("label").to_pylist() == labels[: len(answers)]
        assert answers.field("score").to_pylist() == pytest.approx(confidences[: len(answers)], rel=1e-12)
