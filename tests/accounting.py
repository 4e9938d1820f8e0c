"""Where each request went: a hook's own counts, its entries in the ledger, and what the topic holds."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing

from confluent_kafka import Message, TopicPartition

from shadowlane.kafka import KafkaSettings, TopicNames, make_consumer
from shadowlane.producer import Stats
from shadowlane.schemas import Codec, LedgerEntry, ProductionRequest

GENEROUS = 60.0


def requests_in(settings: KafkaSettings) -> list[ProductionRequest]:
    """All requests that Kafka holds now."""
    codec = Codec(ProductionRequest)
    topic = TopicNames(settings.topic_prefix).requests
    return [codec.decode(message.value()) for message in _messages(settings, topic)]


def ledger_of(settings: KafkaSettings) -> dict[str, LedgerEntry]:
    """The latest entry of each producer."""
    codec, latest = Codec(LedgerEntry), dict[str, LedgerEntry]()
    for message in _messages(settings, TopicNames(settings.topic_prefix).ledger):
        entry = codec.decode(message.value())
        before = latest.get(entry.producer_id)
        if before is None or before.recorded_at <= entry.recorded_at:
            latest[entry.producer_id] = entry
    return latest


def process_of(producer_id: str) -> int:
    """The process that a producer is, or was."""
    return int(producer_id.split("-")[-2])


def assert_settled(stats: Stats) -> None:
    """A closed hook knows what became of each request that it observed."""
    dropped = sum(stats.dropped.values())
    assert stats.observed == stats.primary_failed + stats.sampled_out + dropped + stats.published
    assert stats.published == stats.delivered + stats.failed


def assert_accounted(settings: KafkaSettings, stats: Stats) -> None:
    """So does the ledger, in the same figures; and what was delivered is there."""
    assert_settled(stats)
    entry = ledger_of(settings)[stats.producer_id]
    assert entry.final
    for name in ("observed", "primary_failed", "sampled_out", "dropped", "published", "delivered", "failed"):
        assert getattr(entry, name) == getattr(stats, name), name
    assert_held(settings, {stats.producer_id: entry})


def assert_books_balance(settings: KafkaSettings) -> dict[str, LedgerEntry]:
    """Each producer closed its books, they add up, and what it delivered is there."""
    ledger = ledger_of(settings)
    for entry in ledger.values():
        assert entry.final
        dropped = sum(entry.dropped.values())
        assert entry.observed == entry.primary_failed + entry.sampled_out + dropped + entry.published
        assert entry.published == entry.delivered + entry.failed
    assert_held(settings, ledger)
    return ledger


def assert_held(settings: KafkaSettings, ledger: dict[str, LedgerEntry]) -> None:
    """The topic holds what was delivered, or more: a request that failed may have arrived all the same."""
    held = defaultdict[str, set[int]](set)
    for event in requests_in(settings):
        held[event.producer_id].add(event.sequence)
    for producer_id, entry in ledger.items():
        assert entry.delivered <= len(held[producer_id])
        assert len(held[producer_id]) <= entry.published or not entry.final


def _messages(settings: KafkaSettings, topic: str) -> Iterator[Message]:
    """All messages that a topic holds now."""
    with closing(make_consumer(settings, uuid.uuid4().hex)) as consumer:
        partitions = consumer.list_topics(topic, timeout=GENEROUS).topics[topic].partitions
        ends = dict[int, int]()
        for partition in partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=GENEROUS)
            if low < high:
                ends[partition] = high - 1
        consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
        while ends:
            for message in consumer.consume(1000, 0.1):
                assert not message.error()
                yield message
                partition, offset = message.partition(), message.offset()
                assert partition is not None
                assert offset is not None
                if offset >= ends.get(partition, offset + 1):
                    del ends[partition]
