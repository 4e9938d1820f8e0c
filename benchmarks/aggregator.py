"""What landing a comparison costs: CPU from Kafka to a committed table, as a ratio to the floor of the run.

The floor consumes the messages in batches and does nothing with them. The naive loop polls a message,
decodes it with fastavro and writes a Parquet file every 50,000 rows; it commits nothing. All read the same
comparisons from an embedded Apache Kafka, one in twenty of them a disagreement that carries its 20
features, as workers send them by default, or with `--features all` each of them. What starting costs is
left out: the clock runs from the first tenth of the comparisons to the last.

    python benchmarks/aggregator.py [--rounds 3] [--count 300000] [--features disagreements|all|none]
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import Consumer

from shadowlane.aggregator import AggregatorPlan, Landings, run_aggregator
from shadowlane.kafka import (
    EmbeddedKafka,
    KafkaSettings,
    TopicNames,
    create_topics,
    default_specs,
    make_consumer,
    make_producer,
)
from shadowlane.schemas import Codec, Features, Prediction, ShadowComparison

TOPICS = TopicNames()
# Lately: Kafka would drop what is older than its retention.
BEGAN = datetime.now(UTC) - timedelta(hours=1)


class Clock:
    """Processor time of this process, from a tenth of the work to its end."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._begun: tuple[float, int] | None = None
        self.done = False
        self.micros = 0.0

    def at(self, rows: int) -> None:
        """So many are done."""
        if self._begun is None and rows >= self._count // 10:
            self._begun = (time.process_time(), rows)
        if self._begun is not None and not self.done and rows >= self._count:
            cpu, since = self._begun
            self.micros = (time.process_time() - cpu) / (rows - since) * 1e6
            self.done = True


def comparisons(count: int, features: str) -> Iterator[ShadowComparison]:
    """Comparisons as workers make them of a service with 200 requests a second."""
    dice = random.Random(7)  # noqa: S311 - no secrets here
    for number in range(count):
        score, agreement = dice.random(), dice.random() < 0.95
        carries = features == "all" or (features == "disagreements" and not agreement)
        yield ShadowComparison(
            request_id=str(uuid.UUID(int=dice.getrandbits(128))),
            event_time=BEGAN + timedelta(milliseconds=number * 5, microseconds=dice.randrange(5000)),
            model="ranker",
            model_version="7",
            shadow="ranker-8",
            shadow_version="8",
            entity_id=f"user-{dice.randrange(100_000)}",
            source_topic=TOPICS.requests,
            source_partition=number % 3,
            source_offset=number // 3,
            segments={
                "country": dice.choice(["DE", "FR", "US", "BR"]),
                "plan": dice.choice(["free", "paid"]),
            },
            primary_prediction=Prediction(score=score),
            shadow_prediction=Prediction(score=score + dice.gauss(0, 0.01)),
            agreement=agreement,
            difference=dice.gauss(0, 0.01),
            comparator="score:0.05",
            primary_latency_ms=dice.lognormvariate(2, 0.5),
            shadow_latency_ms=dice.lognormvariate(2, 0.5),
            shadow_cpu_ms=dice.random(),
            replay_lag_ms=dice.random() * 1000,
            features=_features(dice) if carries else None,
            worker_id="worker-1",
        )


def _features(dice: random.Random) -> Features:
    return Features(
        numbers={f"feature_{index:02}": dice.gauss(0, 1) for index in range(12)},
        integers={f"count_{index}": dice.randrange(100) for index in range(5)},
        strings={f"kind_{index}": dice.choice("abcdef") for index in range(3)},
    )


def fill(kafka: KafkaSettings, count: int, features: str) -> None:
    """Publish the comparisons that everyone reads, over the topic's partitions."""
    producer, codec = make_producer(kafka, **{"linger.ms": 20}), Codec(ShadowComparison)
    for event in comparisons(count, features):
        producer.produce(
            TOPICS.comparisons,
            codec.encode(event),
            key=event.entity_id,
            timestamp=int(event.event_time.timestamp() * 1000),
        )
        producer.poll(0)
    producer.flush()


def floor(consumer: Consumer, clock: Clock) -> None:
    """Consume in batches."""
    done = 0
    while not clock.done:
        done += len([message.value() for message in consumer.consume(5_000, 0.1)])
        clock.at(done)


def naive(consumer: Consumer, clock: Clock) -> None:
    """A message at a time, decoded with fastavro, a file every 50,000 rows."""
    codec, rows, done = Codec(ShadowComparison), list[dict[str, object]](), 0
    with tempfile.TemporaryDirectory() as folder:
        while not clock.done:
            message = consumer.poll(1)
            if message is None:
                continue
            rows.append(_row(codec.decode(message.value())))
            if len(rows) == 50_000:
                done += len(rows)
                pq.write_table(
                    pa.Table.from_pylist(rows), Path(folder, f"{done}.parquet"), compression="zstd"
                )
                rows.clear()
                clock.at(done)


def _row(event: ShadowComparison) -> dict[str, object]:
    row = {name: value for name, value in _fields(event).items() if not isinstance(value, Prediction)}
    row["segments"] = list(event.segments.items())
    row["features"] = str(event.features.to_dict()) if event.features else None
    row["primary_score"], row["shadow_score"] = event.primary_prediction.score, event.shadow_prediction.score
    return row


def _fields(event: ShadowComparison) -> dict[str, object]:
    return {name: getattr(event, name) for name in ShadowComparison.__dataclass_fields__}


def ours(kafka: KafkaSettings, clock: Clock) -> float:
    """The aggregator; bytes a comparison on disk."""

    def follow(landings: Landings) -> None:
        clock.at(landings.rows.get("comparisons", 0))

    with tempfile.TemporaryDirectory() as lake:
        landings = run_aggregator(
            AggregatorPlan(lake, until_caught_up=True), kafka, stop=Event(), tick=follow
        )
        clock.at(landings.rows["comparisons"])
        size = sum(path.stat().st_size for path in Path(lake).rglob("*.parquet"))
        return size / landings.rows["comparisons"]


def read_by(kafka: KafkaSettings, count: int, read: Callable[[Consumer, Clock], None]) -> float:
    """What a loop over a consumer costs."""
    clock = Clock(count)
    consumer = make_consumer(kafka, f"bench-{uuid.uuid4()}", **{"auto.offset.reset": "earliest"})
    consumer.subscribe([TOPICS.comparisons])
    with closing(consumer):
        read(consumer, clock)
    return clock.micros


def main() -> None:
    """Run the rounds and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=300_000)
    parser.add_argument("--features", choices=["disagreements", "all", "none"], default="disagreements")
    chosen = parser.parse_args()
    found: dict[str, list[float]] = {"floor": [], "naive": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(Path(folder)) as broker:
        kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        create_topics(kafka, default_specs(TOPICS, 3))
        fill(kafka, chosen.count, chosen.features)
        size = 0.0
        for _ in range(chosen.rounds):
            found["floor"].append(read_by(kafka, chosen.count, floor))
            found["naive"].append(read_by(kafka, chosen.count, naive))
            clock = Clock(chosen.count)
            size = ours(kafka, clock)
            found["ours"].append(clock.micros)
    medians = {name: statistics.median(each) for name, each in found.items()}
    for name, micros in medians.items():
        print(f"{name:6} {micros:6.2f} µs CPU a comparison, {micros / medians['floor']:5.1f} times the floor")
    print(f"naive takes {medians['naive'] / medians['ours']:.1f} times what ours takes")
    print(f"{size:.0f} bytes a comparison on disk")


if __name__ == "__main__":
    main()
