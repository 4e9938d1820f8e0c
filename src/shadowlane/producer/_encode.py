"""From what a caller handed over to a Kafka message; done in the background thread."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from shadowlane.producer._wire import RequestWriter
from shadowlane.schemas import Codec, LedgerEntry, ShadowComparison, ShadowError, not_unicode

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: As confluent_kafka has them.
Headers = list[tuple[str, str | bytes | None]]
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Observation(NamedTuple):
    """One request as its caller's thread took it down, copied and not yet looked at."""

    sequence: int
    request_id: str | None
    """The caller's; else made of the producer's mark and the sequence."""
    entity_id: str | None
    event_time: int | datetime
    """In microseconds, or as the caller gave it."""
    features: Mapping[str, Any]
    prediction: Any
    latency_ms: float | None
    segments: Mapping[str, Any] | None
    context: Mapping[str, Any] | None
    sampling_rate: float


class Deferred(NamedTuple):
    """One request whose features and prediction the background thread reads out of what was kept."""

    sequence: int
    read: Callable[[], Mapping[str, Any]]
    """To the arguments of `Hook.publish`."""
    size: int
    """About how many bytes of memory it takes."""


class Result(NamedTuple):
    """A comparison or an error of a shadow that ran in this process."""

    event: ShadowComparison | ShadowError
    key: str


class Message(NamedTuple):
    """What goes to Kafka."""

    value: bytes
    key: str
    timestamp_ms: int
    headers: Headers | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose requests a hook publishes."""

    model: str
    model_version: str


class Encoder:
    """Makes the messages of one producer.

    Args:
        subject: Whose requests.
        producer_id: The producer's id.
        mark: What tells this producer's requests from all others'.
    """

    def __init__(self, subject: Subject, producer_id: str, mark: str) -> None:
        self._mark = mark
        self._writer = RequestWriter(subject.model, subject.model_version, producer_id)
        self._ledger = Codec(LedgerEntry)
        self._results = {event: Codec(event) for event in (ShadowComparison, ShadowError)}

    def request(self, observation: Observation, now_ms: int) -> Message:
        """A request's message.

        Raises:
            Exception: something in it has no form in the event; which, it says.
        """
        (sequence, request_id, entity_id, time, features, prediction, latency, segments, context, rate) = (
            observation
        )
        if request_id is None:
            request_id = made_id(self._mark, sequence)
        micros = time if isinstance(time, int) else _micros(time)
        try:
            value = self._writer.write(
                request_id,
                micros,
                entity_id,
                features,
                prediction,
                latency,
                segments,
                context,
                rate,
                sequence,
            )
        except UnicodeEncodeError as error:
            raise not_unicode(observation._asdict(), error, names=2) from None
        # A broker refuses the whole batch around a message from the future; 0 is "now" to librdkafka.
        at = max(1, min(micros // 1000, now_ms))
        return Message(value, entity_id or request_id, at, _trace_headers(context) if context else None)

    def ledger(self, entry: LedgerEntry) -> Message:
        """The message of a ledger entry."""
        return Message(self._ledger.encode(entry), entry.producer_id, _micros(entry.recorded_at) // 1000)

    def result(self, result: Result, now_ms: int) -> Message:
        """The message of a comparison or an error.

        Raises:
            Exception: something in it has no form in the event; which, it says.
        """
        event = result.event
        codec: Any = self._results[type(event)]
        at = now_ms if event.event_time is None else _micros(event.event_time) // 1000
        return Message(codec.encode(event), result.key, max(1, min(at, now_ms)))


def made_id(mark: str, sequence: int) -> str:
    """The id of a request whose caller gave none."""
    return f"{mark}-{sequence}"


def _trace_headers(context: Mapping[str, Any]) -> Headers | None:
    """The caller's trace, for whoever reads the message to go on with it."""
    trace = context.get("traceparent")
    if isinstance(trace, str) and _TRACEPARENT.fullmatch(trace):
        return [("traceparent", trace.encode())]
    return None


def _micros(time: datetime) -> int:
    # Without a zone Python takes a time as local; events are UTC, and so is what `utcnow` returns.
    return ((time.replace(tzinfo=UTC) if time.utcoffset() is None else time) - EPOCH) // _MICROSECOND
