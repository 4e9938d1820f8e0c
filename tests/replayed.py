"""What came of replayed requests, as a reader of the topics sees it who trusts committed results only."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

from confluent_kafka import KafkaError, Message, TopicPartition

from shadowlane.kafka import KafkaSettings, TopicNames, make_consumer
from shadowlane.schemas import Codec, ShadowComparison, ShadowError

Place = tuple[int, int]


def results(settings: KafkaSettings) -> Counter[Place]:
    """How often each request (its partition and offset) has become a comparison or an error."""
    topics, found = TopicNames(settings.topic_prefix), Counter[Place]()
    for topic, codec in (
        (topics.comparisons, Codec(ShadowComparison)),
        (topics.errors, Codec(ShadowError)),
    ):
        for message in _messages(settings, topic):
            event = codec.decode(message.value())
            found[event.source_partition, event.source_offset] += 1
    return found


def assert_once_each(settings: KafkaSettings, requests: int) -> None:
    """So many requests were published, and each is one row."""
    found = results(settings)
    doubled = {place: count for place, count in found.items() if count > 1}
    assert not doubled
    assert len(found) == requests


def _messages(settings: KafkaSettings, topic: str) -> Iterator[Message]:
    """All messages of committed transactions."""
    config = {"enable.partition.eof": True}
    with closing(make_consumer(settings, uuid.uuid4().hex, **config)) as consumer:
        left = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in left])
        while left:
            for message in consumer.consume(1000, 0.1):
                error = message.error()
                if error is None:
                    yield message
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    left.discard(message.partition() or 0)
