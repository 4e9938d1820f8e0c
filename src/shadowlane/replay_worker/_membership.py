"""What a worker agrees on with its group: protocol and patience, and which settings it leaves out."""

from __future__ import annotations

import logging
from dataclasses import replace

from shadowlane.replay_worker._plan import WorkerPlan
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

# What a round may take beside its models: a batch's own time, a transaction that fails, a new producer;
# and for each model, the rest before its process is started again, which one batch may bring about twice.
_ROUND_SECONDS, _REST_SECONDS, _STARTS = 150.0, 40.0, 2
_LEAST_POLL_SECONDS, _MOST_POLL_SECONDS = 300.0, 86_400.0

#: What of the user's `[kafka.client]` this consumer cannot follow: requests would be skipped, or nobody
#: could start a partition anew.
_NOT_FOR_US = {"auto.offset.reset", "partition.assignment.strategy"}
#: What the protocol `consumer` leaves to the broker (KIP-848); librdkafka refuses it.
_CLASSIC = {"session.timeout.ms", "heartbeat.interval.ms", "group.protocol.type"}


def round_seconds(plan: WorkerPlan) -> float:
    """The longest that a round takes while all keep to their limits: models are slow, and load anew."""
    models = 1 + (plan.primary is not None) + (plan.control is not None)
    slowest = plan.isolation.call_seconds + plan.isolation.load_seconds + _REST_SECONDS
    return _ROUND_SECONDS + models * _STARTS * slowest


def poll_seconds(plan: WorkerPlan) -> float:
    """How long the group waits for a worker that does not come for more: longer than its longest round.

    It is not what tells that a worker is dead: that are its heartbeats, which its client sends by itself.
    """
    return min(_MOST_POLL_SECONDS, max(_LEAST_POLL_SECONDS, round_seconds(plan)))


def _protocol(kafka: KafkaSettings, plan: WorkerPlan) -> str:
    return kafka.client.get("group.protocol", plan.group_protocol)


def membership(kafka: KafkaSettings, plan: WorkerPlan) -> dict[str, object]:
    """A consumer's configuration, by librdkafka's names."""
    config: dict[str, object] = {
        # An offset that is not there is no reason to skip anything: `where_to_read` decides.
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 50,
        # Partitions that are added, and a topic that is made again, are found so soon.
        "topic.metadata.refresh.interval.ms": 30_000,
        # What is fetched ahead: some batches' worth, not librdkafka's 64 MB.
        "queued.max.messages.kbytes": 16_384,
        "max.poll.interval.ms": int(poll_seconds(plan) * 1000),
    }
    if _protocol(kafka, plan) == "consumer":
        return config | {"group.protocol": "consumer"}
    return config | {"partition.assignment.strategy": "cooperative-sticky", "session.timeout.ms": 10_000}


def usable(kafka: KafkaSettings, plan: WorkerPlan) -> KafkaSettings:
    """The settings without what this consumer must not or cannot follow."""
    refused = _NOT_FOR_US | (_CLASSIC if _protocol(kafka, plan) == "consumer" else set())
    for name in sorted(refused & kafka.client.keys()):
        log.warning("[kafka.client] %s is not for a worker's group; leaving it out", name)
    return replace(kafka, client={name: value for name, value in kafka.client.items() if name not in refused})
