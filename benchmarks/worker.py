"""What replaying a request costs: CPU a message, as a ratio to the floor of the same run.

The floor consumes a batch and produces the same bytes. The naive loop polls a message, decodes it with
fastavro, asks the model, encodes and produces. All read the same requests of 20 features from an embedded
Apache Kafka, with a model that does next to nothing. The model's process counts as the worker does, and
what starting costs is left out: the clock runs from the first tenth of the requests to the last.

    python benchmarks/worker.py [--rounds 3] [--count 200000]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

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
from shadowlane.replay_worker import Isolation, ModelSource, Tally, Target, WorkerPlan, run_worker
from shadowlane.schemas import Codec, Features, Prediction, ProductionRequest, ShadowComparison

TOPICS = TopicNames()
TICKS = os.sysconf("SC_CLK_TCK")
MODEL = """
def one(features):
    return features["f0"]

class Together:
    def predict(self, batch):
        return batch.matrix([f"f{index}" for index in range(20)])[:, 0]
"""


class Clock:
    """Processor time of this process and its children, from a tenth of the work to its end."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._begun: tuple[float, int] | None = None
        self.done = False
        self.micros = 0.0

    def at(self, requests: int) -> None:
        """So many are done."""
        if self._begun is None and requests >= self._count // 10:
            self._begun = (_cpu(), requests)
        if self._begun is not None and not self.done and requests >= self._count:
            cpu, since = self._begun
            self.micros = (_cpu() - cpu) / (requests - since) * 1e6
            self.done = True


def _cpu() -> float:
    """Of all threads, and of the processes that this one started."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    theirs = [
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        for pid in children
        if b"isolation._child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return time.process_time() + sum(int(tick) for pair in theirs for tick in pair) / TICKS


def fill(kafka: KafkaSettings, count: int) -> None:
    """Publish the requests that everyone reads."""
    producer, codec = make_producer(kafka, **{"linger.ms": 20}), Codec(ProductionRequest)
    for number in range(count):
        event = ProductionRequest(
            request_id=f"r{number}",
            event_time=datetime.now(UTC),
            model="bench",
            features=Features(numbers={f"f{index}": number / count + index for index in range(20)}),
            prediction=Prediction(score=number / count),
            latency_ms=1.0,
        )
        producer.produce(TOPICS.requests, codec.encode(event), key=event.request_id)
        producer.poll(0)
    producer.flush()


def floor(consumer: Consumer, producer: Producer, clock: Clock) -> None:
    """Consume a batch, produce the same bytes."""
    done = 0
    while not clock.done:
        messages = consumer.consume(500, 0.05)
        for message in messages:
            producer.produce(TOPICS.comparisons, message.value(), key=message.key())
        producer.poll(0)
        done += len(messages)
        clock.at(done)
    producer.flush()


def transactions(consumer: Consumer, producer: Producer, clock: Clock) -> None:
    """The floor as a worker must do it: a batch a transaction with its offsets, under keys and times."""
    producer.init_transactions(30)
    done = 0
    while not clock.done:
        messages = consumer.consume(5_000, 0.05)
        if not messages:
            continue
        producer.begin_transaction()
        for message in messages:
            producer.produce(
                TOPICS.comparisons, message.value(), message.key(), timestamp=message.timestamp()[1]
            )
        offsets = consumer.position(consumer.assignment())
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), 10)
        producer.commit_transaction(10)
        done += len(messages)
        clock.at(done)


def naive(consumer: Consumer, producer: Producer, clock: Clock) -> None:
    """A message at a time, each with fastavro."""
    requests, comparisons, rule = Codec(ProductionRequest), Codec(ShadowComparison), Comparator()
    done = 0
    while not clock.done:
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
        clock.at(done)
    producer.flush()


def by_hand(kafka: KafkaSettings, work: Callable[[Consumer, Producer, Clock], None], count: int) -> float:
    """A loop of this file's, in microseconds a message."""
    consumer = make_consumer(kafka, f"{work.__name__}-{time.monotonic_ns()}")
    name = f"{work.__name__}-{time.monotonic_ns()}"
    settings = {"transactional.id": name} if work is transactions else {}
    producer, clock = make_producer(kafka, **({"linger.ms": 5} | settings)), Clock(count)
    consumer.subscribe([TOPICS.requests])
    try:
        work(consumer, producer, clock)
    finally:
        consumer.close()
    return clock.micros


def by_worker(kafka: KafkaSettings, plan: WorkerPlan, count: int) -> float:
    """The replay worker, transactions included."""
    stop, clock = Event(), Clock(count)

    def tick(tally: Tally) -> None:
        clock.at(tally.requests)
        if clock.done:
            stop.set()

    run_worker(plan, kafka, "bench", stop=stop, tick=tick)
    return clock.micros


def plan(attribute: str, *, batch: bool, isolated: bool) -> WorkerPlan:
    """A worker that starts at the beginning, as it has a name that nobody had."""
    return WorkerPlan(
        Target("bench", f"s{time.monotonic_ns()}"),
        ModelSource(f"python:bench_model:{attribute}"),
        isolation=Isolation("process" if isolated else "none"),
        batch=batch,
    )


def main() -> None:
    """Print the table: the median of the rounds, and of the ratios within each round."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--only", default="", help="rows whose name holds this")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bench_model.py").write_text(MODEL)
        sys.path.insert(0, folder)
        with EmbeddedKafka(Path(folder, "kafka")) as embedded:
            kafka = KafkaSettings(embedded.bootstrap_servers)
            create_topics(kafka, default_specs(TOPICS, 3))
            fill(kafka, args.count)
            rows: dict[str, Callable[[], float]] = {
                "pass through in transactions": lambda: by_hand(kafka, transactions, args.count),
                "worker --batch --isolation none": lambda: by_worker(
                    kafka, plan("Together", batch=True, isolated=False), args.count
                ),
                "worker --batch": lambda: by_worker(
                    kafka, plan("Together", batch=True, isolated=True), args.count
                ),
                "worker --isolation none": lambda: by_worker(
                    kafka, plan("one", batch=False, isolated=False), args.count
                ),
                "worker": lambda: by_worker(kafka, plan("one", batch=False, isolated=True), args.count),
                "naive loop": lambda: by_hand(kafka, naive, args.count),
            }
            rows = {name: row for name, row in rows.items() if args.only in name}
            rounds = []
            for _ in range(args.rounds):
                base = by_hand(kafka, floor, args.count)
                rounds.append({"floor: pass through": base} | {name: row() for name, row in rows.items()})
    for name in rounds[0]:
        figures = [each[name] for each in rounds]
        ratios = sorted(each[name] / each["floor: pass through"] for each in rounds)
        print(
            f"{name:32} {statistics.median(figures):7.2f} µs CPU a message   "
            f"{statistics.median(ratios):6.2f} times the floor ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
