"""The Kafka end of a hook: one librdkafka producer, used by the background thread alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException

from shadowlane.kafka import TopicNames, make_producer, to_error
from shadowlane.producer._encode import Message
from shadowlane.producer._lifetime import no_fork
from shadowlane.producer._log import FailWatch, Log
from shadowlane.producer._stats import Counts
from shadowlane.schemas import ShadowComparison, ShadowError
from shadowlane.settings import KafkaSettings

#: Ours, under the user's `[kafka.client]`.
CONFIG = {
    # Idempotence can end in a fatal error that only a new producer gets over, and a request that
    # arrives twice is one request to every reader.
    "enable.idempotence": False,
    "acks": "all",
    # The hook gathers requests itself, for longer than this.
    "linger.ms": 5,
    "compression.type": "lz4",
    # How long a request may wait for a lost broker, and how much memory all that wait may take.
    "message.timeout.ms": 30_000,
    "queue.buffering.max.messages": 50_000,
    "queue.buffering.max.kbytes": 32 * 1024,
    "message.max.bytes": 4_000_000,
    # A broker refuses a batch as a whole: the neighbours of a request too large for its topic are few.
    "batch.size": 262_144,
    # librdkafka would send on and on to a broker that is stopped, and each request to it takes memory
    # beside the queue's; so many at a time keep a broker busy that answers.
    "max.in.flight.requests.per.connection": 5,
    # As Java's clients do it: one entity, one partition, whoever produces.
    "partitioner": "murmur2_random",
}


def check_settings(settings: KafkaSettings) -> None:
    """Have librdkafka check the settings now, where whoever wrote them sees it.

    Raises:
        SettingsError, KafkaFailedError: it does not take them.
    """
    # Nothing of the real brokers: an end that waits for a name server would hold up the start.
    with no_fork():
        make_producer(replace(settings, bootstrap_servers="127.0.0.1:9"), **CONFIG)


_PURGE = 0.1

#: One message's own fault: others may be delivered all the while.
TOO_LARGE = {"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_MSG_SIZE"}


class Outbox(Protocol):
    """Where a hook's messages leave its process; used by its background thread alone."""

    @property
    def clients(self) -> Sequence[object]:
        """Clients with threads of their own, which a forked child does not have."""

    @property
    def in_flight(self) -> int:
        """Messages, the ledger's aside, that have not been answered yet."""

    def send(self, message: Message) -> bool:
        """Hand over a request; False where there is no room now."""

    def send_result(self, message: Message, event: type[ShadowComparison | ShadowError]) -> bool:
        """Hand over a comparison or an error; False where there is no room now."""

    def send_ledger(self, message: Message) -> None:
        """Hand over a ledger entry; it may be lost, as a later one replaces it."""

    def poll(self, seconds: float) -> None:
        """Take answers, waiting so long for the first."""

    def flush(self, seconds: float) -> None:
        """Wait so long for the answers to all that was sent, then give up on the rest and count it."""


#: Makes a hook's outbox, in its background thread.
MakeOutbox = Callable[[KafkaSettings, Counts, Log], Outbox]


class KafkaOutbox:
    """Sends messages to Kafka and counts what becomes of them."""

    def __init__(self, settings: KafkaSettings, counts: Counts, log: Log) -> None:
        topics = TopicNames(settings.topic_prefix)
        self._requests, self._ledger = topics.requests, topics.ledger
        self._results = {ShadowComparison: topics.comparisons, ShadowError: topics.errors}
        self._counts, self._log = counts, log
        self._watches = {
            topic: FailWatch(what)
            for topic, what in {
                topics.requests: "requests",
                topics.ledger: "ledger entries",
                topics.comparisons: "comparisons",
                topics.errors: "errors of the shadow",
            }.items()
        }
        self._producer = make_producer(settings, **CONFIG)
        self._produce = self._producer.produce

    @property
    def clients(self) -> Sequence[object]:
        """Kafka's producer."""
        return [self._producer]

    @property
    def in_flight(self) -> int:
        """Messages, the ledger's aside, that Kafka has not answered yet."""
        counts = self._counts
        requests = counts.published - counts.delivered - counts.failed
        return requests + counts.results_published - counts.results_delivered - counts.results_failed

    def send(self, message: Message) -> bool:
        """Hand a request to librdkafka; False where it has no room now."""
        try:
            self._send(self._requests, message, self._on_answer)
        except BufferError:
            return False
        except KafkaException as failure:
            self._counts.drop("too_large" if failure.args[0].name() in TOO_LARGE else "refused")
            self._say(self._requests, failure.args[0])
            return True
        self._counts.published += 1
        return True

    def send_result(self, message: Message, event: type[ShadowComparison | ShadowError]) -> bool:
        """Hand a comparison or an error to librdkafka; False where it has no room now."""
        topic = self._results[event]
        try:
            self._send(topic, message, partial(self._on_result_answer, topic))
        except BufferError:
            return False
        except KafkaException as failure:
            self._say(topic, failure.args[0])
            with self._counts.lock:
                self._counts.results_dropped += 1
            return True
        self._counts.results_published += 1
        return True

    def send_ledger(self, message: Message) -> None:
        """Hand over a ledger entry; it may be lost, as a later one replaces it."""
        with suppress(BufferError):
            try:
                self._send(self._ledger, message, self._on_ledger_answer)
            except KafkaException as failure:
                self._say(self._ledger, failure.args[0])

    def poll(self, seconds: float) -> None:
        """Take Kafka's answers, waiting so long for the first."""
        self._producer.poll(seconds)
        self._watches[self._requests].delivered = self._counts.delivered
        for watch in self._watches.values():
            watch.look()

    def flush(self, seconds: float) -> None:
        """Wait so long for Kafka's answers to all that was sent, then give up on the rest and count it."""
        if self._producer.flush(max(0.0, seconds)):
            if left := self.in_flight:
                self._log.once(f"closed before Kafka had answered for {left} requests: they count as failed")
            self._producer.purge()  # each is answered with an error, and so counted as failed
            self._producer.flush(_PURGE)

    def _send(self, topic: str, message: Message, on_answer: Any) -> None:
        value, key, timestamp, headers = message
        if headers is None:
            self._produce(topic, value, key, on_delivery=on_answer, timestamp=timestamp)
        else:
            self._produce(topic, value, key, on_delivery=on_answer, timestamp=timestamp, headers=headers)

    def _on_answer(self, error: KafkaError | None, _message: Any) -> None:
        if error is None:
            self._counts.delivered += 1
        else:
            self._counts.failed += 1
            self._say(self._requests, error)

    def _on_result_answer(self, topic: str, error: KafkaError | None, _message: Any) -> None:
        if error is None:
            self._counts.results_delivered += 1
            self._watches[topic].delivered += 1
        else:
            self._counts.results_failed += 1
            self._say(topic, error)

    def _on_ledger_answer(self, error: KafkaError | None, _message: Any) -> None:
        if error is None:
            self._watches[self._ledger].delivered += 1
        else:
            self._say(self._ledger, error)

    def _say(self, topic: str, error: KafkaError) -> None:
        why = str(to_error(error, f"writing to {topic}"))
        if error.name() in TOO_LARGE:
            self._log.once(why)
        elif error.name() not in ("_PURGE_QUEUE", "_PURGE_INFLIGHT"):  # those `flush` gave up itself
            self._watches[topic].failed(why)
