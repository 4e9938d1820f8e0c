"""Reads single messages of a topic again, by their offsets."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from confluent_kafka import Message, TopicPartition

from shadowlane.kafka import StallWatch, close_consumer, edges, ended, make_reader, mapped
from shadowlane.replay_worker.redrive._failures import Failed, Spot
from shadowlane.replay_worker.redrive._queued import Queued
from shadowlane.schemas import ProductionRequest
from shadowlane.schemas.columns import ColumnCodec
from shadowlane.settings import KafkaSettings

_POLL_SECONDS = 0.1
_FETCH = 1_000
# What lies between two wanted messages is read past where it is no more than this: a seek costs a round trip.
_GAP = 2_000
_REQUESTS = ColumnCodec(ProductionRequest)


class SpotSource(Queued):
    """The messages at some offsets, each partition in turn and once through.

    A message that retention has deleted is gone; so is one in whose place another stands now, since the
    topic was deleted and made anew.
    """

    def __init__(self, kafka: KafkaSettings, topic: str, wanted: Mapping[Spot, Failed]) -> None:
        super().__init__()
        self._topic, self._wanted = topic, wanted
        self._offsets: dict[int, deque[int]] = {}
        for partition, offset in sorted(wanted):
            self._offsets.setdefault(partition, deque()).append(offset)
        self._is_open = False
        self._watch = StallWatch(f"reading {topic}")
        self._consumer = make_reader(kafka)
        #: Those that are not in the topic any more.
        self.gone: set[Spot] = set()

    @property
    def finished(self) -> bool:
        """Whether all of them were handed out."""
        return not self._offsets and not self._ready

    def take(self, size: int) -> list[Message]:
        """The next of them, so many at most; perhaps none yet."""
        if len(self._ready) < size and self._offsets:
            self._read()
        return self._handed_out(size)

    def close(self) -> None:
        """Let go of the consumer."""
        close_consumer(self._consumer)

    def _read(self) -> None:
        """One poll of the partition whose turn it is."""
        partition = next(iter(self._offsets))
        if not self._is_open and not self._open(partition):
            return
        with mapped(f"reading {self._topic}"):
            messages = self._watch.check(self._consumer.consume(_FETCH, _POLL_SECONDS))
        here = [each for each in messages if each.error() is None and each.partition() == partition]
        self._ready.extend(self._unchanged(self._wanted_of(here)))
        left = self._offsets[partition]
        if not left or partition in ended(messages):
            self._leave(partition)
        elif here and left[0] - (here[-1].offset() or 0) > _GAP:
            with mapped(f"reading {self._topic}"):
                self._consumer.seek(TopicPartition(self._topic, partition, left[0]))

    def _open(self, partition: int) -> bool:
        """Start with a partition, at the first message of it that is still there, if one is."""
        place = TopicPartition(self._topic, partition)
        low, high = edges(self._consumer, place)
        there = deque(offset for offset in self._offsets[partition] if low <= offset < high)
        self.gone.update((partition, each) for each in self._offsets[partition] if not low <= each < high)
        self._offsets[partition] = there
        if not there:
            self._leave(partition)
            return False
        place.offset = there[0]
        with mapped(f"reading {self._topic}"):
            self._consumer.assign([place])
        self._is_open = True
        return True

    def _leave(self, partition: int) -> None:
        """Done with a partition; what was not met in it is gone."""
        self.gone.update((partition, each) for each in self._offsets.pop(partition))
        self._is_open = False

    def _wanted_of(self, messages: Sequence[Message]) -> list[Message]:
        """Those that are wanted; a wanted one that was passed without being met is gone."""
        found: list[Message] = []
        for message in messages:
            left, offset = self._offsets[message.partition() or 0], message.offset() or 0
            while left and left[0] < offset:
                self.gone.add((message.partition() or 0, left.popleft()))
            if left and left[0] == offset:
                left.popleft()
                found.append(message)
        return found

    def _unchanged(self, messages: Sequence[Message]) -> Iterable[Message]:
        """Those that are what the errors were about."""
        decoded = _REQUESTS.decode([message.value() for message in messages])
        ids = dict(zip(decoded.kept, decoded.batch.column("request_id").to_pylist(), strict=True))
        for index, message in enumerate(messages):
            spot = message.partition() or 0, message.offset() or 0
            if self._wanted[spot].is_of(message, ids.get(index)):
                yield message
            else:
                self.gone.add(spot)
