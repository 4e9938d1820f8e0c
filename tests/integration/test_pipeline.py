"""The whole pipeline on a real Kafka: each request is one row in the lake, whatever is killed on the way."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import duckdb
import pytest
from confluent_kafka import Producer
from deltalake import DeltaTable

from shadowlane.aggregator import AggregatorPlan, run_aggregator
from shadowlane.kafka import (
    EmbeddedKafka,
    KafkaSettings,
    TopicNames,
    create_topics,
    default_specs,
    make_producer,
    status,
)
from shadowlane.replay_worker import ErrorCeiling, ModelSource, Target, WorkerPlan, run_worker
from shadowlane.schemas import Codec, ProductionRequest
from tests_support import request

MODEL = """
import time

def predict(features):
    if features["amount"] == 3.0:
        raise KeyError("no history for this cohort")
    return features["amount"] / 10 + 0.01

def slowly(features):
    time.sleep(0.005)
    return predict(features)
"""
CODEC = Codec(ProductionRequest)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with a model in it; processes start there."""
    (tmp_path / "user_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.delitem(sys.modules, "user_model", raising=False)
    return tmp_path


@pytest.fixture
def settings(kafka: KafkaSettings, topics: TopicNames) -> KafkaSettings:
    """The run's Kafka under this test's prefix."""
    return KafkaSettings(kafka.bootstrap_servers, topic_prefix=topics.prefix)


PLAN = WorkerPlan(Target("fraud", "boosting-2"), ModelSource("python:user_model:predict"))


def publish(producer: Producer, topics: TopicNames, numbers: Sequence[int]) -> None:
    """Requests by number, as any service would send them."""
    for number in numbers:
        event = request(number)
        producer.produce(topics.requests, CODEC.encode(event), key=event.entity_id)
        producer.poll(0)
    assert producer.flush(30) == 0


def rows(lake: Path, table: str, columns: str) -> list[tuple[Any, ...]]:
    """A table's rows, from its own list of files."""
    files = DeltaTable(str(lake / table)).file_uris()
    return duckdb.execute(f"select {columns} from read_parquet($files)", {"files": files}).fetchall()  # noqa: S608


def replay(settings: KafkaSettings, until: int, plan: WorkerPlan = PLAN, worker_id: str = "w") -> None:
    """Run a worker in this process until it has done so many requests."""
    stop = Event()
    deadline = time.monotonic() + 120

    def tick(progress: Any) -> None:
        if progress.requests >= until or time.monotonic() > deadline:
            stop.set()

    assert run_worker(plan, settings, worker_id, stop=stop, tick=tick).requests == until


def land(settings: KafkaSettings, lake: Path) -> dict[str, int]:
    """Run an aggregator until it has caught up; the workers' own entries are tested elsewhere."""
    plan = AggregatorPlan(str(lake), until_caught_up=True)
    landed = run_aggregator(plan, settings, stop=Event()).rows
    return {table: count for table, count in landed.items() if table != "ledger"}


def test_each_request_becomes_one_comparison_or_one_error(
    folder: Path, settings: KafkaSettings, topics: TopicNames, producer_factory: Callable[..., Producer]
) -> None:
    """Requests go through worker and aggregator; a bad message is an error with its bytes."""
    producer = producer_factory()
    publish(producer, topics, range(300))
    producer.produce(topics.requests, b"not ours")
    other = request(999, model="another-model")
    producer.produce(topics.requests, CODEC.encode(other))
    producer.flush()
    replay(settings, until=301)
    assert land(settings, folder / "lake") == {"comparisons": 270, "errors": 31}

    compared = rows(
        folder / "lake", "comparisons", "request_id, agreement, difference, comparator, shadow_score"
    )
    assert {row[0] for row in compared} == {f"request-{n}" for n in range(300) if n % 10 != 3}
    assert {row[1:4] for row in compared if row[1]} == {(True, row[2], "score:0.05") for row in compared}
    errors = rows(folder / "lake", "errors", "stage, error_type, message, raw, request_id, source_topic")
    assert Counter(row[:3] for row in errors)["predict", "KeyError", "'no history for this cohort'"] == 30
    (bad,) = [row for row in errors if row[0] == "decode"]
    assert bad[1] == "ForeignMessageError"
    assert bad[3:] == ("bm90IG91cnM=", None, topics.requests)


def test_a_second_run_of_the_aggregator_lands_nothing_again(
    folder: Path, settings: KafkaSettings, topics: TopicNames, producer_factory: Callable[..., Producer]
) -> None:
    """What has landed is not read again, and what came since is."""
    publish(producer_factory(), topics, range(20))
    replay(settings, until=20)
    assert land(settings, folder / "lake") == {"comparisons": 18, "errors": 2}
    assert land(settings, folder / "lake") == {}
    publish(producer_factory(), topics, range(20, 25))
    replay(settings, until=5)
    assert land(settings, folder / "lake") == {"comparisons": 4, "errors": 1}


def test_bytes_that_are_no_comparison_become_dead_letters_once(
    folder: Path, settings: KafkaSettings, topics: TopicNames, producer_factory: Callable[..., Producer]
) -> None:
    """A foreign message on the comparison topic is kept apart with its place, once; the good ones land."""
    publish(producer_factory(), topics, range(5))
    replay(settings, until=5)
    producer = producer_factory()
    producer.produce(topics.comparisons, b"\x00\x00\x00\x00\x07abc", partition=0)
    producer.flush()
    assert land(settings, folder / "lake") == {"comparisons": 4, "errors": 1}
    assert land(settings, folder / "lake") == {}
    letters = rows(folder / "lake", "dead_letters", "topic, landed_partition, error_type, raw")
    assert letters == [(topics.comparisons, 0, "UnknownSchemaError", "AAAAAAdhYmM=")]


def test_too_many_errors_stop_the_worker(
    folder: Path, settings: KafkaSettings, topics: TopicNames, producer_factory: Callable[..., Producer]
) -> None:
    """Past the ceiling a worker stops and says so, rather than drain the topic into errors."""
    publish(producer_factory(), topics, [3] * 50)
    plan = WorkerPlan(PLAN.target, PLAN.source, ceiling=ErrorCeiling(0.5, after=20), batch_size=10)
    with pytest.raises(Exception, match=r"\d+ of the last \d+ requests failed on shadow 'boosting-2'"):
        run_worker(plan, settings, "w", stop=Event())


@contextmanager
def command(
    folder: Path, settings: KafkaSettings, *arguments: str
) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts `shadowlane …` as often as asked; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []
    env = {
        **os.environ,
        "SHADOWLANE_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "SHADOWLANE_TOPIC_PREFIX": settings.topic_prefix,
        "SHADOWLANE_LAKE": str(folder / "lake"),
        "SHADOWLANE_LEAVE_WITH_PARENT": str(os.getpid()),
    }

    def start() -> subprocess.Popen[bytes]:
        with (folder / f"{arguments[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "shadowlane", *arguments], cwd=folder, env=env, stdout=log, stderr=log
            )
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.timeout(300)
def test_killing_anything_at_any_point_loses_and_doubles_nothing(
    folder: Path, settings: KafkaSettings, topics: TopicNames, producer_factory: Callable[..., Producer]
) -> None:
    """Workers and aggregator are killed (-9) while rows are landing, and started again; each is one row."""
    chance, lake = random.Random(11), folder / "lake"  # noqa: S311 - not for secrets
    published, enough = [0], Event()

    def feed() -> None:
        producer = producer_factory()
        while not enough.is_set():
            publish(producer, topics, range(published[0], published[0] + 100))
            published[0] += 100
            enough.wait(0.3)

    worker = ("worker", "--model", "fraud", "--shadow", "boosting-2", "--load", "python:user_model:slowly")
    with (
        command(folder, settings, *worker) as start_worker,
        command(folder, settings, "aggregate", "--flush-seconds", "0.1") as start_aggregator,
    ):
        starts = (start_worker, start_worker, start_aggregator)
        running = [start() for start in starts]
        feeder = Thread(target=feed)
        feeder.start()
        try:
            for kill in range(9):
                landed = len(_identities(lake))
                wait_until(lambda: len(_identities(lake)) > landed)  # noqa: B023 - called in this round
                time.sleep(chance.uniform(0, 0.3))
                victim = kill % 3
                running[victim].send_signal(signal.SIGKILL)
                assert running[victim].wait() == -signal.SIGKILL, "it had ended by itself"
                running[victim] = starts[victim]()
        finally:
            enough.set()
            feeder.join()
        wait_until(lambda: len(_identities(lake)) >= published[0])
        assert all(process.poll() is None for process in running), "a process gave up by itself"
        for process in running:
            process.terminate()
        assert [process.wait(60) for process in running] == [0, 0, 0]
    identities = _identities(lake)
    assert len(identities) == published[0]
    assert set(Counter(identities).values()) == {1}


@pytest.mark.timeout(240)
def test_a_broker_that_is_killed_and_comes_back_loses_and_doubles_nothing(
    folder: Path, own_kafka: EmbeddedKafka
) -> None:
    """The broker is killed (-9) in mid-work and started again on its data; nobody needs to be told."""
    total = 1_500
    names = TopicNames("outage-")
    settings = KafkaSettings(own_kafka.bootstrap_servers, topic_prefix=names.prefix)
    create_topics(settings, default_specs(names, 3))
    worker = ("worker", "--model", "fraud", "--shadow", "boosting-2", "--load", "python:user_model:slowly")
    with (
        command(folder, settings, *worker) as start_worker,
        command(folder, settings, "aggregate", "--flush-seconds", "0.3") as start_aggregator,
    ):
        running = [start_worker(), start_aggregator()]
        publish(make_producer(settings), names, range(total))
        wait_until(lambda: 0 < len(_identities(folder / "lake")) < total)
        data = own_kafka.log_path.parent
        os.kill(json.loads((data / "state.json").read_text())["pid"], signal.SIGKILL)
        wait_until(lambda: not status(data).running)  # the JVM outlives its guard by a moment
        with EmbeddedKafka(data, int(settings.bootstrap_servers.rpartition(":")[2])):
            wait_until(lambda: len(_identities(folder / "lake")) >= total)
            assert all(process.poll() is None for process in running), "a process gave up by itself"
            for process in running:
                process.terminate()
            assert [process.wait(60) for process in running] == [0, 0]
    assert set(Counter(_identities(folder / "lake")).values()) == {1}


def wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    """Until it is so; fails when it is not so in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


def _identities(lake: Path) -> list[tuple[Any, ...]]:
    """Each row's identity, comparisons and errors together."""
    if not (
        DeltaTable.is_deltatable(str(lake / "comparisons")) and DeltaTable.is_deltatable(str(lake / "errors"))
    ):
        return []
    place = "source_topic, source_partition, source_offset, shadow, run"
    tables = [table for table in ("comparisons", "errors") if DeltaTable(str(lake / table)).file_uris()]
    return [row for table in tables for row in rows(lake, table, place)]
