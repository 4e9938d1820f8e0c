"""A topic read once, from a time on to its present end, beside all groups."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from confluent_kafka import Consumer, KafkaError, TopicPartition

from shadowlane.errors import BrokerUnreachableError
from shadowlane.kafka._clients import close_consumer, make_consumer
from shadowlane.kafka._errors import mapped, to_error
from shadowlane.kafka._topics import require_topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from threading import Event

    from confluent_kafka import Message

    from shadowlane.settings import KafkaSettings

Answer = TypeVar("Answer")

_TIMEOUT = 30.0
_BATCH, _POLL_SECONDS = 5_000, 0.1
_MOST_EMPTY = 300
_PAUSE_SECONDS = 0.2
_EARLIEST = -2


def make_reader(settings: KafkaSettings, **config: Any) -> Consumer:
    """A consumer that is in no group's way: it is given its partitions, and commits nothing.

    It hears where a partition ends.
    """
    ours = {"enable.partition.eof": True, "fetch.wait.max.ms": 50}
    return make_consumer(settings, f"{settings.topic_prefix}shadowlane:reader", **ours | config)


def read_to_end(
    settings: KafkaSettings, topic: str, *, since_ms: int | None = None, stop: Event | None = None
) -> Iterator[list[Message]]:
    """The messages of a topic that are committed now, a batch at a time, until told to stop.

    With a time, from the first message of each partition on that has this time or a later one.

    Raises:
        KafkaFailedError: the topic cannot be read.
    """
    require_topics(settings, [topic], stop)
    consumer = make_reader(settings)
    try:
        ends = _patiently(lambda: _assign(consumer, topic, since_ms))
        watch = StallWatch(f"reading {topic}")
        while ends and not (stop is not None and stop.is_set()):
            messages = watch.check(consumer.consume(_BATCH, _POLL_SECONDS))
            for partition in ended(messages):
                ends.pop(partition, None)
            good = [message for message in messages if message.error() is None]
            if good:
                yield good
            for message in good:
                if (message.offset() or 0) + 1 >= ends.get(message.partition() or 0, 0):
                    ends.pop(message.partition() or 0, None)
    finally:
        close_consumer(consumer)


class StallWatch:
    """Tells a reader that waits in vain from one that waits for a broker to come back."""

    def __init__(self, doing: str) -> None:
        self._doing, self._last = doing, f"{doing}: no broker sends anything"
        self._empty = 0

    def check(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages of one poll, errors that pass among them.

        Raises:
            KafkaFailedError: one of them is an error that does not pass, or too many polls gave nothing.
        """
        self._empty += 1
        for message in messages:
            error = message.error()
            if error is None or _is_end(error):
                self._empty = 0
                continue
            failure = to_error(error, self._doing)
            if error.fatal() or not isinstance(failure, BrokerUnreachableError):
                raise failure
            self._last = str(failure)
        if self._empty > _MOST_EMPTY:
            raise BrokerUnreachableError(self._last)
        return messages


def ended(messages: Sequence[Message]) -> set[int]:
    """The partitions that these messages say have no more."""
    return {
        message.partition() or 0
        for message in messages
        if (error := message.error()) is not None and _is_end(error)
    }


def edges(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """The first offset of a partition, and the one after its last.

    Raises:
        KafkaFailedError: nobody tells.
    """

    def look() -> tuple[int, int]:
        with mapped(f"looking for the ends of {place.topic}"):
            return consumer.get_watermark_offsets(place, timeout=_TIMEOUT)

    return _patiently(look)


def _patiently(call: Callable[[], Answer]) -> Answer:
    """Again and again for a while: a partition may be between two leaders."""
    deadline = time.monotonic() + _TIMEOUT
    while True:
        try:
            return call()
        except BrokerUnreachableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)


def _is_end(error: KafkaError) -> bool:
    return error.name() == "_PARTITION_EOF"


def _assign(consumer: Consumer, topic: str, since_ms: int | None) -> dict[int, int]:
    """Start in each partition that holds something; where each of these ends."""
    with mapped(f"looking for the partitions of {topic}"):
        found = consumer.list_topics(topic, timeout=_TIMEOUT).topics[topic]
        if found.error is not None:
            raise to_error(found.error, f"looking for the partitions of {topic}")
        starts = [TopicPartition(topic, each, since_ms or _EARLIEST) for each in found.partitions]
        if since_ms:
            starts = consumer.offsets_for_times(starts, timeout=_TIMEOUT)
        ends = {}
        for each in starts:
            low, high = consumer.get_watermark_offsets(each, timeout=_TIMEOUT)
            if low < high and not (since_ms and each.offset < 0):
                ends[each.partition] = high
        consumer.assign([each for each in starts if each.partition in ends])
    return ends
