"""What was read and has not landed yet, and how far each partition was read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from time import monotonic

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from shadowlane.aggregator._gathered import Gathered
from shadowlane.aggregator._stream import Stream
from shadowlane.errors import LakeError
from shadowlane.kafka import mapped, to_error
from shadowlane.lake import TakenOverError

log = logging.getLogger(__name__)

Key = tuple[str, int]

_UNREAD = -1
_SETTLE_SECONDS = 60.0
_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class FlushRule:
    """How much to gather, in rows, bytes of messages or seconds, before a commit."""

    rows: int
    bytes: int
    seconds: float


@dataclass(slots=True)
class Landings:
    """What an aggregator has landed since its start, in rows by table."""

    rows: dict[str, int] = field(default_factory=dict)

    def add(self, table: str, rows: int) -> None:
        """Count rows that were committed."""
        if rows:
            self.rows[table] = self.rows.get(table, 0) + rows


class Gathering:
    """Gathers messages, and lands them a topic at a time."""

    def __init__(
        self,
        consumer: Consumer,
        streams: Mapping[str, Stream],
        rule: FlushRule,
        *,
        ends: Mapping[Key, int] | None = None,
        accept_gaps: bool = False,
    ) -> None:
        self.landings = Landings()
        self._consumer = consumer
        self._streams = streams
        self._rule = rule
        self._ends = ends
        self._accept_gaps = accept_gaps
        self._reached: dict[Key, int] = {}
        self._settled = monotonic()
        self._forget()

    def assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Start each partition where the lake says that it was left."""
        self._forget()
        self._reached = {}
        for each in partitions:
            each.offset = self._start(each)
        with mapped("taking partitions"):
            consumer.assign(partitions)

    def revoke(self, consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        """Let go of what has not landed: whoever gets the partitions reads it again."""
        self._forget()
        self._reached = {}
        with mapped("giving partitions back"):
            consumer.unassign()

    def take(self, messages: Sequence[Message]) -> None:
        """Gather what was read.

        Transaction markers take up offsets too: an end of partition tells how far reading got past them.
        """
        gaps: set[Key] = set()
        for (topic, partition, failed), run in groupby(messages, _place):
            key, together = (topic, partition), list(run)
            if failed:
                gaps.update(key for message in together if self._missed(key, message))
            elif key in self._reached:
                self._reached[key] = (together[-1].offset() or 0) + 1
                self._add(topic, partition, together)
        if gaps:
            self._skip(gaps)

    @property
    def due(self) -> bool:
        """Whether enough has been gathered, or long enough ago."""
        now, rule = monotonic(), self._rule
        full = self._count >= rule.rows or self._bytes >= rule.bytes
        old = self._count > 0 and now - self._since >= rule.seconds
        return full or old or now - self._settled >= _SETTLE_SECONDS

    @property
    def caught_up(self) -> bool:
        """Whether all that was there at the start has been read; never so where nobody asked."""
        return self._ends is not None and all(
            self._reached.get(key, _UNREAD) >= end for key, end in self._ends.items()
        )

    def flush(self, *, last: bool = False) -> None:
        """Land what was gathered, a topic at a time; where another took over, read afresh.

        Positions that only markers moved ride along; alone they are worth a commit only now and then,
        so that the log's start does not pass them by in a topic that has gone quiet.
        """
        settle = last or monotonic() - self._settled >= _SETTLE_SECONDS
        for topic in self._streams:
            messages, moves = self._messages.get(topic, Gathered(topic)), self._moves(topic)
            if messages or (moves and settle):
                self._land(topic, messages, moves)
        self._forget()
        if settle:
            self._settled = monotonic()

    def _land(self, topic: str, messages: Gathered, moves: Mapping[int, int]) -> None:
        stream = self._streams[topic]
        try:
            self.landings.add(stream.spec.name, stream.land(messages, moves))
        except TakenOverError as lost:
            log.warning("%s; reading again from where the lake is now", lost)
            self._reread(topic)
        else:
            self._hint(topic, moves)

    def _moves(self, topic: str) -> dict[int, int]:
        """The partitions that were read further than the lake knows, and how far."""
        position = self._streams[topic].position
        return {
            partition: offset
            for (name, partition), offset in self._reached.items()
            if name == topic and offset > position(partition)
        }

    def _start(self, partition: TopicPartition) -> int:
        resumed = self._streams[partition.topic].resume(partition.partition)
        reached = _UNREAD if resumed is None else resumed
        self._reached[partition.topic, partition.partition] = reached
        return _offset(reached)

    def _reread(self, topic: str) -> None:
        with mapped("reading again"):
            for each in self._consumer.assignment():
                if each.topic == topic:
                    each.offset = self._start(each)
                    self._consumer.seek(each)

    def _skip(self, gaps: Iterable[Key]) -> None:
        """Go on after the gaps; a partition that met one cannot seek any more, so all are assigned again."""
        for key in gaps:
            self._reached[key] = self._after_gap(key)
        starts = [TopicPartition(*key, _offset(reached)) for key, reached in self._reached.items()]
        with mapped("going on after a gap"):
            self._consumer.assign(starts)

    def _after_gap(self, key: Key) -> int:
        """The log's start, where going on there was allowed; what lay before it is gone."""
        wanted = self._reached[key]
        with mapped("looking for the start of a partition"):
            start, end = self._consumer.get_watermark_offsets(TopicPartition(*key), timeout=_TIMEOUT)
        place = f"{key[0]}[{key[1]}]"
        if wanted > end:
            raise LakeError(
                f"{place} ends at offset {end}, before offset {wanted} where the lake goes on: the topic "
                "was deleted and made anew, or lost data. Land it in a new lake folder (--lake)"
            )
        if wanted < start and not self._accept_gaps:
            raise LakeError(
                f"Kafka does not hold what the lake has yet to land: {place} starts at offset {start}, "
                f"{start - wanted} after where the lake goes on; its retention passed by unread messages. "
                "To go on without them, pass --accept-gaps"
            )
        if wanted < start:
            log.warning("%s: skipped %d offsets that Kafka no longer holds", place, start - wanted)
        return max(wanted, start)

    def _hint(self, topic: str, moves: Mapping[int, int]) -> None:
        """Commit to the group too, so that its lag tells the truth; nothing resumes from there."""
        offsets = [TopicPartition(topic, partition, offset) for partition, offset in moves.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as failure:
            log.debug("the group's offsets stay where they were: %s", failure)

    def _missed(self, key: Key, message: Message) -> bool:
        """Whether what was read in place of a message says that Kafka has not got what we want."""
        error = message.error()
        if error is None or error.name() == "_AUTO_OFFSET_RESET":
            return error is not None
        if error.name() != "_PARTITION_EOF":
            _raise_unless_retriable(error)
        elif key in self._reached:
            self._reached[key] = message.offset() or 0
        return False

    def _add(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        if not self._count:
            self._since = monotonic()
        if topic not in self._messages:
            self._messages[topic] = Gathered(topic)
        self._bytes += self._messages[topic].add(partition, messages)
        self._count += len(messages)

    def _forget(self) -> None:
        self._messages: dict[str, Gathered] = {}
        self._count, self._bytes, self._since = 0, 0, monotonic()


def _place(message: Message) -> tuple[str, int, bool]:
    return message.topic() or "", message.partition() or 0, message.error() is not None


def _offset(reached: int) -> int:
    return OFFSET_BEGINNING if reached == _UNREAD else reached


def _raise_unless_retriable(error: KafkaError) -> None:
    if not error.retriable():
        raise to_error(error, "reading comparisons")
