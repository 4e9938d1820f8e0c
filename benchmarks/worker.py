"""What replaying a request costs: CPU a message, as a ratio to the floor of the same run.

The floor consumes a batch and produces the same bytes. The naive loop polls a message, decodes it with
fastavro, asks the model, encodes and produces. All read the same 150,000 requests of 20 features from an
embedded Apache Kafka, with a model that does next to nothing.

    python benchmarks/worker.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

from confluent_kafka import Consumer, Producer

from shadowlane.comparators import Comparator
from shadowlane.kafka import (
    EmbeddedKafka,
    KafkaSettings,
    TopicNames,
    create_topics,
    default_specs,
    make_consumer,
    make_producer,
)
from shadowlane.replay_worker import ModelSource, Tally, Target, WorkerPlan, run_worker
from shadowlane.schemas import Codec, Features, Prediction, ProductionRequest, ShadowComparison

COUNT = 150_000
TOPICS = TopicNames()
MODEL = """
def one(features):
    return features["f0"]

class Together:
    def predict(self, batch):
        return batch.matrix(["f0"])[:, 0]
"""


def fill(kafka: KafkaSettings) -> None:
    """Publish the requests that everyone reads."""
    producer, codec = make_producer(kafka, **{"linger.ms": 20}), Codec(ProductionRequest)
    for number in range(COUNT):
        event = ProductionRequest(
            request_id=f"r{number}",
            event_time=datetime.now(UTC),
            model="bench",
            features=Features(numbers={f"f{index}": number / COUNT + index for index in range(20)}),
            prediction=Prediction(score=number / COUNT),
            latency_ms=1.0,
        )
        producer.produce(TOPICS.requests, codec.encode(event), key=event.request_id)
        producer.poll(0)
    producer.flush()


def floor(consumer: Consumer, producer: Producer) -> None:
    """Consume a batch, produce the same bytes."""
    done = 0
    while done < COUNT:
        messages = consumer.consume(500, 0.05)
        for message in messages:
            producer.produce(TOPICS.comparisons, message.value(), key=message.key())
        producer.poll(0)
        done += len(messages)
    producer.flush()


def naive(consumer: Consumer, producer: Producer) -> None:
    """A message at a time, each with fastavro."""
    requests, comparisons, rule = Codec(ProductionRequest), Codec(ShadowComparison), Comparator()
    done = 0
    while done < COUNT:
        message = consumer.poll(1)
        if message is None:
            continue
        request = requests.decode(message.value())
        shadow = Prediction(score=request.features.to_dict()["f0"])
        outcome = rule.compare(request.prediction or shadow, shadow)
        comparison = ShadowComparison(
            request_id=request.request_id,
            event_time=request.event_time,
            model=request.model,
            shadow="naive",
            source_topic=message.topic() or "",
            source_partition=message.partition() or 0,
            source_offset=message.offset() or 0,
            primary_prediction=request.prediction or shadow,
            shadow_prediction=shadow,
            agreement=outcome.agreement,
            difference=outcome.difference,
            comparator=outcome.comparator,
            shadow_latency_ms=0.0,
            replay_lag_ms=0.0,
        )
        producer.produce(TOPICS.comparisons, comparisons.encode(comparison), key=message.key())
        producer.poll(0)
        done += 1
    producer.flush()


def cpu(work: Callable[[], Any]) -> float:
    """Processor time of this process, in microseconds a message."""
    before = time.process_time()
    work()
    return (time.process_time() - before) / COUNT * 1e6


def by_hand(kafka: KafkaSettings, name: str, work: Callable[[Consumer, Producer], None]) -> float:
    """A loop of this file's."""
    consumer, producer = make_consumer(kafka, name), make_producer(kafka, **{"linger.ms": 5})
    consumer.subscribe([TOPICS.requests])
    try:
        return cpu(lambda: work(consumer, producer))
    finally:
        consumer.close()


def by_worker(kafka: KafkaSettings, name: str, model: str, *, batch: bool) -> float:
    """The replay worker, transactions included."""
    plan = WorkerPlan(Target("bench", name), ModelSource(f"python:bench_model:{model}"), batch=batch)
    stop = Event()

    def tick(tally: Tally) -> None:
        if tally.requests >= COUNT:
            stop.set()

    return cpu(lambda: run_worker(plan, kafka, name, stop=stop, tick=tick))


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bench_model.py").write_text(MODEL)
        sys.path.insert(0, folder)
        with EmbeddedKafka(Path(folder, "kafka")) as embedded:
            kafka = KafkaSettings(embedded.bootstrap_servers)
            create_topics(kafka, default_specs(TOPICS, 3))
            fill(kafka)
            figures = {
                "floor: pass through": by_hand(kafka, "floor", floor),
                "worker, --batch": by_worker(kafka, "batch", "Together", batch=True),
                "worker, a request at a time": by_worker(kafka, "single", "one", batch=False),
                "naive loop": by_hand(kafka, "naive", naive),
            }
    base = figures["floor: pass through"]
    for name, figure in figures.items():
        print(f"{name:30} {figure:7.2f} µs CPU a message   {figure / base:6.2f} times the floor")


if __name__ == "__main__":
    main()
