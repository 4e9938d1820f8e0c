"""What a window's sources have in common: a pace, and how far each partition is with what was counted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event as Flag
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import Consumer, Message, TopicPartition

from shadowlane.replay_worker._replay import Outcome
from shadowlane.replay_worker._source import next_offsets
from shadowlane.replay_worker.window._record import Counts, Position, committed, positions
from shadowlane.replay_worker.window._slices import Slice
from shadowlane.replay_worker.window._speed import Allowance, Schedule, Speed

if TYPE_CHECKING:
    from shadowlane.lake import Lake

POLL_SECONDS = 0.05
_NOT_MORE = 2_000


@dataclass(frozen=True, slots=True)
class Share:
    """What one of the workers does."""

    number: int
    slices: tuple[Slice, ...]
    speed: Speed
    #: The message time (milliseconds) that the original pace counts from.
    origin_ms: int = 0
    #: The archive that it reads from, at one version; None: Kafka.
    held: Held | None = None


class Held(NamedTuple):
    """A version of a lake's archive."""

    lake: Lake
    version: int


def transactional_id(group: str, number: int) -> str:
    """The same at each start of a run, on whatever machine: whoever has it ends what another left open."""
    return f"{group}.{number}"


class Bounded(ABC):
    """Partitions of a window, each from where the run left it to its end.

    The consumer's group only keeps how far they are: nobody is a member of it.
    """

    def __init__(self, share: Share, consumer: Consumer, topic: str, stop: Flag) -> None:
        self._topic, self._stop, self._consumer = topic, stop, consumer
        #: Offsets that Kafka deleted before they were read, since this source began.
        self.lost = 0
        self._slices = {each.partition: each for each in share.slices}
        self._again: list[Message] = []
        self._pace = Schedule[Message](share.speed.factor, share.origin_ms, monotonic())
        self._is_original = share.speed.kind == "original"
        rate = share.speed.factor if share.speed.kind == "rate" else None
        self._allowance = Allowance(rate, monotonic()) if rate else None
        #: Read to the end; it may still hold messages back.
        self._ended: set[int] = set()
        self._sent: dict[int, Position] = {}
        self._settled: dict[int, Position] = {}

    @abstractmethod
    def _read(self, size: int) -> list[Message]:
        """The next messages, so many at most; perhaps none yet."""

    @abstractmethod
    def rewind(self, batch: Sequence[Message]) -> None:
        """Go back to what is committed: the batch may have come through after all."""

    @abstractmethod
    def close(self) -> None:
        """Hang up."""

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
            self._stop.wait(POLL_SECONDS)
            return []
        if self._again:
            out, self._again = self._again[:room], self._again[room:]
            return out
        if not self._is_original:
            return self._read(room)
        self._pace.add(self._read(_NOT_MORE))
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

    def _committed(self, partitions: Sequence[int], timeout: float) -> dict[int, Position]:
        found = committed(self._consumer, self._topic, partitions, timeout)
        return positions(found, {each: self._slices[each].start for each in partitions})


def _counted(outcome: Outcome) -> Counts:
    ours = outcome.compared + outcome.errors.total()
    others = outcome.taken - ours - outcome.outside
    return Counts(outcome.compared, outcome.errors, others, outcome.outside)
