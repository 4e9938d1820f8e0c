"""What holds for a hook holds for the real one, on a real Kafka."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from hook_contract import GENEROUS, Held, HookContract, MakeHook
from shadowlane.kafka import KafkaSettings, TopicNames, make_consumer
from shadowlane.producer import Hook
from shadowlane.producer.testing import Published

#: An end is told when a fetch comes back empty.
TO_THE_END: Mapping[str, Any] = {"enable.partition.eof": True, "fetch.wait.max.ms": 10}


class TestHook(HookContract):
    """The hook itself."""

    @pytest.fixture
    def make_hook(self, kafka: KafkaSettings, topics: TopicNames) -> Iterator[MakeHook]:
        """Hooks on this test's topics."""
        settings = replace(kafka, topic_prefix=topics.prefix)
        with ExitStack() as stack:

            def make(**given: Any) -> Hook:
                hook = Hook(model="ranker", model_version="7", kafka=settings, **given)
                return stack.enter_context(hook)

            yield make

    @pytest.fixture
    def held(self, kafka: KafkaSettings, topics: TopicNames) -> Held:
        """All that a topic of this test holds once the hook is flushed."""

        def read(hook: Hook, topic: str) -> list[Published]:
            assert hook.flush(timeout=GENEROUS)
            with closing(make_consumer(kafka, uuid.uuid4().hex, **TO_THE_END)) as consumer:
                return [as_published(topic, each) for each in to_the_end(consumer, topics.prefix + topic)]

        return read


def to_the_end(consumer: Consumer, topic: str) -> Iterator[Message]:
    """Each message that a topic holds now."""
    partitions = set(consumer.list_topics(topic, timeout=GENEROUS).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    while partitions:
        message = consumer.poll(GENEROUS)
        assert message is not None
        error = message.error()
        if error is None:
            yield message
        else:
            assert error.name() == "_PARTITION_EOF"
            partitions.discard(message.partition())


def as_published(topic: str, message: Message) -> Published:
    """A message as the hook for tests shows it."""
    key, value, headers = message.key(), message.value(), dict(message.headers() or ())
    assert isinstance(key, bytes)
    assert isinstance(value, bytes)
    return Published(topic, key.decode(), value, message.timestamp()[1], headers)  # type: ignore[arg-type]
