"""The aggregator's consumer: a member of the group that shares the partitions."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Literal

from confluent_kafka import Consumer

from shadowlane.aggregator._standing import ROUND_SECONDS
from shadowlane.kafka import make_consumer
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

GROUP = "shadowlane.aggregator"
# Each of these is a promise: where to start is the lake's to say, never the group's or a reset's.
_OURS: dict[str, object] = {
    "auto.offset.reset": "error",
    "enable.partition.eof": True,
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
}
# Memory: what waits in the client is bounded, whatever the topics hold.
_BOUNDS = {
    "queued.max.messages.kbytes": 16_384,
    "fetch.max.bytes": 16 * 2**20,
    "max.poll.interval.ms": int(ROUND_SECONDS * 1000),
}
_CLASSIC: dict[str, object] = {
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 10_000,
}
#: What the protocol `consumer` leaves to the broker (KIP-848); librdkafka refuses it.
_THE_BROKERS = {"session.timeout.ms", "heartbeat.interval.ms", "group.protocol.type"}


def join(kafka: KafkaSettings, protocol: Literal["classic", "consumer"]) -> Consumer:
    """A consumer of the group, by one protocol or the other; `[kafka.client]` may choose it, too."""
    if kafka.client.get("group.protocol", protocol) == "consumer":
        config: dict[str, object] = {"group.protocol": "consumer"}
        refused = _OURS.keys() | _CLASSIC.keys() | _THE_BROKERS
    else:
        config, refused = _CLASSIC, _OURS.keys() | {"partition.assignment.strategy"}
    for name in sorted(refused & kafka.client.keys()):
        log.warning("[kafka.client] %s is not for the aggregator's group; leaving it out", name)
    usable = replace(
        kafka, client={name: value for name, value in kafka.client.items() if name not in refused}
    )
    return make_consumer(usable, kafka.topic_prefix + GROUP, **_OURS, **_BOUNDS, **config)
