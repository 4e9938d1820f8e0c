"""Which partitions are ours, and how far each was read; where each starts is the lake's to say.

What the lake cannot be asked about now stands paused, adrift, until the loop has asked it again.

Only numbers are given to the client as places to start at, never "the beginning" or "the end": for those it
asks the broker, and an answer that comes late must not move a partition that was sent elsewhere meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from confluent_kafka import Consumer, KafkaException, TopicPartition

from shadowlane.aggregator._landings import Landings
from shadowlane.aggregator._stream import Stream
from shadowlane.errors import LakeError, LakeUnavailableError
from shadowlane.kafka import mapped

log = logging.getLogger(__name__)

Key = tuple[str, int]

UNREAD = -1
_TIMEOUT = 30.0


class Share:
    """The partitions that this aggregator reads."""

    def __init__(
        self, consumer: Consumer, streams: Mapping[str, Stream], landings: Landings, *, accept_gaps: bool
    ) -> None:
        self._consumer = consumer
        self._streams = streams
        self._landings = landings
        self._accept_gaps = accept_gaps
        self._adrift: set[Key] = set()
        self._holding = False
        self._paused: set[Key] = set()
        #: The next offset of each partition that is being read.
        self.reached: dict[Key, int] = {}
        #: Whether the group has let us in; with more members than partitions, for none of them.
        self.joined = False

    def add(self, partitions: list[TopicPartition]) -> None:
        """These are ours, from where the lake says; while it cannot, nothing of them is read before `find`.

        To give each its place at once matters: one that is sent elsewhere right after it was taken stood
        still now and then (seen once in some fifteen starts).
        """
        self.joined = True
        adrift = [each for each in partitions if not self._begin(each)]
        self._adrift |= {(each.topic, each.partition) for each in adrift}
        with mapped("taking partitions"):
            self._consumer.incremental_assign(partitions)
            if adrift:
                self._pause(adrift)

    def _begin(self, partition: TopicPartition) -> bool:
        """Have it start where the lake says, if it can be asked now."""
        key = (partition.topic, partition.partition)
        partition.offset = 0
        if self._holding:
            return False
        try:
            resumed = self._streams[key[0]].resume(key[1])
        except LakeUnavailableError:
            return False
        self.reached[key] = UNREAD if resumed is None else resumed
        partition.offset = max(0, self.reached[key])
        return True

    def remove(self, partitions: list[TopicPartition]) -> None:
        """These are another's; what was read of the rest and has not landed is read again."""
        self.hold(pause=False)
        gone = {(each.topic, each.partition) for each in partitions}
        self._adrift -= gone
        self._paused -= gone

    def hold(self, topic: str | None = None, *, pause: bool = True) -> None:
        """Read nothing more, of this topic or of all, before `find`."""
        held = [key for key in self.reached if topic in (None, key[0])]
        for key in held:
            del self.reached[key]
        self._adrift.update(held)
        self._holding = self._holding or (pause and topic is None)
        if pause:
            with mapped("pausing"):
                self._pause([TopicPartition(*key) for key in held])

    def find(self) -> None:
        """Go to where the lake says that each partition was left."""
        for key in sorted(self._adrift):
            resumed = self._streams[key[0]].resume(key[1])
            self._go(key, UNREAD if resumed is None else resumed)
        self._adrift.clear()
        self._holding = False

    def skip(self, gaps: Iterable[Key]) -> None:
        """Go on after what Kafka does not hold any more."""
        for key in gaps:
            if key in self.reached:
                self._go(key, self._after_gap(key))

    def look_again(self, keys: Iterable[Key]) -> None:
        """Read on from where each was reached, once more."""
        for key in keys:
            if key in self.reached:
                self._go(key, self.reached[key])

    def moves(self, topic: str) -> dict[int, int]:
        """The partitions that were read further than the lake knows, and how far."""
        position = self._streams[topic].position
        return {
            partition: offset
            for (name, partition), offset in self.reached.items()
            if name == topic and offset > position(partition)
        }

    def landed(self, key: Key) -> int:
        """The next offset that is to land, as the lake said."""
        return self._streams[key[0]].position(key[1])

    def hint(self, topic: str, moves: Mapping[int, int]) -> None:
        """Commit to the group too, so that its lag tells the truth; nothing resumes from there."""
        offsets = [TopicPartition(topic, partition, offset) for partition, offset in moves.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as failure:
            log.debug("the group's offsets stay where they were: %s", failure)

    @property
    def read_up(self) -> bool:
        """Whether all that is ours was read to its end, as far as the client knows it."""
        ends = self.ends()
        return not self._adrift and all(key in ends and at >= ends[key] for key, at in self.reached.items())

    def ends(self) -> dict[Key, int]:
        """Where the log of each partition that we read ends, as far as the client knows."""
        found = {}
        for key in self.reached:
            with mapped("looking for the end of a partition"):
                edges = self._consumer.get_watermark_offsets(TopicPartition(*key), cached=True)
            if edges is not None and edges[1] >= 0:
                found[key] = edges[1]
        return found

    def _go(self, key: Key, reached: int) -> None:
        """A partition that met a gap cannot seek any more; one that is given anew can always be read."""
        here = TopicPartition(*key, max(0, reached))
        with mapped("going to where the lake is"):
            self._consumer.incremental_unassign([here])
            self._consumer.incremental_assign([here])
            if key in self._paused:  # to resume what flows would only disturb it
                self._consumer.resume([here])
                self._paused.discard(key)
        self.reached[key] = reached

    def _pause(self, partitions: list[TopicPartition]) -> None:
        self._consumer.pause(partitions)
        self._paused |= {(each.topic, each.partition) for each in partitions}

    def _after_gap(self, key: Key) -> int:
        """The log's start, where going on there was allowed; what lay before it is gone."""
        wanted = self.reached[key]
        with mapped("looking for the start of a partition"):
            start, end = self._consumer.get_watermark_offsets(TopicPartition(*key), timeout=_TIMEOUT)
        if wanted == UNREAD:  # what expired before anything landed was never the lake's
            return start
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
            self._landings.skipped[self._streams[key[0]].spec.name] += start - wanted
        return max(wanted, start)
