"""From a window to offsets: what is read of each partition, and what of the window Kafka no longer has.

A request's message time is its event time where the hook sent it, and a little later where the topic
stamps its own. So the first message of a time t or later has all requests of t and later behind it, but
for the clocks of brokers that run behind; the start needs no more than a margin for these. Behind the
first message of the window's end, though, requests of the window still come: those that were sent late.
There the margin matters.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from confluent_kafka import Consumer, Message, TopicPartition

from shadowlane.errors import BrokerUnreachableError, SettingsError, TopicMissingError
from shadowlane.kafka import make_consumer, mapped, to_error
from shadowlane.replay_worker.window._times import Bound, Window, first_of
from shadowlane.settings import KafkaSettings

_TIMEOUT = 30.0
_PEEK_SECONDS = 20.0
# One message with a clock that runs ahead must not end a window early.
_LOOK_AT = 100


@dataclass(frozen=True, slots=True)
class Archived:
    """What the lake's archive holds of a slice."""

    #: Requests of the model and the window.
    rows: int
    #: Offsets between them that are in no table: dropped before they landed, or never a message.
    holes: int = 0
    #: Messages between them that nobody could read.
    unread: int = 0
    #: Messages of the window's time, as Kafka tells it, that had not landed.
    behind: int = 0


@dataclass(frozen=True, slots=True)
class Slice:
    """What is read of a partition: from `start` up to, and without, `end`."""

    partition: int
    start: int
    end: int
    #: Deleted already, of what was asked for: before this time (milliseconds), or all (-1). None: nothing.
    deleted_before: int | None = None
    #: Where it is read from the lake.
    archived: Archived | None = None

    @property
    def size(self) -> int:
        """How many offsets: not each of them need hold a message."""
        return self.end - self.start


class Topic:
    """Looks at a topic without a trace: where partitions begin and end, and what lies at an offset."""

    def __init__(self, kafka: KafkaSettings, group: str, name: str) -> None:
        self.name = name
        # Read committed: the end of a partition is the last stable offset, which a transaction that is
        # still open does not move.
        self.consumer: Consumer = make_consumer(
            kafka,
            group,
            **{"enable.partition.eof": True, "fetch.wait.max.ms": 50, "auto.offset.reset": "earliest"},
        )

    def partitions(self) -> list[int]:
        """The topic's partitions."""
        with mapped("looking for the partitions"):
            metadata = self.consumer.list_topics(self.name, timeout=_TIMEOUT).topics[self.name]
        if metadata.error is not None:
            raise to_error(metadata.error, "looking for the partitions")
        if not metadata.partitions:
            raise TopicMissingError(f"topic {self.name} does not exist; run: shadowlane topics create")
        return sorted(metadata.partitions)

    def ends(self, partition: int) -> tuple[int, int]:
        """The first offset that is there, and the last stable one."""
        with mapped("looking for the ends of the partitions"):
            low, high = self.consumer.get_watermark_offsets(
                TopicPartition(self.name, partition), timeout=_TIMEOUT
            )
        return low, high

    def at(self, partitions: Sequence[int], moment: datetime) -> dict[int, int]:
        """For each partition the first message of this time or a later one; none where there is none."""
        milliseconds = max(0, int(moment.timestamp() * 1000))
        asked = [TopicPartition(self.name, each, milliseconds) for each in partitions]
        with mapped("looking for the window's offsets"):
            found = self.consumer.offsets_for_times(asked, timeout=_TIMEOUT)
        for each in found:
            if each.error is not None:
                raise to_error(each.error, "looking for the window's offsets")
        return {each.partition: each.offset for each in found if each.offset >= 0}

    def peek(self, partition: int, offset: int, count: int) -> list[Message]:
        """The next messages from an offset on; fewer where the partition ends.

        Raises:
            BrokerUnreachableError: neither messages nor the end came.
        """
        found: list[Message] = []
        deadline = datetime.now(UTC) + timedelta(seconds=_PEEK_SECONDS)
        try:
            self.consumer.assign([TopicPartition(self.name, partition, offset)])
            while datetime.now(UTC) < deadline:
                for message in self.consumer.consume(count - len(found), 0.1):
                    error = message.error()
                    if error is None:
                        found.append(message)
                    elif error.name() == "_PARTITION_EOF":
                        return found
                if len(found) >= count:
                    return found
        finally:
            self.consumer.unassign()
        raise BrokerUnreachableError(f"{self.name}[{partition}]: no broker gives offset {offset:,}")

    def close(self) -> None:
        """Hang up."""
        self.consumer.close()


def resolve(topic: Topic, window: Window, margin: timedelta) -> list[Slice]:
    """What is to be read of each partition; ends are as they are now.

    Raises:
        SettingsError: an offset names a partition that is not there.
    """
    there = topic.partitions()
    asked = window.partitions or set(there)
    if unknown := asked - set(there):
        raise SettingsError(f"topic {topic.name} has no partition {min(unknown)}; it has {len(there)}")
    wanted = sorted(asked)
    starts = topic.at(wanted, window.start.moment - margin) if window.start.moment else {}
    ends = topic.at(wanted, window.end.moment + margin) if window.end.moment else {}
    return [_slice(topic, window, partition, starts, ends) for partition in wanted]


def _slice(
    topic: Topic,
    window: Window,
    partition: int,
    starts: Mapping[int, int],
    ends: Mapping[int, int],
) -> Slice:
    low, high = topic.ends(partition)
    start = _within(_offset(window.start, partition, starts, high), low, high)
    end = _within(_offset(window.end, partition, ends, high), start, high)
    if window.end.moment is not None and end < high:
        end = _settled_end(topic, partition, end, high, window.end.moment)
    return Slice(partition, start, end, _deleted(topic, window.start, partition, start, low))


def _offset(bound: Bound, partition: int, found: Mapping[int, int], high: int) -> int:
    given = first_of(bound, partition)
    return found.get(partition, high) if given is None else given


def _within(offset: int, low: int, high: int) -> int:
    return max(low, min(offset, high))


def _settled_end(topic: Topic, partition: int, end: int, high: int, until: datetime) -> int:
    """The offset behind which nothing of the window is in sight: one clock may run ahead of the others."""
    milliseconds = until.timestamp() * 1000

    def is_past(offset: int) -> bool:
        found = topic.peek(partition, offset, _LOOK_AT)
        return all(message.timestamp()[1] >= milliseconds for message in found)

    if is_past(end):
        return end
    return bisect_left(range(high), x=True, lo=end, key=is_past)


def _deleted(topic: Topic, start: Bound, partition: int, first: int, low: int) -> int | None:
    """Up to which time what was asked for is deleted already."""
    if low == 0 or first > low:
        return None
    given = first_of(start, partition)
    if given is not None and given >= low:
        return None
    found = topic.peek(partition, low, 1)
    if not found:
        return -1
    time = found[0].timestamp()[1]
    is_late = start.moment is None or time > start.moment.timestamp() * 1000
    return time if is_late else None
