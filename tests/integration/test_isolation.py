"""A model that crashes, hangs, raises, leaks and forks, on a real Kafka: each request comes out once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import Event

import pytest
from confluent_kafka import Consumer, Producer

from shadowlane.kafka import KafkaSettings, TopicNames
from shadowlane.replay_worker import (
    ErrorCeiling,
    Isolation,
    ModelSource,
    Tally,
    Target,
    WorkerPlan,
    run_worker,
)
from shadowlane.schemas import Codec, Features, ProductionRequest, ShadowComparison, ShadowError
from tests_support import request

REQUESTS = 200
#: By request: what the model does to itself, and where its error stands then.
FAULTS = {
    3: ("segfault", "crash"),
    17: ("exception", "predict"),
    40: ("loop in C", "timeout"),
    41: ("exit", "crash"),
    77: ("system exit", "predict"),
    78: ("recursion", "predict"),
    120: ("deaf", "timeout"),
    150: ("kill", "crash"),
    151: ("garbage", "crash"),
    180: ("memory", "predict"),
    199: ("abort", "crash"),
}
HARMLESS = {5: "children", 60: "fork", 90: "state", 100: "noise", 130: "memory when old"}


@pytest.mark.parametrize("batch", [False, True], ids=["single", "batch"])
def test_each_request_comes_out_once(
    batch: bool,
    settings: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
    consumer_factory: Callable[..., Consumer],
) -> None:
    """Two hundred requests, each as a comparison or as the error that it caused, and nothing twice."""
    faults = HARMLESS | {number: fault for number, (fault, _) in FAULTS.items()}
    producer = producer_factory()
    for number in range(REQUESTS):
        features = Features.of({"n": float(number), "fault": faults.get(number, "")})
        event = request(number, features=features)
        producer.produce(topics.requests, Codec(ProductionRequest).encode(event), key=event.entity_id)
    assert producer.flush(30) == 0
    plan = WorkerPlan(
        Target("fraud", "faulty"),
        ModelSource("python:faulty_model:Faulty"),
        ceiling=ErrorCeiling(1.0),
        isolation=Isolation(call_seconds=2.0),
        batch=batch,
    )
    tally = run(plan, settings)
    assert (tally.requests, tally.compared) == (REQUESTS, REQUESTS - len(FAULTS))
    expected = {f"request-{number}": stage for number, (_, stage) in FAULTS.items()}
    assert tally.errors == Counter(expected.values())
    errors = [Codec(ShadowError).decode(value) for value in read(consumer_factory([topics.errors]))]
    assert Counter(error.request_id for error in errors) == Counter(expected.keys())
    assert {error.request_id: error.stage for error in errors} == expected
    attempts = {error.request_id: error.attempts for error in errors}
    assert (attempts["request-3"], attempts["request-17"], attempts["request-180"]) == (2, 1, 2)
    values = read(consumer_factory([topics.comparisons]))
    compared = [Codec(ShadowComparison).decode(value) for value in values]
    rest = {f"request-{number}": number / 2 for number in range(REQUESTS) if number not in FAULTS}
    assert Counter(each.request_id for each in compared) == Counter(rest.keys())
    assert {each.request_id: each.shadow_prediction.score for each in compared} == rest


def run(plan: WorkerPlan, settings: KafkaSettings) -> Tally:
    """Until all is replayed."""
    stop = Event()

    def tick(progress: Tally) -> None:
        if progress.requests >= REQUESTS:
            stop.set()

    return run_worker(plan, settings, "w", stop=stop, tick=tick)


def read(consumer: Consumer) -> list[bytes]:
    """All that a topic has: until nothing comes any more."""
    values: list[bytes] = []
    while (message := consumer.poll(10 if values else 30)) is not None:
        assert message.error() is None
        values.append(message.value() or b"")
    return values
