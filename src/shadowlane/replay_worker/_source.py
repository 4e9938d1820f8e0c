"""Where a live worker reads: its share of the group's partitions, from where the group left them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from threading import Event as Flag
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from tenacity import (
    Retrying,
    before_sleep_log,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_exponential_jitter,
)

from shadowlane.errors import (
    BrokerUnreachableError,
    FencedError,
    KafkaFailedError,
    NotAuthorizedError,
    TopicMissingError,
)
from shadowlane.kafka import close_consumer, make_consumer, mapped, place_of, to_error
from shadowlane.replay_worker._plan import WorkerPlan
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

# `consume(n, t)` waits the whole t unless n messages came: short enough that nobody waits for results.
_POLL_SECONDS = 0.05
_TIMEOUT = 30.0
# Between two tries a worker that was told to stop gets to leave.
_TRY_SECONDS = 5.0
_RETRY_SECONDS = 10.0


class LiveSource:
    """A member of the group that shares the live work."""

    def __init__(self, plan: WorkerPlan, kafka: KafkaSettings, topic: str, stop: Flag) -> None:
        group = kafka.topic_prefix + plan.target.group
        self._stop = stop
        self._consumer = make_consumer(kafka, group, **_config(plan))
        self._consumer.subscribe([topic], on_assign=_pin if plan.start == "latest" else _as_it_is)

    @property
    def finished(self) -> bool:
        """Live traffic has no end."""
        return False

    def take(self, size: int) -> list[Message]:
        """The next messages, so many at most; perhaps none yet."""
        with mapped("reading requests"):
            messages = self._consumer.consume(size, _POLL_SECONDS)
        for message in messages:
            error = message.error()
            if error is not None and error.name() == "_MAX_POLL_EXCEEDED":
                log.warning("a batch outlasted the group's patience; joining it again")
            elif error is not None:
                _raise_or_say(to_error(error, "reading requests"), fatal=error.fatal())
        return [message for message in messages if message.error() is None]

    def group(self) -> Any:
        """Under which membership the offsets move."""
        return self._consumer.consumer_group_metadata()

    def go_back(self, rest: Sequence[Message]) -> None:
        """Read these again, next time: they were taken, but are not dealt with."""
        with mapped("going back to what is left of a batch"):
            for (topic, partition), offset in _firsts(rest).items():
                self._consumer.seek(TopicPartition(topic, partition, offset))

    def rewind(self, batch: Sequence[Message]) -> None:
        """Go back to where the batch began, or to the last commit where that came through after all.

        Only the broker knows which; while it does not answer, wait for it, unless told to stop.
        """
        if self._stop.is_set():  # whoever is next goes back to the commit
            return
        _patiently(lambda: _seek_back(self._consumer, batch), self._stop)

    def close(self) -> None:
        """Leave the group."""
        close_consumer(self._consumer)


def next_offsets(messages: Sequence[Message]) -> list[TopicPartition]:
    """For each partition of the messages, the offset after its last one."""
    last = {(place.topic, place.partition): place.offset for place in map(place_of, messages)}
    return [TopicPartition(topic, partition, offset + 1) for (topic, partition), offset in last.items()]


def _config(plan: WorkerPlan) -> dict[str, object]:
    return {
        "auto.offset.reset": plan.start,
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": 10_000,
        "fetch.wait.max.ms": 50,
    }


def _as_it_is(_consumer: Consumer, _partitions: list[TopicPartition]) -> None:
    """Start where the group left each partition, or at its beginning."""


def _pin(consumer: Consumer, partitions: list[TopicPartition]) -> None:
    """Commit the end of each partition that has no commit yet: "latest" means now, not the next start."""
    with mapped("looking for the ends of the partitions"):
        fresh = [each for each in consumer.committed(partitions, timeout=_TIMEOUT) if each.offset < 0]
        for each in fresh:
            each.offset = consumer.get_watermark_offsets(each, timeout=_TIMEOUT)[1]
        if fresh:
            consumer.commit(offsets=fresh, asynchronous=False)


def _raise_or_say(error: KafkaFailedError, *, fatal: bool) -> None:
    """What passes by itself is a line in the log; what does not ends the worker."""
    if fatal or isinstance(error, (FencedError, NotAuthorizedError, TopicMissingError)):
        raise error
    log.warning("%s", error)


def _firsts(messages: Sequence[Message]) -> dict[tuple[str, int], int]:
    """For each partition of the messages, the offset of its first one."""
    return {(place.topic, place.partition): place.offset for place in map(place_of, reversed(messages))}


def _patiently(call: Callable[[], None], stop: Flag) -> None:
    """Again and again while the broker does not answer, until told to stop."""
    waiting = Retrying(
        retry=retry_if_exception_type(BrokerUnreachableError),
        wait=wait_exponential_jitter(max=_RETRY_SECONDS),
        sleep=sleep_using_event(stop),
        stop=stop_when_event_set(stop),
        before_sleep=before_sleep_log(log, logging.WARNING),
        retry_error_callback=lambda _: None,  # told to stop meanwhile
    )
    waiting(call)


def _seek_back(consumer: Consumer, batch: Sequence[Message]) -> None:
    first = _firsts(batch)
    try:
        ours = [each for each in consumer.assignment() if (each.topic, each.partition) in first]
        for each in consumer.committed(ours, timeout=_TRY_SECONDS):
            start = first[each.topic, each.partition]
            consumer.seek(TopicPartition(each.topic, each.partition, max(each.offset, start)))
    except KafkaException as failure:
        raise to_error(failure.args[0], "going back to the last commit") from failure
