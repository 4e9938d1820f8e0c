"""Where a window's worker reads: its partitions of the window, from where the run left them to their ends."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event as Flag
from time import monotonic
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from shadowlane.kafka import close_consumer, make_consumer, mapped, to_error
from shadowlane.replay_worker._patience import patiently, raise_or_say
from shadowlane.replay_worker._replay import Outcome
from shadowlane.replay_worker._source import next_offsets
from shadowlane.replay_worker.window._record import Counts, Position, committed, positions
from shadowlane.replay_worker.window._slices import Slice
from shadowlane.replay_worker.window._speed import Allowance, Schedule, Speed
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.05
_TIMEOUT = 30.0
_TRY_SECONDS = 5.0
_NOT_MORE = 2_000


def transactional_id(group: str, number: int) -> str:
    """The same at each start of a run, on whatever machine: whoever has it ends what another left open."""
    return f"{group}.{number}"


@dataclass(frozen=True, slots=True)
class Share:
    """What one of the workers does."""

    number: int
    slices: tuple[Slice, ...]
    speed: Speed
    #: The message time (milliseconds) that the original pace counts from.
    origin_ms: int = 0


class WindowSource:
    """Partitions of a window, read without joining a group; `group` only keeps how far they are."""

    def __init__(self, share: Share, kafka: KafkaSettings, group: str, topic: str, stop: Flag) -> None:
        self._topic, self._stop = topic, stop
        #: Offsets that Kafka deleted before they were read, since this source began.
        self.lost = 0
        self._slices = {each.partition: each for each in share.slices}
        self._consumer: Consumer = make_consumer(kafka, group, **_CONFIG)
        self._again: list[Message] = []
        self._pace = Schedule[Message](share.speed.factor, share.origin_ms, monotonic())
        self._is_original = share.speed.kind == "original"
        rate = share.speed.factor if share.speed.kind == "rate" else None
        self._allowance = Allowance(rate, monotonic()) if rate else None
        self._paused: set[int] = set()
        #: Read to the end; it may still hold messages back.
        self._ended: set[int] = set()
        self._sent: dict[int, Position] = {}
        self._settled: dict[int, Position] = {}
        self._open()

    @property
    def finished(self) -> bool:
        """Whether all of the window has been handed out."""
        return len(self._ended) == len(self._slices) and not self._again and not self._pace.partitions

    @property
    def reached(self) -> dict[int, Position]:
        """How far each partition is, and what was counted; to be asked between two batches."""
        self._settled |= self._sent
        self._sent = {}
        held = {message.partition() for message in self._again} | self._pace.partitions
        return self._settled | {
            each: Position(self._slices[each].end, self._settled[each].counts) for each in self._ended - held
        }

    def take(self, size: int) -> list[Message]:
        """The next messages whose time has come, so many at most; perhaps none yet."""
        self._settled |= self._sent
        self._sent = {}
        room = size if self._allowance is None else min(size, self._allowance.room(monotonic()))
        if not room:
            self._stop.wait(_POLL_SECONDS)
            return []
        if self._again:
            out, self._again = self._again[:room], self._again[room:]
            return out
        if not self._is_original:
            return self._read(room)
        self._pace.add(self._read(_NOT_MORE))
        self._pause_those_ahead()
        return self._pace.release(room, monotonic())

    def offsets(self, taken: Sequence[Message], outcome: Outcome) -> list[TopicPartition]:
        """Where reading goes on, with what was counted: the batch's counts go with one of its partitions."""
        counts = _counted(outcome)
        if self._allowance is not None:
            self._allowance.spend(counts.requests)
        for each in next_offsets(taken):
            before = self._settled[each.partition].counts
            self._sent[each.partition] = Position(each.offset, before + counts)
            counts = Counts()
        return [
            TopicPartition(self._topic, partition, position.offset, str(position.counts))
            for partition, position in self._sent.items()
        ]

    def group(self) -> Any:
        """The run's group, of which nobody is a member."""
        return self._consumer.consumer_group_metadata()

    def go_back(self, rest: Sequence[Message]) -> None:
        """Hand these out again, next."""
        self._again = [*rest, *self._again]

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

    def _committed(self, partitions: Sequence[int], timeout: float) -> dict[int, Position]:
        found = committed(self._consumer, self._topic, partitions, timeout)
        return positions(found, {each: self._slices[each].start for each in partitions})

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
        with mapped("reading requests"):
            messages = self._consumer.consume(size, _POLL_SECONDS)
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


def _counted(outcome: Outcome) -> Counts:
    ours = outcome.compared + outcome.errors.total()
    others = outcome.taken - ours - outcome.outside
    return Counts(outcome.compared, outcome.errors, others, outcome.outside)
