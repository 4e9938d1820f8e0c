"""Making and checking topics on a real Kafka."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shadowlane.errors import BrokerUnreachableError, KafkaFailedError, NotAuthorizedError
from shadowlane.kafka import Sasl, Secret, TopicNames, TopicSpec, check_topics, create_topics, default_specs

if TYPE_CHECKING:
    from conftest import ConsumerFactory, ProducerFactory
    from shadowlane.kafka import KafkaSettings


def fresh_specs() -> list[TopicSpec]:
    """The six topics under a prefix that nobody used."""
    return default_specs(TopicNames(f"{uuid.uuid4().hex[:12]}-"), partitions=2)


def test_creating_twice_changes_nothing(kafka: KafkaSettings) -> None:
    """The second call reports the topics as there already."""
    specs = fresh_specs()
    assert [r.created for r in create_topics(kafka, specs)] == [True] * 6
    assert [r.created for r in create_topics(kafka, specs)] == [False] * 6


def test_created_topics_pass_their_check(kafka: KafkaSettings) -> None:
    """What `create` makes is what `check` wants, in every setting."""
    specs = fresh_specs()
    create_topics(kafka, specs)
    assert check_topics(kafka, specs) == []


def test_check_names_each_difference(kafka: KafkaSettings) -> None:
    """Missing topic, too few partitions, retention, clean-up and size are each told apart."""
    specs = fresh_specs()
    create_topics(kafka, specs[:1])
    other = TopicSpec(specs[0].name, 4, retention_ms=5, cleanup_policy="compact", max_message_bytes=7)
    found = check_topics(kafka, [other, specs[1]])
    assert [(d.topic, d.what) for d in found] == [
        (specs[0].name, "partitions"),
        (specs[0].name, "cleanup.policy"),
        (specs[0].name, "retention.ms"),
        (specs[0].name, "max.message.bytes"),
        (specs[1].name, "missing"),
    ]
    assert str(found[0]) == f"{specs[0].name}: partitions is 2, must be 4"


def test_more_partitions_than_asked_are_fine(kafka: KafkaSettings) -> None:
    """Somebody who scaled a topic up is not told to scale it down."""
    specs = fresh_specs()
    create_topics(kafka, specs)
    assert check_topics(kafka, [replace(specs[0], partitions=1)]) == []


def test_an_impossible_replication_factor_is_refused(kafka: KafkaSettings) -> None:
    """The broker's own words reach the reader."""
    with pytest.raises(KafkaFailedError, match="INVALID_REPLICATION_FACTOR"):
        create_topics(kafka, fresh_specs(), replication_factor=9)


def test_a_refusal_is_not_called_an_outage(kafka: KafkaSettings) -> None:
    """Credentials for a broker that takes none: the error says that we were refused."""
    sasl = Sasl("PLAIN", "me", Secret("canary-7f3a"))
    with pytest.raises(NotAuthorizedError, match="Kafka refused; check security_protocol") as caught:
        check_topics(replace(kafka, security_protocol="SASL_PLAINTEXT", sasl=sasl), fresh_specs())
    assert "canary" not in str(caught.value)


def test_the_wrong_protocol_is_recognised(kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS towards a broker that speaks none: librdkafka's reason reaches the reader."""
    monkeypatch.setattr("shadowlane.kafka._clients.FIND_TIMEOUT", 1.0)
    with pytest.raises(BrokerUnreachableError, match="SSL connection closed by peer"):
        check_topics(replace(kafka, security_protocol="SSL"), fresh_specs())


def test_a_message_goes_round(
    topics: TopicNames, producer_factory: ProducerFactory, consumer_factory: ConsumerFactory
) -> None:
    """Producer, topic and consumer made by the factories fit together."""
    producer = producer_factory()
    producer.produce(topics.requests, b"hello", key=b"k")
    assert producer.flush(10) == 0
    consumer = consumer_factory([topics.requests])
    messages = consumer.consume(1, timeout=20)
    assert [(m.key(), m.value()) for m in messages] == [(b"k", b"hello")]
