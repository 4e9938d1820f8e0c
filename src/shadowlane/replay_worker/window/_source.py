"""Where a window's worker reads in Kafka: its partitions of the window, from where it was left to its end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from threading import Event as Flag

from confluent_kafka import KafkaError, Message, TopicPartition

from shadowlane.kafka import close_consumer, make_consumer, mapped, to_error
from shadowlane.replay_worker._patience import patiently, raise_or_say
from shadowlane.replay_worker.window._bounded import POLL_SECONDS, Bounded, Share
from shadowlane.replay_worker.window._record import Counts, Position
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

_TIMEOUT = 30.0
_TRY_SECONDS = 5.0


class WindowSource(Bounded):
    """Partitions of a window, read from Kafka without joining a group."""

    def __init__(self, share: Share, kafka: KafkaSettings, group: str, topic: str, stop: Flag) -> None:
        super().__init__(share, make_consumer(kafka, group, **_CONFIG), topic, stop)
        self._paused: set[int] = set()
        self._open()

    def rewind(self, batch: Sequence[Message]) -> None:
        """Go back to what is committed: the batch may have come through after all."""
        touched = sorted({message.partition() or 0 for message in batch})
        self._sent = {}
        self._ended.difference_update(touched)
        self._pace.forget(touched)
        self._again = [message for message in self._again if message.partition() not in touched]
        if not self._stop.is_set():  # whoever is next goes on from the commit
            patiently(lambda: self._start_over(touched, _TRY_SECONDS), self._stop)

    def close(self) -> None:
        """Hang up."""
        close_consumer(self._consumer)

    def _open(self) -> None:
        """Begin where the run left each partition."""
        found = self._committed(list(self._slices), _TIMEOUT)
        self._settled.update(found)
        self._assign(list(self._slices))

    def _start_over(self, partitions: Sequence[int], timeout: float) -> None:
        self._settled.update(self._committed(partitions, timeout))
        with mapped("going back to the last commit"):
            self._consumer.incremental_unassign([TopicPartition(self._topic, each) for each in partitions])
        self._assign(partitions)

    def _assign(self, partitions: Sequence[int]) -> None:
        """Read these from their positions; those that have nothing left are done."""
        self._paused.difference_update(partitions)
        self._ended.update(each for each in partitions if self._is_past(each, self._settled[each].offset))
        places = [TopicPartition(self._topic, each, self._settled[each].offset) for each in partitions]
        with mapped("starting to read the window"):
            self._consumer.incremental_assign(places)
            # A partition that was paused still is when it is assigned once more.
            self._consumer.resume([each for each in places if each.partition not in self._ended])
            self._consumer.pause([each for each in places if each.partition in self._ended])

    def _read(self, size: int) -> list[Message]:
        """The next messages of the window; ends, gaps and errors are dealt with."""
        if self._is_original:
            self._pause_those_ahead()
        with mapped("reading requests"):
            messages = self._consumer.consume(size, POLL_SECONDS)
        good = [message for message in messages if message.error() is None]
        if len(good) < len(messages):
            for message in messages:
                error = message.error()
                if error is not None:
                    self._on_error(message, error)
        if not good:
            return good
        if over := self._just_over():
            self._end(over)
        if not self._ended:
            return good
        return [message for message in good if not self._is_past(message.partition(), message.offset())]

    def _just_over(self) -> list[int]:
        """The partitions of which the last read went to the end, or beyond."""
        running = [TopicPartition(self._topic, each) for each in self._slices.keys() - self._ended]
        with mapped("reading requests"):
            at = self._consumer.position(running)
        return [each.partition for each in at if self._is_past(each.partition, each.offset)]

    def _is_past(self, partition: int | None, offset: int | None) -> bool:
        return offset is not None and offset >= self._slices[partition or 0].end

    def _end(self, partitions: Sequence[int]) -> None:
        self._ended.update(partitions)
        with mapped("reading requests"):
            self._consumer.pause([TopicPartition(self._topic, each) for each in partitions])

    def _on_error(self, message: Message, error: KafkaError) -> None:
        partition = message.partition() or 0
        if error.name() == "_PARTITION_EOF":
            self._at_the_last(partition, message.offset() or 0)
        elif error.name() == "_AUTO_OFFSET_RESET":
            self._skip_deleted(partition)
        else:
            raise_or_say(to_error(error, "reading requests"), fatal=error.fatal())

    def _at_the_last(self, partition: int, offset: int) -> None:
        """No more is there: the last of the window may be the ends of transactions, or compacted away."""
        end = self._slices[partition].end
        if offset < end:
            _, high = self._watermarks(partition)
            if high >= end:  # a replica that is behind
                return
            log.warning(
                "%s[%d] ends at offset %d now, before the window's end at %d: its log was cut",
                *(self._topic, partition, high, end),
            )
        self._end([partition])

    def _skip_deleted(self, partition: int) -> None:
        """Retention was faster: count what is gone, and go on with what is there."""
        low, _ = self._watermarks(partition)
        self._pace.forget([partition])
        before = self._settled[partition]
        lost = max(0, min(low, self._slices[partition].end) - before.offset)
        self.lost += lost
        log.warning("%s[%d]: Kafka deleted %d offsets unread", self._topic, partition, lost)
        counts = before.counts + Counts(lost=lost)
        self._settled[partition] = Position(before.offset + lost, counts)
        with mapped("going on behind what was deleted"):
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])
        self._assign([partition])

    def _watermarks(self, partition: int) -> tuple[int, int]:
        with mapped("looking for the ends of a partition"):
            low, high = self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), timeout=_TIMEOUT
            )
        return low, high

    def _pause_those_ahead(self) -> None:
        """What is far ahead of its time is not read for a while, so that memory stays bounded."""
        ahead = self._pace.ahead() - self._paused - self._ended
        hungry = self._pace.hungry(self._paused) - self._ended
        with mapped("reading requests"):
            self._consumer.pause([TopicPartition(self._topic, each) for each in ahead])
            self._consumer.resume([TopicPartition(self._topic, each) for each in hungry])
        self._paused = (self._paused | ahead) - hungry


_CONFIG = {
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    "fetch.wait.max.ms": 50,
    # What is fetched ahead: some batches' worth, not librdkafka's 64 MB.
    "queued.max.messages.kbytes": 16_384,
}
