"""What the hook costs: the caller's time for a publish, and the process's CPU for a request.

Against what one would write without it, in the same run and in turns: json.dumps and produce in the
request. Both send 20 features to a real Kafka at a paced rate: `--bootstrap-servers`, or the embedded one.
A request that comes alone finds the processor's caches cold, which is most of what it costs: "copy and
append" shows it. In bursts they come as to a service with work to do.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

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
BURST = 50


class Turn(NamedTuple):
    """The caller's times of one turn, and the process's CPU for a request, all its threads together."""

    single: list[float]
    burst: list[float]
    cpu: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap-servers", help="a Kafka that is there")
    parser.add_argument("--rate", type=float, default=5000, help="requests a second")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each of three turns")
    given = parser.parse_args()
    logging.getLogger("shadowlane").setLevel(logging.ERROR)  # that one Kafka is down is on purpose
    with kafka(given.bootstrap_servers) as settings:
        turns: dict[str, list[Turn]] = {name: [] for name in PUBLISHERS}
        for _ in range(3):
            for name, results in turns.items():
                with PUBLISHERS[name](settings) as publish:
                    results.append(measured(publish, given.rate, given.seconds))
    idle, naive = (statistics.median(turn.cpu for turn in turns[name]) for name in ("nothing", "naive"))
    print(f"{given.rate:,.0f} requests a second, {len(FEATURES)} features; µs a request")
    print(f"{'':18}{'one by one':>14}{f'in bursts of {BURST}':>18}{'CPU of':>14}{'CPU':>8}")
    print(f"{'':18}{'p50':>7}{'p99':>7}{'p50':>11}{'p99':>7}{'the process':>14}{'/naive':>8}")
    for name, results in turns.items():
        cpu = statistics.median(turn.cpu for turn in results) - idle
        single = sorted(time for turn in results for time in turn.single)
        burst = sorted(time for turn in results for time in turn.burst)
        print(
            f"{name:18}{at(single, 50):7.1f}{at(single, 99):7.1f}{at(burst, 50):11.1f}{at(burst, 99):7.1f}"
            f"{cpu:14.1f}{cpu / (naive - idle):7.2f}x"
        )


def at(times: list[float], percent: int) -> float:
    """A percentile of sorted times."""
    return times[len(times) * percent // 100]


def measured(publish: Publish, rate: float, seconds: float) -> Turn:
    """One turn: each request at its own time, then in bursts, as they come to a busy service."""
    paced(publish, rate, 0.2, 1)  # warm up: connections, threads, caches
    time.sleep(0.5)
    cpu = time.process_time()
    single = paced(publish, rate, seconds, 1)
    time.sleep(0.5)
    cpu = (time.process_time() - cpu) / len(single) * 1e6
    return Turn(single, paced(publish, rate, seconds / 2, BURST), cpu)


def paced(publish: Publish, rate: float, seconds: float, burst: int) -> list[float]:
    """Each call's microseconds, at this rate; the time between is slept."""
    times = []
    start = time.perf_counter()
    for number in range(int(rate * seconds)):
        if number % burst == 0:
            while (wait := start + number / rate - time.perf_counter()) > 0:
                time.sleep(wait)
        before = time.perf_counter_ns()
        publish(number)
        times.append((time.perf_counter_ns() - before) / 1000)
    return times


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


@contextmanager
def copying(_settings: KafkaSettings) -> Iterator[Publish]:
    """The least that can be done: copy the features and keep them for a thread that sends them."""
    kept = deque[dict[str, Any]](maxlen=1000)
    yield lambda _: kept.append(FEATURES.copy())


PUBLISHERS = {
    "nothing": nothing,
    "copy and append": copying,
    "naive": naive,
    "hook": with_hook,
    "hook, Kafka down": without_kafka,
}


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
