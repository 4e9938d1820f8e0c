"""The aggregator's loop: consume, gather, and land each table's rows exactly once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event as Flag
from time import monotonic

from confluent_kafka import OFFSET_BEGINNING, Consumer, IsolationLevel, Message, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from shadowlane.aggregator._lake import TakenOverError
from shadowlane.aggregator._stream import Stream
from shadowlane.aggregator._tables import COMPARISONS, ERRORS, LABELS, LEDGER, TableSpec
from shadowlane.errors import LakeError
from shadowlane.kafka import TopicNames, make_admin, make_consumer, mapped, require_topics, to_error
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

Key = tuple[str, int]

_GROUP = "shadowlane.aggregator"
_BATCH = 5_000
_POLL_SECONDS = 0.1
_TIMEOUT = 30.0

# Each of these is a promise: where to start is the lake's to say, never the group's or a reset's.
_CONSUMER = {
    "auto.offset.reset": "error",
    "enable.partition.eof": True,
    "partition.assignment.strategy": "range",
    "session.timeout.ms": 10_000,
}


@dataclass(frozen=True, slots=True)
class AggregatorPlan:
    """Where to land, how much to gather before a commit, and whether to end when all is landed."""

    lake: str
    flush_rows: int = 50_000
    flush_seconds: float = 5.0
    until_caught_up: bool = False


@dataclass(slots=True)
class Landings:
    """What an aggregator has landed since its start, in rows by table."""

    rows: dict[str, int] = field(default_factory=dict)

    def add(self, table: str, rows: int) -> None:
        """Count rows that were committed."""
        self.rows[table] = self.rows.get(table, 0) + rows


def run_aggregator(
    plan: AggregatorPlan,
    kafka: KafkaSettings,
    *,
    stop: Flag,
    tick: Callable[[Landings], None] = lambda _landings: None,
) -> Landings:
    """Land what the topics hold until told to stop, or until all that was there at the start is landed.

    Raises:
        LakeError: the lake cannot be written, or Kafka no longer holds what the lake has yet to land.
    """
    names = TopicNames(kafka.topic_prefix)
    streams = {topic: Stream(plan.lake, spec) for topic, spec in _topics(names).items()}
    require_topics(kafka, list(streams))
    ends = _ends(kafka, list(streams)) if plan.until_caught_up else {}
    consumer = make_consumer(kafka, names.prefix + _GROUP, **_CONSUMER)
    gathering = _Gathering(consumer, streams, ends)
    try:
        consumer.subscribe(list(streams), on_assign=gathering.assign, on_revoke=gathering.revoke)
        while not stop.is_set():
            tick(gathering.landings)
            gathering.take(_consume(consumer))
            done = plan.until_caught_up and gathering.caught_up
            if done or gathering.due(plan):
                gathering.flush()
            if done:
                break
        gathering.flush()
    finally:
        consumer.close()
    return gathering.landings


class _Gathering:
    """What was read and has not landed yet, and how far each partition was read."""

    def __init__(self, consumer: Consumer, streams: Mapping[str, Stream], ends: dict[Key, int]) -> None:
        self.landings = Landings()
        self._consumer = consumer
        self._streams = streams
        self._ends = ends
        self._read_to: dict[Key, int] | None = None
        self._messages: dict[str, list[Message]] = {}
        self._count, self._since = 0, monotonic()

    def assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Start each partition where the lake says that it was left."""
        self._forget()
        self._read_to = {_key(each): -1 for each in partitions}
        for each in partitions:
            resumed = self._streams[each.topic].resume(each)
            each.offset = OFFSET_BEGINNING if resumed is None else resumed
        consumer.assign(partitions)

    def revoke(self, consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        """Let go of what has not landed: whoever gets the partitions reads it again."""
        self._forget()
        self._read_to = None
        consumer.unassign()

    def take(self, messages: Sequence[Message]) -> None:
        """Gather what was read; an end of partition says how far reading got."""
        for message in messages:
            key = (message.topic() or "", message.partition() or 0)
            if message.error() is not None:
                self._reached(key, message.offset() or 0)
                continue
            if not self._count:
                self._since = monotonic()
            self._messages.setdefault(key[0], []).append(message)
            self._count += 1

    def due(self, plan: AggregatorPlan) -> bool:
        """Whether enough has been gathered, or long enough ago."""
        old = monotonic() - self._since >= plan.flush_seconds
        return self._count >= plan.flush_rows or (self._count > 0 and old)

    @property
    def caught_up(self) -> bool:
        """Whether all that was there at the start has been read.

        Transaction markers take up offsets too, so it is not the last message that tells,
        but the end of the partition being met at or after where the log ended at the start.
        """
        return self._read_to is not None and all(
            read_to >= self._ends.get(key, 0) for key, read_to in self._read_to.items()
        )

    def flush(self) -> None:
        """Land what was gathered, a topic at a time; where another took over, read afresh."""
        for topic, messages in self._messages.items():
            stream = self._streams[topic]
            try:
                self.landings.add(stream.spec.name, stream.land(messages))
            except TakenOverError as lost:
                log.warning("%s; reading again from where the lake is now", lost)
                self._reread(topic)
                continue
            self._hint(messages)
        self._forget()

    def _reread(self, topic: str) -> None:
        for each in self._consumer.assignment():
            if each.topic == topic:
                resumed = self._streams[topic].resume(each)
                self._reached(_key(each), -1)
                each.offset = OFFSET_BEGINNING if resumed is None else resumed
                self._consumer.seek(each)

    def _reached(self, key: Key, offset: int) -> None:
        if self._read_to is not None:
            self._read_to[key] = offset

    def _hint(self, messages: Sequence[Message]) -> None:
        """Commit to the group too, so that its lag tells the truth; nothing resumes from there."""
        ends = {(each.topic() or "", each.partition() or 0): (each.offset() or 0) + 1 for each in messages}
        offsets = [TopicPartition(topic, partition, end) for (topic, partition), end in ends.items()]
        self._consumer.commit(offsets=offsets, asynchronous=True)

    def _forget(self) -> None:
        self._messages, self._count = {}, 0


def _topics(names: TopicNames) -> dict[str, TableSpec]:
    return {
        names.comparisons: COMPARISONS,
        names.errors: ERRORS,
        names.labels: LABELS,
        names.ledger: LEDGER,
    }


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
        return {_key(each): answer.result().offset for each, answer in answers.items()}


def _consume(consumer: Consumer) -> list[Message]:
    with mapped("reading comparisons"):
        messages = consumer.consume(_BATCH, _POLL_SECONDS)
    usable = []
    for message in messages:
        error = message.error()
        if error is None or error.name() == "_PARTITION_EOF":
            usable.append(message)
            continue
        if error.name() == "_AUTO_OFFSET_RESET":
            raise LakeError(
                f"Kafka does not hold what the lake has yet to land: {error.str()}. Either the topic was "
                "deleted and made anew (then start a new lake), or its retention passed by unread messages"
            )
        if not error.retriable():
            raise to_error(error, "reading comparisons")
    return usable


def _key(partition: TopicPartition) -> Key:
    return partition.topic, partition.partition
