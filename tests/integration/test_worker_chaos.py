"""Workers that come and go, stand still, hang or are killed, a broker that dies: each request is one row."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from faulty_kafka import FaultyKafka
from replayed import assert_once_each, results
from shadowlane.kafka import KafkaSettings, TopicNames, make_producer
from shadowlane.schemas import Codec, Features, ProductionRequest
from tests_support import request

MODEL = """
import time
from pathlib import Path

def predict(features):
    time.sleep(0.002)
    if features["amount"] == 3.0:
        raise KeyError("no history for this cohort")
    return 0.5

def hanging(features):
    while Path("hang").exists():
        Path("hanging").touch()
        time.sleep(0.1)
    return 0.5
"""
CODEC = Codec(ProductionRequest)
SCRIPT = Path(__file__).parent.parent / "chaos_worker.py"
#: The shortest that a broker takes; whoever is silent for so long is out.
IMPATIENT = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "1000", "max.poll.interval.ms": "7000"}
#: Far longer than any wait here: who leaves must say so.
VERY_PATIENT = {"session.timeout.ms": "300000", "max.poll.interval.ms": "400000"}
SEED = int(os.environ.get("SHADOWLANE_TEST_SEED", "6"))


class Workers:
    """Starts workers in a folder with the model in it; what still runs at the end is killed."""

    def __init__(self, folder: Path, settings: KafkaSettings) -> None:
        (folder / "chaos_model.py").write_text(MODEL)
        self._folder, self._settings = folder, settings
        self.log = folder / "workers.log"
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, client: dict[str, str] = IMPATIENT, **changes: str) -> subprocess.Popen[bytes]:
        """One more."""
        given = {
            "servers": self._settings.bootstrap_servers,
            "prefix": self._settings.topic_prefix,
            "client": json.dumps({**self._settings.client, **client}),
            "load": "python:chaos_model:predict",
            "isolation": "none",
            "protocol": "classic",
            "grace": "20",
            "worker_id": "",
        }
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, str(SCRIPT), json.dumps(given | changes)],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": f"{self._folder}:{os.environ.get('PYTHONPATH', '')}"},
            )
        self.started.append(process)
        return process

    @property
    def running(self) -> list[subprocess.Popen[bytes]]:
        """Those that have not ended."""
        return [each for each in self.started if each.poll() is None]

    def kill(self) -> None:
        """All of them."""
        for each in self.running:
            each.send_signal(signal.SIGCONT)
            each.kill()
            each.wait()


@pytest.fixture
def workers(tmp_path: Path, settings: KafkaSettings) -> Iterator[Workers]:
    """Workers of the run's Kafka."""
    made = Workers(tmp_path, settings)
    yield made
    made.kill()


class Feed:
    """Publishes requests in a steady stream, and counts them."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._producer, self._topic = make_producer(settings), TopicNames(settings.topic_prefix).requests
        self.published = 0

    def publish(self, count: int) -> None:
        """So many more."""
        for number in range(self.published, self.published + count):
            features = Features.of({"amount": float(number % 10)})
            event = request(number, features=features)
            self._producer.produce(self._topic, CODEC.encode(event), key=event.entity_id)
        self.published += count
        assert self._producer.flush(60) == 0

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Requests come, fifty at a time, until the block ends."""
        over = Event()

        def flow() -> None:
            while not over.wait(0.4):
                self.publish(50)

        source = Thread(target=flow)
        source.start()
        try:
            yield
        finally:
            over.set()
            source.join()


def wait_until(true: Callable[[], Any], seconds: float = 90.0) -> None:
    """Until it is so; fails when it is not so in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """Each ends in good order."""
    for each in processes:
        each.terminate()
    assert [each.wait(60) for each in processes] == [0] * len(processes)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("seconds", "protocol", "ends"),
    [(60, "classic", (signal.SIGTERM, signal.SIGKILL)), (14, "consumer", (signal.SIGTERM,))],
)
def test_workers_that_come_and_go_lose_and_double_nothing(
    seconds: int,
    protocol: str,
    ends: tuple[signal.Signals, ...],
    workers: Workers,
    settings: KafkaSettings,
) -> None:
    """Every two seconds one starts, is told to leave or is killed, while requests come."""
    chance, feed = random.Random(SEED), Feed(settings)  # noqa: S311 - not for secrets
    workers.start(protocol=protocol)
    told: list[subprocess.Popen[bytes]] = []
    with feed.flowing():
        for _ in range(seconds // 2):
            time.sleep(2)
            staying = [each for each in workers.running if each not in told]
            if len(staying) < 2 or (len(staying) < 4 and chance.random() < 0.5):
                workers.start(protocol=protocol)
                continue
            victim, end = chance.choice(staying), chance.choice(ends)
            victim.send_signal(end)
            if end == signal.SIGTERM:
                told.append(victim)
    # They take over the ids, and settle the transactions, of those that were killed.
    for _ in range(2):
        workers.start(protocol=protocol)
    wait_until(lambda: len(results(settings)) >= feed.published)
    for each in workers.running:
        each.terminate()
    for each in workers.started:
        each.wait(60)
    # One that was told before it could listen was ended by the signal itself.
    assert {each.returncode for each in workers.started} <= {0, -signal.SIGTERM, -signal.SIGKILL}
    assert_once_each(settings, feed.published)


@pytest.mark.timeout(120)
def test_a_worker_that_stood_still_past_its_time_spoils_nothing(
    workers: Workers, settings: KafkaSettings
) -> None:
    """It is stopped (SIGSTOP) in mid-work until another has done its work, and goes on as a member again."""
    feed = Feed(settings)
    sleeper, other = workers.start(), workers.start()
    with feed.flowing():
        wait_until(lambda: workers.log.read_text().count("joined by partitions") >= 2)
        wait_until(lambda: results(settings))
        sleeper.send_signal(signal.SIGSTOP)
        before = feed.published + 100
        wait_until(lambda: len(results(settings)) >= before)
        sleeper.send_signal(signal.SIGCONT)
        wait_until(lambda: len(results(settings)) >= before + 400)
    wait_until(lambda: len(results(settings)) >= feed.published)
    assert workers.running == [sleeper, other]
    stop([sleeper, other])
    assert_once_each(settings, feed.published)


@pytest.mark.timeout(120)
def test_a_batch_that_outlasts_the_group_is_done_by_another_once(
    workers: Workers, settings: KafkaSettings, tmp_path: Path
) -> None:
    """A model that holds the loop longer than the poll interval loses the partitions, not the requests."""
    (tmp_path / "hang").touch()
    feed = Feed(settings)
    feed.publish(60)
    late = workers.start(load="python:chaos_model:hanging")
    wait_until((tmp_path / "hanging").exists)
    prompt = workers.start()
    wait_until(lambda: len(results(settings)) == 60)
    (tmp_path / "hang").unlink()
    wait_until(lambda: "outlasted the group's patience" in workers.log.read_text())
    feed.publish(60)
    wait_until(lambda: len(results(settings)) >= 120)
    stop([late, prompt])
    assert_once_each(settings, 120)


@pytest.mark.timeout(120)
def test_of_two_workers_under_one_id_the_older_ends_with_the_reason(
    workers: Workers, settings: KafkaSettings
) -> None:
    """Its next transaction is refused, it says why and exits with 1; the younger does all of the work."""
    feed = Feed(settings)
    older = workers.start(worker_id="same")
    with feed.flowing():
        wait_until(lambda: results(settings))
        younger = workers.start(worker_id="same")
        assert older.wait(60) == 1
    assert "another process took over its id; this one must stop" in workers.log.read_text()
    wait_until(lambda: len(results(settings)) >= feed.published)
    stop([younger])
    assert_once_each(settings, feed.published)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_hanging_model_does_not_keep_a_worker_that_is_told_to_stop(
    protocol: str, workers: Workers, settings: KafkaSettings, tmp_path: Path
) -> None:
    """It ends within its grace and leaves the group by itself: another does its work, the batch included."""
    client = VERY_PATIENT if protocol == "classic" else {}
    (tmp_path / "hang").touch()
    feed = Feed(settings)
    feed.publish(50)
    stuck = workers.start(
        client, load="python:chaos_model:hanging", isolation="process", grace="1", protocol=protocol
    )
    wait_until((tmp_path / "hanging").exists)
    other = workers.start(client, protocol=protocol)
    stuck.terminate()
    assert stuck.wait(30) == 0
    wait_until(lambda: len(results(settings)) >= 50, 30)
    stop([other])
    assert_once_each(settings, 50)


@pytest.mark.timeout(120)
def test_a_broker_that_dies_and_comes_back_finds_each_request_once(tmp_path: Path) -> None:
    """It is killed (-9) while two workers are sending, and started again on its data."""
    kafka = FaultyKafka(tmp_path / "kafka")
    kafka.start()
    settings = kafka.settings(kafka.topics())
    workers, feed = Workers(tmp_path, settings), Feed(settings)
    try:
        both = [workers.start({}), workers.start({})]
        feed.publish(1_500)
        wait_until(lambda: 0 < len(results(settings)) < 1_500)
        kafka.kill()
        kafka.start()
        feed.publish(100)
        wait_until(lambda: len(results(settings)) >= 1_600)
        assert workers.running == both
        stop(both)
        assert_once_each(settings, 1_600)
    finally:
        workers.kill()
        kafka.stop()
