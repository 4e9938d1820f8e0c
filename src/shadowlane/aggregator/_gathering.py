"""What was read and has not landed yet."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import groupby
from time import monotonic

from confluent_kafka import KafkaError, Message

from shadowlane.aggregator._continuity import Continuity
from shadowlane.aggregator._ends import Identities
from shadowlane.aggregator._gathered import Gathered
from shadowlane.aggregator._landings import Landings
from shadowlane.aggregator._plan import FlushRule
from shadowlane.aggregator._share import Key, Share
from shadowlane.aggregator._stream import Stream
from shadowlane.kafka import to_error
from shadowlane.lake import TakenOverError

log = logging.getLogger(__name__)

_SETTLE_SECONDS = 60.0


class Gathering:
    """Gathers messages, and lands them a topic at a time."""

    def __init__(
        self,
        share: Share,
        streams: Mapping[str, Stream],
        rule: FlushRule,
        landings: Landings,
        identities: Identities,
    ) -> None:
        self._share = share
        self._streams = streams
        self._rule = rule
        self._landings = landings
        self._identities = identities
        self._continuity = Continuity()
        self._settled = monotonic()
        self._clear()

    def take(self, messages: Sequence[Message]) -> None:
        """Gather what was read.

        Transaction markers take up offsets too: an end of partition tells how far reading got past them.
        """
        gaps: set[Key] = set()
        doubts: set[Key] = set()
        for (topic, partition, failed), run in groupby(messages, _place):
            key, together = (topic, partition), list(run)
            if failed:
                gaps.update(key for message in together if self._missed(key, message, doubts))
            elif key in self._share.reached and key not in doubts:
                self._follow(key, together, doubts)
        if gaps:
            self._share.skip(gaps)
        self._share.look_again(doubts - gaps)

    def _follow(self, key: Key, together: Sequence[Message], doubts: set[Key]) -> None:
        """Gather those that follow on what was read; after too large a step the rest is read again."""
        offsets = [message.offset() or 0 for message in together]
        reached = self._share.reached
        start, stop, in_doubt = self._continuity.follow(key, max(0, reached[key]), offsets)
        if stop > start:
            reached[key] = offsets[stop - 1] + 1
            self._add(*key, together[start:stop], offsets[start:stop])
        if in_doubt:
            doubts.add(key)

    @property
    def due(self) -> bool:
        """Whether enough has been gathered, or long enough ago."""
        now, rule = monotonic(), self._rule
        full = self._count >= rule.rows or self._bytes >= rule.bytes
        old = self._count > 0 and now - self._since >= rule.seconds
        return full or old or now - self._settled >= _SETTLE_SECONDS

    def flush(self, *, last: bool = False) -> bool:
        """Land what was gathered, a topic at a time; where another took over, read afresh.

        Positions that only markers moved ride along; alone they are worth a commit only now and then,
        so that the log's start does not pass them by in a topic that has gone quiet.

        Returns:
            Whether anything was committed.
        """
        settle = last or monotonic() - self._settled >= _SETTLE_SECONDS
        landed = False
        if self._count or settle:
            self._identities.check()
        for topic in self._streams:
            messages, moves = self._messages.get(topic, Gathered(topic)), self._share.moves(topic)
            if messages or (moves and settle):
                landed |= self._land(topic, messages, moves)
        self._clear()
        if settle:
            self._settled = monotonic()
        return landed

    def forget(self) -> None:
        """Let go of what has not landed: it is read again, by us or by whoever gets its partition."""
        for topic, messages in self._messages.items():
            self._landings.reread[self._streams[topic].spec.name] += len(messages)
        self._clear()

    @property
    def waiting(self) -> frozenset[Key]:
        """The partitions of which something was read and has not landed."""
        return frozenset(self._waiting)

    def _land(self, topic: str, messages: Gathered, moves: Mapping[int, int]) -> bool:
        stream = self._streams[topic]
        try:
            stream.land(messages, moves)
        except TakenOverError as lost:
            log.warning("%s; reading again from where the lake is now", lost)
            self._landings.reread[stream.spec.name] += len(messages)
            self._share.hold(topic)
            landed = False
        else:
            self._share.hint(topic, moves)
            landed = True
        self._messages.pop(topic, None)
        return landed

    def _missed(self, key: Key, message: Message, doubts: set[Key]) -> bool:
        """Whether what was read in place of a message says that Kafka has not got what we want."""
        error = message.error()
        if error is None or error.name() == "_AUTO_OFFSET_RESET":
            return error is not None
        if error.name() == "_PARTITION_EOF":
            self._end(key, message.offset() or 0, doubts)
        else:
            _raise_unless_it_passes(error)
        return False

    def _end(self, key: Key, offset: int, doubts: set[Key]) -> None:
        """The end of a partition: how far reading got, past markers and aborted transactions."""
        reached = self._share.reached
        if key not in reached or key in doubts or offset <= reached[key]:
            return
        if self._continuity.allows(key, max(0, reached[key]), offset):
            reached[key] = offset
        else:
            doubts.add(key)

    def _add(self, topic: str, partition: int, messages: Sequence[Message], offsets: Sequence[int]) -> None:
        if not self._count:
            self._since = monotonic()
        if topic not in self._messages:
            self._messages[topic] = Gathered(topic)
        self._waiting.add((topic, partition))
        self._bytes += self._messages[topic].add(partition, messages, offsets)
        self._count += len(messages)

    def _clear(self) -> None:
        self._messages: dict[str, Gathered] = {}
        self._waiting: set[Key] = set()
        self._count, self._bytes, self._since = 0, 0, monotonic()


def _place(message: Message) -> tuple[str, int, bool]:
    return message.topic() or "", message.partition() or 0, message.error() is not None


def _raise_unless_it_passes(error: KafkaError) -> None:
    if error.name() == "_MAX_POLL_EXCEEDED":
        log.warning("a commit outlasted the group's patience; joining it again")
    elif not error.retriable():
        raise to_error(error, "reading comparisons")
