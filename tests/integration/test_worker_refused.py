"""What cannot be sent, now or later, ends the worker with the reason: nothing is lost, and nothing spins."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, but not declared so
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from faulty_kafka import USER, FaultyKafka
from replayed import results
from shadowlane.errors import MessageTooLargeError, NotAuthorizedError, TopicMissingError
from shadowlane.kafka import (
    KafkaSettings,
    TopicNames,
    create_topics,
    default_specs,
    make_admin,
    make_consumer,
    make_producer,
)
from shadowlane.replay_worker import Isolation, ModelSource, Tally, Target, WorkerPlan, run_worker
from shadowlane.schemas import Codec, Features, ProductionRequest
from tests_support import request

MODEL = """
def predict(features):
    if features["amount"] == 3.0:
        raise KeyError("no history for this cohort")
    return 0.5
"""
CODEC = Codec(ProductionRequest)
TARGET = Target("fraud", "s")
PLAN = WorkerPlan(TARGET, ModelSource("python:refused_model:predict"), isolation=Isolation(kind="none"))
GENEROUS = 60.0


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyKafka]:
    """A Kafka that checks who may do what."""
    kafka = FaultyKafka(tmp_path_factory.mktemp("refusing"))
    kafka.start()
    yield kafka
    kafka.stop()


@pytest.fixture(autouse=True)
def _model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "refused_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.delitem(sys.modules, "refused_model", raising=False)


def publish(settings: KafkaSettings, *values: bytes) -> None:
    """These messages, on one partition."""
    producer = make_producer(settings, **{"message.max.bytes": 8_000_000})
    for value in values:
        producer.produce(TopicNames(settings.topic_prefix).requests, value, partition=0)
    assert producer.flush(60) == 0


def replay(settings: KafkaSettings, until: Callable[[Tally], bool] = lambda _: False) -> Tally:
    """Run a worker until it is so, or it gives up, or it takes too long."""
    stop, deadline = Event(), time.monotonic() + GENEROUS

    def tick(tally: Tally) -> None:
        if until(tally) or time.monotonic() > deadline:
            stop.set()

    return run_worker(PLAN, settings, "w", stop=stop, tick=tick)


def committed(settings: KafkaSettings) -> int:
    """Where the group reads on in the partition."""
    consumer = make_consumer(settings, settings.topic_prefix + TARGET.group)
    place = TopicPartition(TopicNames(settings.topic_prefix).requests, 0)
    (found,) = consumer.committed([place], timeout=GENEROUS)
    consumer.close()
    return found.offset


def grant(kafka: FaultyKafka, *grants: tuple[ResourceType, str, AclOperation]) -> None:
    """Let the named one do these."""
    bindings = [
        AclBinding(
            kind,
            name,
            ResourcePatternType.LITERAL,
            f"User:{USER}",
            "*",
            operation,
            AclPermissionType.ALLOW,
        )
        for kind, name, operation in grants
    ]
    admin = make_admin(kafka.settings())  # its answers end with it
    for answer in admin.create_acls(bindings).values():
        answer.result(GENEROUS)


def least(names: TopicNames) -> list[tuple[ResourceType, str, AclOperation]]:
    """What a worker needs, but for one: to write to the errors topic, which it may only see."""
    group = names.prefix + TARGET.group
    return [
        (ResourceType.TOPIC, names.requests, AclOperation.READ),
        (ResourceType.TOPIC, names.comparisons, AclOperation.WRITE),
        (ResourceType.TOPIC, names.ledger, AclOperation.WRITE),
        (ResourceType.TOPIC, names.errors, AclOperation.DESCRIBE),
        (ResourceType.GROUP, group, AclOperation.READ),
        (ResourceType.TRANSACTIONAL_ID, f"{group}.w", AclOperation.WRITE),
    ]


def test_an_errors_topic_that_may_not_be_written_ends_the_worker(faulty: FaultyKafka) -> None:
    """The reason names the topic; the batch is not committed, and is done when the grant is there."""
    names = faulty.topics()
    theirs, ours = faulty.named_settings(names), faulty.settings(names)
    grant(faulty, *least(names))
    good, bad = (CODEC.encode(request(features=Features.of({"amount": a}))) for a in (1.0, 3.0))
    publish(ours, good, good, bad)
    with pytest.raises(NotAuthorizedError, match=names.errors):
        replay(theirs)
    assert not results(ours)
    assert committed(ours) == 0
    grant(faulty, (ResourceType.TOPIC, names.errors, AclOperation.WRITE))
    assert replay(theirs, lambda tally: tally.requests == 3).requests == 3
    assert set(results(ours).values()) == {1}


def test_a_group_that_may_not_be_read_ends_the_worker(faulty: FaultyKafka) -> None:
    """It is told at once, and does not ask again and again."""
    names = faulty.topics()
    grant(faulty, *(each for each in least(names) if each[0] != ResourceType.GROUP))
    with pytest.raises(NotAuthorizedError, match="GROUP_AUTHORIZATION_FAILED"):
        replay(faulty.named_settings(names))


def test_a_missing_errors_topic_is_noticed_before_anything_is_read(settings: KafkaSettings) -> None:
    """Not when the first request fails, days later."""
    names = TopicNames(settings.topic_prefix)
    admin = make_admin(settings)
    admin.delete_topics([names.errors])[names.errors].result(GENEROUS)
    while names.errors in admin.list_topics(timeout=GENEROUS).topics:
        time.sleep(0.05)
    with pytest.raises(TopicMissingError, match=rf"{names.errors} does not exist; run: shadowlane topics"):
        replay(settings)


def test_an_error_that_its_topic_does_not_take_ends_the_worker(kafka: KafkaSettings) -> None:
    """The reason says what to raise; nothing of the batch is committed, so nothing of it is lost."""
    settings = replace(kafka, topic_prefix=f"narrow{time.time_ns()}-")
    names = TopicNames(settings.topic_prefix)
    narrow = {names.errors: 2_000}
    create_topics(
        settings,
        [
            replace(spec, max_message_bytes=narrow.get(spec.name, spec.max_message_bytes))
            for spec in default_specs(names, 1)
        ],
    )
    publish(settings, CODEC.encode(request()), b"not ours" + random.Random(6).randbytes(9_000))  # noqa: S311 - not secret
    with pytest.raises(MessageTooLargeError, match=r"raise max.message.bytes"):
        replay(settings)
    assert not results(settings)
    assert committed(settings) == 0


def test_a_request_larger_than_a_fetch_is_replayed(settings: KafkaSettings) -> None:
    """One of nearly four megabytes goes through a worker that fetches a hundred kilobytes at a time."""
    small = replace(settings, client={"fetch.message.max.bytes": "100000"})
    huge = Features(numbers={"amount": 1.0}, strings={"note": "x" * 3_900_000})
    event = CODEC.encode(request())
    publish(settings, event, CODEC.encode(request(features=huge)), event)
    assert replay(small, lambda tally: tally.requests == 3).compared == 3
