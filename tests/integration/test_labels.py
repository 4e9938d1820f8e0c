"""Labels by the topic: published as the example does, landed by the aggregator, counted by the rule."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event

import pyarrow as pa
from confluent_kafka import Consumer

from labelled import HEADER, csv_of, imported, landed, written
from object_stores import s3_bucket, s3_store
from shadowlane.aggregator import AggregatorPlan, run_aggregator
from shadowlane.aggregator.labels import ImportPlan, LabelMapping, import_labels, labels_status
from shadowlane.kafka import KafkaSettings, TopicNames, make_producer
from shadowlane.lake import COMPARISONS, LakeTable, Location
from shadowlane.lake.sql import open_query
from shadowlane.schemas import Codec, Prediction, ProductionLabel
from tests_support import NOON
from unit.aggregator.report_lake import comparison

EXAMPLE = Path(__file__).parents[2] / "examples" / "publish_labels.py"
CODEC = Codec(ProductionLabel)
LABEL = ProductionLabel(request_id="r0", model="fraud", label=Prediction(label="good"), observed_at=NOON)


def publish(settings: KafkaSettings, *labels: ProductionLabel) -> None:
    """Send them, each request's to one partition."""
    producer = make_producer(settings)
    for label in labels:
        producer.produce(TopicNames(settings.topic_prefix).labels, CODEC.encode(label), key=label.request_id)
    assert producer.flush(30) == 0


def run_example(settings: KafkaSettings, folder: Path, text: str) -> None:
    """Publish with the example as its reader would run it."""
    env = os.environ | {
        "SHADOWLANE_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "SHADOWLANE_TOPIC_PREFIX": settings.topic_prefix,
    }
    command = [sys.executable, str(EXAMPLE)]
    subprocess.run(command, input=text, text=True, env=env, cwd=folder, check=True, timeout=60)


def land(settings: KafkaSettings, lake: Path) -> dict[str, int]:
    """All that was published."""
    return run_aggregator(AggregatorPlan(str(lake), until_caught_up=True), settings, stop=Event()).rows


def test_labels_of_the_topic_and_of_files_are_one_table(settings: KafkaSettings, tmp_path: Path) -> None:
    """Published twice, corrected, taken back, years late, imported: of each request one label counts."""
    lake, second = tmp_path / "lake", timedelta(seconds=1)
    run_example(settings, tmp_path, f"r0,fraud,{NOON.isoformat()}\nr0,fraud,{NOON.isoformat()}\n")
    publish(
        settings,
        replace(LABEL, observed_at=NOON + second),
        replace(LABEL, request_id="r1", label=Prediction(score=0.5)),
        replace(LABEL, request_id="r1", label=Prediction(), observed_at=NOON + second),
        replace(LABEL, request_id="r2", observed_at=NOON + timedelta(days=730)),
        replace(LABEL, request_id="r3"),
    )
    assert land(settings, lake) == {"labels": 7}
    imported(written(tmp_path / "a.csv", f"{HEADER}r3,bad,{NOON.isoformat()}\n"), lake)

    [status] = labels_status(lake)
    [found] = status.names
    assert (found.rows, found.requests, found.withdrawn) == (8, 3, 1)
    assert (found.duplicates, found.corrections) == (1, 3)
    assert len(landed(lake, "DISTINCT date")) == 2
    query = "SELECT request_id, label_label, source FROM latest_labels ORDER BY request_id"
    with open_query(lake, query) as answer:
        assert list(answer.rows) == [("r0", "good", ""), ("r2", "good", ""), ("r3", "bad", "import")]


def test_the_labels_of_one_request_stay_in_order(
    settings: KafkaSettings, topics: TopicNames, tmp_path: Path, consumer_factory: Callable[..., Consumer]
) -> None:
    """The example's key is the request's id."""
    run_example(settings, tmp_path, "".join(f"r{n % 3},{n},{NOON.isoformat()}\n" for n in range(30)))
    consumer = consumer_factory([topics.labels])
    found: dict[str, list[tuple[int | None, str | None]]] = {}
    while sum(map(len, found.values())) < 30:
        for message in consumer.consume(30, 1):
            label = CODEC.decode(message.value())
            assert label.source == "chargebacks"
            found.setdefault(label.request_id, []).append((message.partition(), label.label.label))
    for request, labels in found.items():
        assert len({partition for partition, _ in labels}) == 1
        assert [label for _, label in labels] == [str(n) for n in range(int(request[1]), 30, 3)]


def test_a_lake_in_an_object_store_takes_labels_too(tmp_path: Path) -> None:
    """Import, import again, and status, with the requests that it knows."""
    with s3_store() as endpoint:
        bucket = s3_bucket(endpoint, "labels")
        lake = Location.parse(f"{bucket.url}/lake", bucket.options)
        compared = pa.Table.from_pylist([comparison(1), comparison(2)], schema=COMPARISONS.schema)
        LakeTable(lake, COMPARISONS).append(compared, {"shadow-comparisons-0": 2})
        plan = ImportPlan(
            str(csv_of(tmp_path / "a.csv", "1", "0", "1")), lake, LabelMapping(model="ranker"), commit_rows=2
        )
        first, second = import_labels(plan), import_labels(plan)
        assert (first.landed, first.unknown_ids) == (3, 1)
        assert (second.landed, second.already_there) == (0, 3)
        [status] = labels_status(lake)
        assert (status.compared, status.names[0].covered) == (2, 2)
