"""A topic read once to its present end: it ends, whatever stands there, and gives what is committed."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

import pytest
from confluent_kafka import Producer

from shadowlane.errors import BrokerUnreachableError, TopicMissingError
from shadowlane.kafka import KafkaSettings, StallWatch, TopicNames, read_to_end


def values(settings: KafkaSettings, topic: str, since_ms: int | None = None) -> list[bytes]:
    """All that a scan gives."""
    batches = read_to_end(settings, topic, since_ms=since_ms)
    return sorted(message.value() or b"" for batch in batches for message in batch)


def test_transactions_and_empty_partitions_end(
    settings: KafkaSettings, topics: TopicNames, producer_factory: Callable[..., Producer]
) -> None:
    """Aborted messages and the markers behind them are no messages; a partition may hold nothing else."""
    assert values(settings, topics.errors) == []
    producer = producer_factory(**{"transactional.id": topics.prefix})
    producer.init_transactions(30)
    for name, partition, is_committed in ((b"a", 0, True), (b"b", 0, False), (b"c", 1, False)):
        producer.begin_transaction()
        producer.produce(topics.errors, name, partition=partition)
        assert producer.flush(30) == 0
        if is_committed:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
    assert values(settings, topics.errors) == [b"a"]


def test_an_open_transaction_is_not_waited_for(
    settings: KafkaSettings, topics: TopicNames, producer_factory: Callable[..., Producer]
) -> None:
    """What stands before it is given."""
    producer = producer_factory(**{"transactional.id": topics.prefix})
    producer.init_transactions(30)
    for name in (b"a", b"b"):
        producer.begin_transaction()
        producer.produce(topics.errors, name, partition=0)
        assert producer.flush(30) == 0
        if name == b"a":
            producer.commit_transaction(30)
    assert values(settings, topics.errors) == [b"a"]
    producer.abort_transaction(30)


def test_only_what_is_as_late_is_read(
    settings: KafkaSettings, topics: TopicNames, producer_factory: Callable[..., Producer]
) -> None:
    """From the first message of each partition on that has the time; a partition without one gives none."""
    producer = producer_factory()
    for name, partition, time in (
        (b"old", 0, 1_000),
        (b"new", 0, 3_000),
        (b"late", 0, 500),
        (b"x", 1, 1_000),
    ):
        producer.produce(topics.errors, name, partition=partition, timestamp=time)
        assert producer.flush(30) == 0
    assert values(settings, topics.errors, since_ms=2_000) == [b"late", b"new"]
    assert values(settings, topics.errors, since_ms=9_000) == []


def test_whoever_is_told_to_stop_reads_no_more(
    settings: KafkaSettings, topics: TopicNames, producer_factory: Callable[..., Producer]
) -> None:
    """Between two polls."""
    producer, stop = producer_factory(), Event()
    producer.produce(topics.errors, b"a")
    assert producer.flush(30) == 0
    stop.set()
    assert list(read_to_end(settings, topics.errors, stop=stop)) == []


def test_a_topic_that_is_not_there_is_an_error(settings: KafkaSettings) -> None:
    """With what to do about it."""
    with pytest.raises(TopicMissingError, match="shadowlane topics create"):
        list(read_to_end(settings, "not-there"))


def test_a_reader_that_hears_nothing_for_long_says_so() -> None:
    """Polls without a message or an end: no broker is there."""
    watch = StallWatch("reading a topic")
    watch.check([])
    with pytest.raises(BrokerUnreachableError, match="reading a topic"):
        list(map(watch.check, [[]] * 10_000))
