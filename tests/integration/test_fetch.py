"""Looked-up features from end to end: what differs stands in the comparison, what failed in shadow-errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from threading import Event

import duckdb
from confluent_kafka import Consumer, Producer
from deltalake import DeltaTable

from shadowlane.aggregator import AggregatorPlan, run_aggregator
from shadowlane.kafka import KafkaSettings, TopicNames
from shadowlane.replay_worker import ErrorCeiling, ModelSource, Tally, Target, WorkerPlan, run_worker
from shadowlane.schemas import Codec, ProductionRequest, ShadowComparison, ShadowError
from tests_support import request

REQUESTS = 100
PAGE = Path(__file__).parents[2] / "docs" / "fetch.md"


def test_what_was_fetched_and_differs_stands_in_the_comparison(
    settings: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
    consumer_factory: Callable[..., Consumer],
    tmp_path: Path,
) -> None:
    """By feature, with the shadow's value; a look-up that failed is a row of stage `fetch`."""
    producer, codec = producer_factory(), Codec(ProductionRequest)
    for number in range(REQUESTS):
        producer.produce(topics.requests, codec.encode(request(number)))
    assert producer.flush(30) == 0
    source = ModelSource("python:lookups:predict", fetch="python:lookups:fetch")
    plan = WorkerPlan(Target("fraud", "looker"), source, ceiling=ErrorCeiling(1.0), keep_features="all")
    stop = Event()

    def tick(tally: Tally) -> None:
        if tally.requests >= REQUESTS:
            stop.set()

    tally = run_worker(plan, settings, "w", stop=stop, tick=tick)
    assert (tally.compared, tally.errors["fetch"]) == (80, 20)

    comparisons = [
        Codec(ShadowComparison).decode(each) for each in _read(consumer_factory([topics.comparisons]), 80)
    ]
    for comparison in comparisons:
        assert comparison.features is not None
        assert comparison.fetched is not None
        number = comparison.features.integers["count"]
        assert dict(comparison.fetched.integers) == {"history": number * 2}
        assert dict(comparison.fetched.numbers) == ({"amount": number % 10 + 1.0} if number % 2 else {})
        assert dict(comparison.fetched.strings) == {"by": comparison.request_id}
        assert dict(comparison.features.numbers) == {"amount": float(number % 10)}

    errors = [Codec(ShadowError).decode(each) for each in _read(consumer_factory([topics.errors]), 20)]
    assert {(error.stage, error.error_type, error.attempts) for error in errors} == {
        ("fetch", "TransientError", 3), ("fetch", "KeyError", 1)
    }  # fmt: skip
    assert {error.request_id for error in errors} == {
        f"request-{number}" for number in range(REQUESTS) if number % 10 in (3, 4)
    }

    lake = str(tmp_path / "lake")
    run_aggregator(AggregatorPlan(lake, until_caught_up=True), settings, stop=Event())
    files = DeltaTable(f"{lake}/comparisons").file_uris()
    lakes = duckdb.connect()
    lakes.execute(f"CREATE VIEW comparisons AS FROM read_parquet({files}, hive_partitioning = true)")
    query = re.search(r"^```sql\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert query
    said = query[1].replace("boosting-2", "looker")
    assert [row[:2] for row in lakes.execute(said).fetchall()] == [(True, 80)]


def _read(consumer: Consumer, count: int) -> list[bytes]:
    """So many messages' values, once they are committed."""
    values: list[bytes] = []
    while len(values) < count:
        for message in consumer.consume(count, 1.0):
            assert message.error() is None
            values.append(message.value() or b"")
    return values
