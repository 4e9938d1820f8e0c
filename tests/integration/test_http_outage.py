"""A model's server that goes away in the middle of live work: the worker waits for it, and loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Timer

import pytest
from confluent_kafka import Producer

from inference_server import inference_server
from shadowlane.kafka import KafkaSettings, TopicNames
from shadowlane.replay_worker import Isolation, ModelSource, Tally, Target, WorkerPlan, run_worker
from shadowlane.schemas import Codec, ProductionRequest
from tests_support import request

REQUESTS = 400
AWAY_SECONDS = 4.0


@pytest.mark.parametrize("kind", ["process", "none"])
def test_a_server_that_is_away_for_a_while_costs_no_request(
    kind: str, settings: KafkaSettings, topics: TopicNames, producer_factory: Callable[..., Producer]
) -> None:
    """Each request is compared, none is an error of a server that nobody could reach."""
    producer, codec = producer_factory(), Codec(ProductionRequest)
    for number in range(REQUESTS):
        producer.produce(topics.requests, codec.encode(request(number)))
    assert producer.flush(30) == 0
    stop, asked = Event(), list[float]()
    with inference_server() as server:
        source = ModelSource(server.uri, features=("amount", "count"), concurrency=2)
        isolation = Isolation(kind="none" if kind == "none" else "process")
        plan = WorkerPlan(Target("fraud", "served"), source, isolation=isolation, batch_size=50)
        back = Timer(AWAY_SECONDS, server.start)

        def tick(tally: Tally) -> None:
            if tally.compared >= 50 and not asked:
                asked.append(tally.compared)
                server.stop()  # between two batches: no request is under way
                back.start()
            if tally.requests >= REQUESTS:
                stop.set()

        tally = run_worker(plan, settings, "w", stop=stop, tick=tick)
        back.join()
        assert (tally.compared, tally.errors.total()) == (REQUESTS, 0)
