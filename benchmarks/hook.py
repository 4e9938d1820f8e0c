"""What the hook costs: the caller's time for a publish, and the process's CPU for a request.

Against what one would write without it, in the same run and in turns: json.dumps and produce in the
request. Both send 20 features to a real Kafka at a paced rate: `--bootstrap-servers`, or the embedded one.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from shadowlane.kafka import (
    EmbeddedKafka,
    KafkaSettings,
    TopicNames,
    create_topics,
    default_specs,
    make_producer,
)
from shadowlane.producer import Hook

FEATURES: dict[str, Any] = {f"number_{i}": i * 0.37 for i in range(14)}
FEATURES |= {f"count_{i}": i for i in range(3)} | {f"word_{i}": f"value {i}" for i in range(3)}

Publish = Callable[[int], object]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap-servers", help="a Kafka that is there")
    parser.add_argument("--rate", type=float, default=5000, help="requests a second")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each of three turns")
    given = parser.parse_args()
    logging.getLogger("shadowlane").setLevel(logging.ERROR)  # that one Kafka is down is on purpose
    with kafka(given.bootstrap_servers) as settings:
        turns: dict[str, list[tuple[list[float], float]]] = {name: [] for name in PUBLISHERS}
        for _ in range(3):
            for name, results in turns.items():
                with PUBLISHERS[name](settings) as publish:
                    results.append(paced(publish, given.rate, given.seconds))
    floor = statistics.median(cpu for _, cpu in turns["nothing"])
    print(f"{given.rate:,.0f} requests a second, {len(FEATURES)} features; µs a request")
    print(f"{'':18}{'caller p50':>12}{'caller p99':>12}{'CPU':>8}{'CPU/naive':>11}")
    naive = statistics.median(cpu for _, cpu in turns["naive"]) - floor
    for name, results in turns.items():
        times = sorted(t for some, _ in results for t in some)
        cpu = statistics.median(cpu for _, cpu in results) - floor
        p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
        print(f"{name:18}{p50:12.1f}{p99:12.1f}{cpu:8.1f}{cpu / naive:10.2f}x")


def paced(publish: Publish, rate: float, seconds: float) -> tuple[list[float], float]:
    """Each call's microseconds, and the process's CPU for a request, all threads together."""
    times = []
    for number in range(1000):  # warm up: connections, threads, caches
        publish(number)
    time.sleep(0.5)
    cpu, start = time.process_time(), time.perf_counter()
    for number in range(int(rate * seconds)):
        while (wait := start + number / rate - time.perf_counter()) > 0:
            time.sleep(wait)
        before = time.perf_counter_ns()
        publish(number)
        times.append((time.perf_counter_ns() - before) / 1000)
    time.sleep(0.5)
    return times, (time.process_time() - cpu) / len(times) * 1e6


@contextmanager
def with_hook(settings: KafkaSettings) -> Iterator[Publish]:
    """The hook as a service uses it."""
    with Hook(model="bench", model_version="1", kafka=settings) as hook:
        yield lambda number: hook.publish(
            features=FEATURES, prediction=0.87, latency_ms=12.3, entity_id=f"user-{number}"
        )


@contextmanager
def without_kafka(_settings: KafkaSettings) -> Iterator[Publish]:
    """The same with no broker to be reached."""
    with with_hook(KafkaSettings(bootstrap_servers="127.0.0.1:1")) as publish:
        yield publish


@contextmanager
def naive(settings: KafkaSettings) -> Iterator[Publish]:
    """What one writes in an afternoon."""
    producer = make_producer(settings, **{"linger.ms": 20, "compression.type": "lz4"})
    topic, delivered = TopicNames(settings.topic_prefix).requests, list[object]()

    def publish(number: int) -> None:
        entity = f"user-{number}"
        event = {
            "request_id": uuid.uuid4().hex,
            "event_time": time.time(),
            "model": "bench",
            "model_version": "1",
            "entity_id": entity,
            "features": FEATURES,
            "prediction": 0.87,
            "latency_ms": 12.3,
        }
        producer.produce(
            topic,
            json.dumps(event).encode(),
            key=entity,
            on_delivery=lambda error, _: delivered.append(error),
        )
        producer.poll(0)

    yield publish
    producer.flush(10)


@contextmanager
def nothing(_settings: KafkaSettings) -> Iterator[Publish]:
    """What the measuring itself costs."""
    yield lambda number: number


PUBLISHERS = {"nothing": nothing, "naive": naive, "hook": with_hook, "hook, Kafka down": without_kafka}


@contextmanager
def kafka(servers: str | None) -> Iterator[KafkaSettings]:
    """Topics of our own on the Kafka given, or on one that lives as long as this."""
    with ExitStack() as stack:
        if servers is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            servers = stack.enter_context(EmbeddedKafka(folder)).bootstrap_servers
        prefix = f"bench-{uuid.uuid4().hex[:8]}-"
        settings = KafkaSettings(bootstrap_servers=servers, topic_prefix=prefix)
        create_topics(settings, default_specs(TopicNames(prefix), 3))
        yield settings


if __name__ == "__main__":
    main()
