"""The aggregator's loop: consume, gather, and land each table's rows exactly once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event as Flag

from confluent_kafka import Consumer, IsolationLevel, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from shadowlane.aggregator._gathering import FlushRule, Gathering, Key, Landings
from shadowlane.aggregator._stream import Stream
from shadowlane.errors import LakeError
from shadowlane.kafka import TopicNames, close_consumer, make_admin, make_consumer, mapped, require_topics
from shadowlane.lake import COMPARISONS, ERRORS, LABELS, LEDGER, REQUESTS, EventTable, Lake, Location
from shadowlane.settings import KafkaSettings

_GROUP = "shadowlane.aggregator"
_BATCH = 5_000
_POLL_SECONDS = 0.1
_TIMEOUT = 30.0
_POSITIVE = 2**63 - 1

# Each of these is a promise: where to start is the lake's to say, never the group's or a reset's.
_CONSUMER = {
    "auto.offset.reset": "error",
    "enable.partition.eof": True,
    "partition.assignment.strategy": "range",
    "session.timeout.ms": 10_000,
}


@dataclass(frozen=True, slots=True)
class AggregatorPlan:
    """Where to land, how much to gather before a commit, and whether to end when all is landed.

    `accept_gaps` goes on where Kafka no longer holds what the lake has yet to land, rather than stop.
    `archive_requests` lands the requests too, so that windows older than Kafka's retention can be replayed.
    """

    lake: Lake
    flush_rows: int = 50_000
    flush_seconds: float = 5.0
    until_caught_up: bool = False
    accept_gaps: bool = False
    flush_bytes: int = 64 * 2**20
    archive_requests: bool = False

    @property
    def flush_rule(self) -> FlushRule:
        """When to commit."""
        return FlushRule(self.flush_rows, self.flush_bytes, self.flush_seconds)


def run_aggregator(
    plan: AggregatorPlan,
    kafka: KafkaSettings,
    *,
    stop: Flag,
    tick: Callable[[Landings], None] = lambda _landings: None,
) -> Landings:
    """Land what the topics hold until told to stop, or until all that was there at the start is landed.

    Raises:
        LakeError: the lake cannot be written or is another topic's, or Kafka no longer holds what it lacks.
    """
    names = TopicNames(kafka.topic_prefix)
    specs = _topics(names) | ({names.requests: REQUESTS} if plan.archive_requests else {})
    _check_lake(plan.lake)
    require_topics(kafka, list(specs), stop)
    streams = {topic: Stream(plan.lake, topic, spec) for topic, spec in specs.items()}
    _identify(kafka, streams)
    ends = _ends(kafka, list(streams)) if plan.until_caught_up else None
    consumer = make_consumer(kafka, names.prefix + _GROUP, **_CONSUMER)
    gathering = Gathering(consumer, streams, plan.flush_rule, ends=ends, accept_gaps=plan.accept_gaps)
    try:
        _start(consumer, gathering, list(streams), ends)
        while not stop.is_set():
            tick(gathering.landings)
            gathering.take(_consume(consumer))
            if gathering.due or gathering.caught_up:
                gathering.flush()
                if gathering.caught_up:  # still: a flush that another writer forestalled reads afresh
                    break
        gathering.flush(last=True)
    finally:
        close_consumer(consumer)
    return gathering.landings


def _check_lake(lake: Lake) -> None:
    """Say what a lake can be, before Delta says it in its own words."""
    folder = Location.parse(lake).folder
    if folder is not None and folder.exists() and not folder.is_dir():
        raise LakeError(f"lake {folder}: a folder is needed, and this is none")


def _topics(names: TopicNames) -> dict[str, EventTable]:
    return {
        names.comparisons: COMPARISONS,
        names.errors: ERRORS,
        names.labels: LABELS,
        names.ledger: LEDGER,
    }


def _identify(kafka: KafkaSettings, streams: Mapping[str, Stream]) -> None:
    """Have each stream check that this is the topic which it knows; old brokers give topics no id."""
    admin = make_admin(kafka)
    with mapped("looking for the ids of the topics"):
        answers = admin.describe_topics(TopicCollection(list(streams)), request_timeout=_TIMEOUT)
        ids = {topic: answer.result().topic_id for topic, answer in answers.items()}
    for topic, topic_id in ids.items():
        # Of the id's 128 random bits, as many as the version of a Delta transaction holds.
        number = topic_id.get_most_significant_bits() & _POSITIVE
        if number:
            streams[topic].identify(number)


def _ends(kafka: KafkaSettings, topics: Sequence[str]) -> dict[Key, int]:
    """Where each partition's log ends now, open transactions included."""
    admin = make_admin(kafka)
    with mapped("looking for the ends of the topics"):
        found = admin.list_topics(timeout=_TIMEOUT).topics
        latest = {
            TopicPartition(topic, partition): OffsetSpec.latest()  # type: ignore[no-untyped-call]
            for topic in topics
            for partition in (found[topic].partitions if topic in found else ())
        }
        answers = admin.list_offsets(latest, isolation_level=IsolationLevel.READ_UNCOMMITTED)
        return {(each.topic, each.partition): answer.result().offset for each, answer in answers.items()}


def _start(
    consumer: Consumer, gathering: Gathering, topics: list[str], ends: Mapping[Key, int] | None
) -> None:
    """Share the partitions with the group; to catch up, read each one, whoever else does so too."""
    with mapped("subscribing"):
        if ends is None:
            consumer.subscribe(topics, on_assign=gathering.assign, on_revoke=gathering.revoke)
        else:
            gathering.assign(consumer, [TopicPartition(*key) for key in ends])


def _consume(consumer: Consumer) -> list[Message]:
    with mapped("reading comparisons"):
        return consumer.consume(_BATCH, _POLL_SECONDS)
