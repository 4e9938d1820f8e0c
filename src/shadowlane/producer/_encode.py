"""From what a caller handed over to a Kafka message; done in the background thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from shadowlane.schemas import Codec, Features, LedgerEntry, Prediction, ProductionRequest, label_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PREDICTION = "shadowlane.v1.Prediction"


class Observation(NamedTuple):
    """One request as its caller's thread took it down, copied and not yet looked at."""

    sequence: int
    request_id: str
    entity_id: str | None
    event_time: int | datetime
    """In microseconds, or as the caller gave it."""
    features: Mapping[str, Any]
    prediction: Any
    latency_ms: float | None
    segments: Mapping[str, Any] | None
    context: Mapping[str, Any] | None
    sampling_rate: float
    size: int = 0
    """About how many bytes of memory it takes."""


class Message(NamedTuple):
    """What goes to Kafka."""

    value: bytes
    key: str
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose requests a hook publishes."""

    model: str
    model_version: str


class Encoder:
    """Makes the messages of one producer."""

    def __init__(self, subject: Subject, producer_id: str) -> None:
        self._subject, self._producer_id = subject, producer_id
        self._requests = Codec(ProductionRequest)
        self._ledger = Codec(LedgerEntry)

    def request(self, observation: Observation, now_ms: int) -> Message:
        """A request's message.

        Raises:
            Exception: something in it has no form in the event; which, it says.
        """
        micros = _micros(observation.event_time)
        record = {
            "request_id": observation.request_id,
            "event_time": micros,
            "model": self._subject.model,
            "model_version": self._subject.model_version,
            "entity_id": observation.entity_id,
            "features": _fields(Features.of(observation.features)),
            "prediction": None if observation.prediction is None else _prediction(observation.prediction),
            "latency_ms": None if observation.latency_ms is None else float(observation.latency_ms),
            "segments": _texts("segment", observation.segments),
            "context": _texts("context", observation.context),
            "sampling_rate": observation.sampling_rate,
            "producer_id": self._producer_id,
            "sequence": observation.sequence,
        }
        return Message(
            self._requests.encode_record(record),
            observation.entity_id or observation.request_id,
            # A broker refuses the whole batch around a message from the future; 0 is "now" to librdkafka.
            max(1, min(micros // 1000, now_ms)),
        )

    def ledger(self, entry: LedgerEntry) -> Message:
        """The message of a ledger entry."""
        return Message(self._ledger.encode(entry), entry.producer_id, _micros(entry.recorded_at) // 1000)


def _micros(time: int | datetime) -> int:
    if isinstance(time, int):
        return time
    # Without a zone Python takes a time as local; events are UTC, and so is what `utcnow` returns.
    return ((time.replace(tzinfo=UTC) if time.utcoffset() is None else time) - _EPOCH) // _MICROSECOND


def _fields(event: Features | Prediction) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__slots__}


def _prediction(value: Any) -> tuple[str, dict[str, Any]]:
    # With its branch of the union named, fastavro need not find it out: a sixth of a request's encoding.
    return _PREDICTION, _fields(Prediction.of(value))


def _texts(what: str, values: Mapping[str, Any] | None) -> dict[str, str]:
    """Names and texts; a value that is not known (None) is left out."""
    return {name: _text(what, name, value) for name, value in (values or {}).items() if value is not None}


def _text(what: str, name: str, value: Any) -> str:
    if isinstance(value, (str, int)):
        return label_text(value)
    raise TypeError(f"{what} {name!r}: must be text, not {type(value).__name__}")
