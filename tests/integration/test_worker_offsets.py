"""Where a worker reads on: after a start, a cut batch, retention, and a topic that was made again."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]  # exported, but not declared so

from replayed import assert_once_each, results
from shadowlane.errors import KafkaFailedError, ModelError
from shadowlane.kafka import (
    KafkaSettings,
    TopicNames,
    create_topics,
    default_specs,
    make_admin,
    make_consumer,
    make_producer,
)
from shadowlane.replay_worker import (
    ErrorCeiling,
    Isolation,
    ModelSource,
    Tally,
    Target,
    WorkerPlan,
    run_worker,
)
from shadowlane.replay_worker._answers import Answered, no_answers
from shadowlane.replay_worker._outbox import MovedOnError, Outbox
from shadowlane.replay_worker._replay import Replay
from shadowlane.replay_worker._source import LiveSource
from shadowlane.replay_worker._worker import run_loop
from shadowlane.replay_worker.isolation import ModelHost, open_host
from shadowlane.schemas import Codec, Features, ProductionRequest
from tests_support import request

MODEL = """
def predict(features):
    if features["amount"] == 3.0:
        raise KeyError("no history for this cohort")
    return 0.5
"""
CODEC = Codec(ProductionRequest)
GENEROUS = 60.0
#: Little is fetched ahead, so that what retention deletes was not read before.
NOT_AHEAD = {"queued.max.messages.kbytes": "1", "fetch.message.max.bytes": "1000"}


@pytest.fixture(autouse=True)
def _model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "offsets_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.delitem(sys.modules, "offsets_model", raising=False)


def plan(**changes: Any) -> WorkerPlan:
    """Replay `fraud` in this process."""
    source = ModelSource("python:offsets_model:predict")
    given: dict[str, Any] = {"isolation": Isolation(kind="none"), "ceiling": ErrorCeiling(1.0)} | changes
    return WorkerPlan(Target("fraud", "s"), source, **given)


def publish(
    settings: KafkaSettings, count: int, partitions: Sequence[int] = (0,), amount: float = 1.0
) -> None:
    """So many requests, on these partitions in turn."""
    # A fetch brings whole batches, however little it asks for.
    producer = make_producer(settings, **{"batch.num.messages": 10})
    topic = TopicNames(settings.topic_prefix).requests
    event = CODEC.encode(request(features=Features.of({"amount": amount})))
    for number in range(count):
        producer.produce(topic, event, partition=partitions[number % len(partitions)])
    assert producer.flush(30) == 0


@dataclass
class Until:
    """Stops a worker when something is so, or when it takes too long."""

    true: Callable[[Tally], bool]

    def __post_init__(self) -> None:
        self.stop, self._deadline = Event(), time.monotonic() + GENEROUS

    def tick(self, tally: Tally) -> None:
        """Look."""
        if self.true(tally) or time.monotonic() > self._deadline:
            self.stop.set()


def replay(settings: KafkaSettings, the_plan: WorkerPlan, true: Callable[[Tally], bool]) -> Tally:
    """Run a worker until it is so."""
    until = Until(true)
    return run_worker(the_plan, settings, "w", stop=until.stop, tick=until.tick)


def delete_before(settings: KafkaSettings, offset: int) -> None:
    """What retention does, at once."""
    topic = TopicNames(settings.topic_prefix).requests
    admin = make_admin(settings)  # its answers end with it
    for answer in admin.delete_records([TopicPartition(topic, 0, offset)]).values():
        answer.result(GENEROUS)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_what_retention_deleted_while_no_worker_ran_is_a_counted_gap(
    protocol: str, settings: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names partition, range and count; the tally counts them once; what is left is replayed."""
    the_plan = plan(group_protocol=protocol)
    publish(settings, 10)
    replay(settings, the_plan, lambda tally: tally.requests == 10)
    publish(settings, 20)
    delete_before(settings, 25)
    tally = replay(settings, the_plan, lambda tally: tally.requests == 5)
    assert (tally.lost, tally.requests) == (15, 5)
    topic = TopicNames(settings.topic_prefix).requests
    assert f"{topic}[0]: retention deleted 15 requests before they were read (10 to 24)" in caplog.text
    publish(settings, 1)
    assert replay(settings, the_plan, lambda tally: tally.requests == 1).lost == 0
    assert_once_each(settings, 16)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_what_retention_deletes_before_a_running_worker_is_a_counted_gap(
    protocol: str, settings: KafkaSettings
) -> None:
    """Requests and lost ones add up to what was published, and it goes on with what is left."""
    slow = replace(settings, client=NOT_AHEAD)
    publish(settings, 500)
    deleted = Event()

    def look(tally: Tally) -> bool:
        if tally.requests and not deleted.is_set():
            delete_before(settings, 490)
            deleted.set()
        return tally.requests + tally.lost == 500

    tally = replay(slow, plan(batch_size=5, group_protocol=protocol), look)
    assert tally.lost > 0
    assert tally.requests + tally.lost == 500
    assert_once_each(settings, tally.requests)
    assert {(0, offset) for offset in range(490, 500)} <= results(settings).keys()


def test_a_commit_behind_the_end_stops_the_worker(settings: KafkaSettings) -> None:
    """Nobody knows what became of the topic: neither its end nor its beginning is taken silently."""
    publish(settings, 5)
    group = settings.topic_prefix + plan().target.group
    consumer = make_consumer(settings, group)
    topic = TopicNames(settings.topic_prefix).requests
    consumer.commit(offsets=[TopicPartition(topic, 0, 1000)], asynchronous=False)
    consumer.close()
    with pytest.raises(KafkaFailedError, match=r"ends at 5, but the group .* has committed 1000") as raised:
        replay(settings, plan(), lambda _: False)
    assert f"{topic}[0]" in str(raised.value)
    assert group in str(raised.value)


def test_a_topic_that_is_made_again_is_read_from_its_beginning(
    settings: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """Also by a worker that started at the latest: what came while it ran was never to be left out."""
    caplog.set_level(logging.INFO, "shadowlane")
    names = TopicNames(settings.topic_prefix)
    until = Until(lambda tally: tally.requests >= 25)
    tallies: list[Tally] = []

    def run() -> None:
        the_plan = plan(start="latest")
        tallies.append(run_worker(the_plan, settings, "w", stop=until.stop, tick=tick))

    seen: list[int] = []

    def tick(tally: Tally) -> None:
        seen.append(tally.requests)
        until.tick(tally)

    worker = Thread(target=run)
    worker.start()
    wait_for(lambda: caplog.text.count("starting at its end") == 3)
    publish(settings, 20)
    wait_for(lambda: seen[-1] == 20)
    admin = make_admin(settings)
    admin.delete_topics([names.requests])[names.requests].result(GENEROUS)
    wait_for(lambda: names.requests not in admin.list_topics(timeout=GENEROUS).topics)
    create_topics(settings, default_specs(names, 3))
    publish(settings, 5)
    worker.join()
    assert tallies[0].requests == 25
    assert "the topic was made again; going on at its beginning" in caplog.text


def wait_for(true: Callable[[], bool]) -> None:
    """Until it is so."""
    deadline = time.monotonic() + GENEROUS
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_partitions_that_are_added_are_read_from_their_beginning(settings: KafkaSettings) -> None:
    """Also by a worker that started at the latest, and what came before it found them."""
    names, often = TopicNames(settings.topic_prefix), {"topic.metadata.refresh.interval.ms": "3000"}
    added = Event()

    def look(tally: Tally) -> bool:
        if tally.waiting is not None and len(tally.waiting) == 3 and not added.is_set():
            admin = make_admin(settings)
            admin.create_partitions([NewPartitions(names.requests, 6)])[names.requests].result(GENEROUS)
            publish(settings, 5, [3, 4, 5])
            added.set()
        return tally.requests == 5

    assert replay(replace(settings, client=often), plan(start="latest"), look).requests == 5


class Cutting:
    """A host that settles a few requests of a batch, as one does whose model is slow, or none of them."""

    def __init__(self, host: ModelHost) -> None:
        self._host, self._calls = host, 0
        self.names, self.wants_context, self.restarts = host.names, host.wants_context, 0

    def run(self, batch: Any, give_up: Callable[[], bool]) -> Answered:
        """Answer the first seven; each fourth time none."""
        self._calls += 1
        if self._calls % 4 == 0:
            return Answered(no_answers(), [], 0)
        return self._host.run(batch.take(list(range(min(7, len(batch))))), give_up)

    def close(self) -> None:
        """Close it."""
        self._host.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)


def test_what_a_cut_batch_leaves_is_read_again_and_nothing_twice(settings: KafkaSettings) -> None:
    """Over three partitions, with batches cut at seven requests and at none: each is one row."""
    publish(settings, 120, [0, 1, 2])
    the_plan, names = plan(batch_size=30), TopicNames(settings.topic_prefix)
    until = Until(lambda tally: tally.requests >= 120)
    host = Cutting(open_host(the_plan.source, the_plan.isolation, batch=False, wait=until.stop.wait))
    source = LiveSource(the_plan, settings, names.requests, until.stop)
    outbox = Outbox(settings, f"{names.prefix}cut")
    replayed = Replay(the_plan, host, names, "w")
    assert run_loop(the_plan, source, replayed, outbox, until.stop, until.tick).requests == 120
    assert_once_each(settings, 120)


def test_an_outcast_of_the_group_commits_nothing(settings: KafkaSettings) -> None:
    """Kafka takes a transaction's offsets from somebody who is no member: so such a worker must not try."""
    source = LiveSource(plan(), settings, TopicNames(settings.topic_prefix).requests, Event())
    with pytest.raises(MovedOnError, match="without this worker"):
        source.group()
    source.close()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_settings_of_clients_that_would_lose_requests_are_left_out(
    protocol: str, settings: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """What a user sets for all of his clients does not make a worker skip, nor its protocol refuse it."""
    caplog.set_level(logging.WARNING, "shadowlane")
    client = {
        "group.protocol": protocol,
        "auto.offset.reset": "latest",
        "session.timeout.ms": "7000",
    }
    publish(settings, 5)
    theirs = replace(settings, client=client)
    assert replay(theirs, plan(), lambda tally: tally.requests == 5).requests == 5
    assert "[kafka.client] auto.offset.reset is not for a worker's group" in caplog.text
    assert ("[kafka.client] session.timeout.ms is not for" in caplog.text) == (protocol == "consumer")


def test_so_many_failures_in_a_row_stop_the_worker(settings: KafkaSettings) -> None:
    """Across batches, and with a sentence that says what to do."""
    publish(settings, 3)
    publish(settings, 40, amount=3.0)
    ceiling = ErrorCeiling(1.0, consecutive=25)
    with pytest.raises(
        ModelError, match=r"\d+ requests in a row failed on shadow 's'.*--max-consecutive-errors"
    ):
        replay(settings, plan(ceiling=ceiling, batch_size=10), lambda _: False)
    assert 28 <= results(settings).total() <= 43
