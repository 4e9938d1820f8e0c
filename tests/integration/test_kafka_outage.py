"""What a person sees while Kafka is away, and what comes back with it."""

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from shadowlane.errors import BrokerUnreachableError
from shadowlane.kafka import (
    EmbeddedKafka,
    KafkaSettings,
    TopicNames,
    check_topics,
    create_topics,
    default_specs,
    make_consumer,
    make_producer,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOWHERE = KafkaSettings("127.0.0.1:1")


def poll_until(condition: Callable[[], bool], *polls: Callable[[], object]) -> None:
    """Keep clients alive until something is so."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        for poll in polls:
            poll()


def test_an_unreachable_broker_is_one_line(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A producer and a consumer that fail for a while say it once, and librdkafka itself says nothing."""
    caplog.set_level(logging.DEBUG, "shadowlane.kafka")
    producer = make_producer(NOWHERE)
    consumer = make_consumer(NOWHERE, uuid.uuid4().hex)
    consumer.subscribe(["topic"])
    poll_until(
        lambda: sum("Connection refused" in r.getMessage() for r in caplog.records) > 20,
        lambda: producer.poll(0.05),
        lambda: consumer.consume(10, 0.05),
    )
    consumer.close()
    seen = [r.getMessage() for r in caplog.records if r.levelno > logging.DEBUG]
    assert len(seen) == 1
    assert seen[0].startswith("Kafka at 127.0.0.1:1 is lost: ")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("call", [create_topics, check_topics])
def test_asking_an_unreachable_broker_says_what_to_check(
    call: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the address and what to do."""
    monkeypatch.setattr("shadowlane.kafka._clients.FIND_TIMEOUT", 1.0)
    with pytest.raises(
        BrokerUnreachableError, match=r"at 127.0.0.1:1: no broker answered; check bootstrap_s"
    ):
        call(NOWHERE, default_specs(TopicNames()))


def test_a_restart_is_told_and_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Lost, then back: two lines; what was sent in between arrives, what was there before is still there."""
    with EmbeddedKafka(tmp_path / "kafka") as first:
        port = int(first.bootstrap_servers.rpartition(":")[2])
        settings = KafkaSettings(first.bootstrap_servers)
        topics = TopicNames()
        create_topics(settings, default_specs(topics, 1))
        producer = make_producer(settings)
        producer.produce(topics.requests, b"before")
        assert producer.flush(10) == 0
    poll_until(lambda: "is lost" in caplog.text, lambda: producer.poll(0.05))
    producer.produce(topics.requests, b"between")
    with EmbeddedKafka(tmp_path / "kafka", port):
        poll_until(lambda: "is back" in caplog.text, lambda: producer.poll(0.05))
        assert producer.flush(30) == 0
        consumer = make_consumer(settings, "g")
        consumer.subscribe([topics.requests])
        values = [message.value() for message in consumer.consume(2, 30)]
        consumer.close()
    assert values == [b"before", b"between"]
    seen = [r.getMessage() for r in caplog.records if r.levelno > logging.DEBUG]
    assert [line.split(" is ")[1].split(":")[0] for line in seen[:2]] == ["lost", "back"]
