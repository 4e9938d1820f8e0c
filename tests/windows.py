"""Windows of requests on a real Kafka: publishing them, replaying them, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

from confluent_kafka import Producer, TopicPartition

from shadowlane.kafka import KafkaSettings, TopicNames, make_admin, make_consumer
from shadowlane.replay_worker import Isolation, ModelSource, Target, WorkerPlan
from shadowlane.replay_worker.window import How, Progress, Summary, Window, run_replay
from shadowlane.schemas import Codec, ProductionRequest, ShadowComparison, ShadowError
from tests_support import request

MODEL = """
import os, time

def predict(features):
    if features["amount"] == 3.0:
        raise KeyError("no history for this cohort")
    return features["amount"] / 10 + 0.01

def slowly(features):
    time.sleep(0.004)
    return predict(features)

def clock(features, context):
    return context.event_time.isoformat()

def dies_once(features):
    if features["count"] == 40 and not os.path.exists("died"):
        open("died", "w").close()
        os.kill(os.getpid(), 9)
    return 0.5
"""
CODEC = Codec(ProductionRequest)
MINUTE = timedelta(minutes=1)
#: The broker takes no message whose time is far from now, and retention none that is older than a week.
START = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=5)
WINDOW = Window.parse((START + 60 * MINUTE).isoformat(), (START + 120 * MINUTE).isoformat())
#: One request a minute: those of the window.
INSIDE = set(range(60, 120))


@dataclass(frozen=True)
class Done:
    """What a run left behind in Kafka."""

    places: Counter[tuple[int, int]]
    compared: dict[str, ShadowComparison]
    errors: list[ShadowError]

    @property
    def requests(self) -> set[int]:
        """The numbers of the requests, compared or not."""
        ids = [*self.compared, *(error.request_id or "" for error in self.errors)]
        return {int(each.rpartition("-")[2]) for each in ids}


def plan(attribute: str = "predict", run: str = "w") -> WorkerPlan:
    """A plan with a model of the folder, in this process."""
    source = ModelSource(f"python:window_model:{attribute}")
    return WorkerPlan(Target("fraud", "boosting-2", run=run), source, isolation=Isolation("none"))


def publish(
    producer: Producer,
    topics: TopicNames,
    numbers: Sequence[int],
    *,
    partitions: Sequence[int] = (0, 1, 2),
    minute: timedelta = MINUTE,
    **changes: Any,
) -> None:
    """One request a minute from START on, over these partitions in turn."""
    for number in numbers:
        event = request(number, **{"event_time": START + number * minute} | changes)
        send(producer, topics, partitions[number % len(partitions)], CODEC.encode(event), event.event_time)
    assert producer.flush(30) == 0


def send(producer: Producer, topics: TopicNames, partition: int, value: bytes, when: datetime) -> None:
    """One message of this time."""
    milliseconds = int(when.timestamp() * 1000)
    producer.produce(topics.requests, value, partition=partition, timestamp=milliseconds)
    producer.poll(0)


def replay(
    settings: KafkaSettings, plan: WorkerPlan, window: Window = WINDOW, how: How | None = None
) -> Summary:
    """A replay to its end."""
    return run_replay(plan, window, settings, how or How(), stop=Event())


def done(settings: KafkaSettings, run: str = "w") -> Done:
    """What a run left behind."""
    topics = TopicNames(settings.topic_prefix)
    compared = [
        e
        for e in map(Codec(ShadowComparison).decode, values_in(settings, topics.comparisons))
        if e.run == run
    ]
    errors = [e for e in map(Codec(ShadowError).decode, values_in(settings, topics.errors)) if e.run == run]
    places = Counter((each.source_partition, each.source_offset) for each in compared)
    places += Counter((each.source_partition, each.source_offset) for each in errors)
    return Done(places, {each.request_id: each for each in compared}, errors)


def values_in(settings: KafkaSettings, topic: str) -> list[bytes]:
    """What a topic holds now, as a reader of committed transactions sees it."""
    found: list[bytes] = []
    with closing(make_consumer(settings, "reader", **{"enable.partition.eof": True})) as consumer:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        consumer.assign([TopicPartition(topic, each, 0) for each in partitions])
        open_ones = set(partitions)
        while open_ones:
            for message in consumer.consume(1000, 0.1):
                error = message.error()
                if error is None:
                    found.append(message.value() or b"")
                else:
                    assert error.name() == "_PARTITION_EOF"
                    open_ones.discard(message.partition() or 0)
    return found


def assert_exactly(left: Done, numbers: set[int]) -> None:
    """Each of these requests once, and no other."""
    assert left.requests == numbers
    assert set(left.places.values()) == {1}
    assert left.places.total() == len(numbers)


def set_when_moving(moved: Event, now: Progress) -> None:
    """Say that requests are committed."""
    if now.counts.requests:
        moved.set()


def has_moved(settings: KafkaSettings, before: int) -> bool:
    """Whether the run's offsets are past that."""
    return sum(committed(settings, plan().target.group).values()) > before


@contextmanager
def command(
    settings: KafkaSettings, folder: Path, processes: int, *more: str
) -> Iterator[subprocess.Popen[bytes]]:
    """The command in a process group of its own, which is killed at the end."""
    options = {
        "--model": "fraud",
        "--shadow": "boosting-2",
        "--load": "python:window_model:slowly",
        "--from": WINDOW.start.text,
        "--to": WINDOW.end.text,
        "--run": "w",
        "--processes": str(processes),
        "--format": "json",
        "--bootstrap-servers": settings.bootstrap_servers,
    }
    words = [
        sys.executable,
        "-m",
        "shadowlane",
        "replay",
        *(word for pair in options.items() for word in pair),
        *more,
    ]
    env = {**os.environ, "SHADOWLANE_TOPIC_PREFIX": settings.topic_prefix}
    with (folder / "replay.log").open("ab") as log, (folder / "replay.json").open("wb") as out:
        process = subprocess.Popen(words, cwd=folder, env=env, stdout=out, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def committed(settings: KafkaSettings, group: str) -> dict[int, int]:
    """A group's offsets."""
    topic = TopicNames(settings.topic_prefix).requests
    with closing(make_consumer(settings, settings.topic_prefix + group)) as consumer:
        found = consumer.committed([TopicPartition(topic, each) for each in range(3)], timeout=40)
    return {each.partition: each.offset for each in found if each.offset >= 0}


def delete(settings: KafkaSettings, topics: TopicNames, before: dict[int, int]) -> None:
    """Delete what lies before these offsets (-1: all), as retention does."""
    places = [TopicPartition(topics.requests, each, offset) for each, offset in before.items()]
    admin = make_admin(settings)
    for future in admin.delete_records(places).values():
        future.result()


def wait_until(true: Callable[[], bool], seconds: float = 90) -> None:
    """Until it is so; fails when it is not so in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
