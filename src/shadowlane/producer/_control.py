"""The control topic: what operators set for a model while its services run.

One key for each thing that can be set, `model/sampling` here. The latest message of a key holds, and one
without a value takes the setting back. One partition gives all readers the same order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from shadowlane.errors import BrokerUnreachableError, CodecError, CorruptMessageError, SettingsError
from shadowlane.kafka import (
    TopicNames,
    make_consumer,
    make_producer,
    mapped,
    place_of,
    require_topics,
    to_error,
)
from shadowlane.producer._log import Log
from shadowlane.producer._sampling import Rates
from shadowlane.schemas import Codec, ControlSetting, SamplingRates, check_name
from shadowlane.settings import KafkaSettings

logger = logging.getLogger("shadowlane.producer")

_END = "_PARTITION_EOF"
_TIMEOUT = 30.0
# A look takes a millisecond or two at most, as it holds up the callers' threads.
_BATCH, _MOST_BATCHES = 100, 10
# A consumer must name a group. Ours joins none and commits nothing, but librdkafka looks for the group's
# coordinator all the same; where it may not, reading works, and this error is all that is amiss.
_GROUP, _NO_GROUP = "shadowlane-control", "GROUP_AUTHORIZATION_FAILED"
_CONFIG = {
    "enable.partition.eof": True,
    # How long an idle broker keeps a fetch: what is new comes at once all the same, but the end of the
    # topic is told only when a fetch comes back empty.
    "fetch.wait.max.ms": 1000,
    "queued.max.messages.kbytes": 1024,
    "topic.metadata.refresh.interval.ms": 30_000,  # so a topic made later is found
}


class SamplingSetting:
    """What the control topic says of one model's sampling, message by message.

    Attributes:
        event: The setting that holds, None where there is none.
        rates: Its rates.
    """

    def __init__(self, model: str) -> None:
        self.event: ControlSetting | None = None
        self.rates: Rates | None = None
        self._key = _key(model)
        self._codec = Codec(ControlSetting)

    def take(self, message: Message) -> None:
        """Let a message replace what held until now, where it is about us.

        Raises:
            CodecError: it is no setting; what held until now still does.
        """
        if message.key() != self._key:
            return
        event = rates = None
        if message.value() is not None:
            event = self._codec.decode(message.value(), place_of(message))
            if event.sampling is not None:
                try:
                    rates = Rates(event.sampling.rate, event.sampling.segments)
                except SettingsError as error:
                    raise CorruptMessageError(str(error), place_of(message)) from error
        self.event, self.rates = event, rates


class ControlFeed:
    """Follows the control topic from a hook's background thread, and never waits for it.

    Attributes:
        is_caught_up: Whether the topic was read to its end once.
    """

    def __init__(self, model: str, kafka: KafkaSettings, log: Log) -> None:
        self.consumer: Consumer | None = None
        self._setting = SamplingSetting(model)
        self._kafka, self._log = kafka, log
        self.is_caught_up = False

    @property
    def rates(self) -> Rates | None:
        """The rates that hold; None before the topic was read to its end, lest old ones hold for a moment."""
        return self._setting.rates if self.is_caught_up else None

    def look(self) -> None:
        """Take what has come."""
        if self.consumer is None:
            self.consumer = _follow(self._kafka)
        for _ in range(_MOST_BATCHES):
            messages = self.consumer.consume(_BATCH, 0)
            for message in messages:
                self._take(message)
            if len(messages) < _BATCH:
                return

    def close(self) -> None:
        """Let the topic go."""
        if self.consumer is not None:
            self.consumer.close()

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is None:
            try:
                self._setting.take(message)
            except CodecError as failure:
                self._log.once(f"a message of the control topic is left out: {failure}")
        elif error.name() == _END:
            self.is_caught_up = True
        else:
            self._log.once(str(to_error(error, "following the control topic")))


def set_sampling(
    kafka: KafkaSettings, model: str, rates: Rates | None, *, set_by: str = "", reason: str = ""
) -> None:
    """Change the rates of all hooks of a model that follow the control topic; None takes a change back.

    Raises:
        SettingsError: the model's name can be none.
        KafkaFailedError: the topic cannot be written to; nothing was changed.
    """
    key, value = _key(check_name("model", model)), None
    if rates is not None:
        sampling = SamplingRates(rate=rates.rate, segments=rates.segments)
        event = ControlSetting(
            model=model, sampling=sampling, set_at=datetime.now(UTC), set_by=set_by, reason=reason
        )
        value = Codec(ControlSetting).encode(event)
    topic = TopicNames(kafka.topic_prefix).control
    require_topics(kafka, [topic])
    doing, failures = f"setting the rates of {model}", list[KafkaError]()
    producer = make_producer(kafka, **{"acks": "all", "message.timeout.ms": int(_TIMEOUT * 1000)})
    with mapped(doing):
        producer.produce(
            topic,
            value=value,
            key=key,
            partition=0,
            on_delivery=lambda error, _message: failures.append(error) if error else None,
        )
        producer.flush()
    if failures:
        raise to_error(failures[0], doing)


def read_sampling(kafka: KafkaSettings, model: str) -> ControlSetting | None:
    """What the control topic says of a model's sampling; None where it says nothing.

    Raises:
        SettingsError: the model's name can be none.
        KafkaFailedError: the topic cannot be read.
    """
    setting = SamplingSetting(check_name("model", model))
    require_topics(kafka, [TopicNames(kafka.topic_prefix).control])
    consumer = _follow(kafka, **{"fetch.wait.max.ms": 100})
    try:
        for message in _to_the_end(consumer):
            try:
                setting.take(message)
            except CodecError as failure:
                logger.warning("a message is left out, by hooks as well: %s", failure)
    finally:
        consumer.close()
    return setting.event


def _key(model: str) -> bytes:
    return f"{model}/sampling".encode()


def _follow(kafka: KafkaSettings, **config: Any) -> Consumer:
    """A consumer of the whole control topic; it looks for its broker in threads of its own."""
    consumer = make_consumer(kafka, _GROUP, **(_CONFIG | config))
    consumer.assign([TopicPartition(TopicNames(kafka.topic_prefix).control, 0, OFFSET_BEGINNING)])
    return consumer


def _to_the_end(consumer: Consumer) -> Iterator[Message]:
    doing, deadline = "reading the control topic", time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline:
        for message in consumer.consume(_BATCH, 0.05):
            error = message.error()
            if error is None:
                yield message
            elif error.name() == _END:
                return
            elif error.name() != _NO_GROUP:
                raise to_error(error, doing)
    raise BrokerUnreachableError(f"{doing}: its end was not reached within {_TIMEOUT:.0f} s")
