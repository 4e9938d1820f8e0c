"""Which requests are to go through again: those whose last word is an error."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from threading import Event as Flag
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Message

from shadowlane.kafka import TopicNames, read_to_end
from shadowlane.replay_worker._plan import Target
from shadowlane.replay_worker._results import RAW_LIMIT
from shadowlane.schemas import ShadowComparison, ShadowError
from shadowlane.schemas.columns import ColumnCodec
from shadowlane.settings import KafkaSettings

_ERRORS, _COMPARISONS = ColumnCodec(ShadowError), ColumnCodec(ShadowComparison)
_READ = ("source_partition", "source_offset", "request_id", "event_time", "raw", "stage", "failed_at")

#: Where a request lay in its topic: partition and offset.
Spot = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which errors are meant: those of these stages (none: all), which happened since then."""

    stages: Sequence[str] = ()
    since: datetime | None = None

    def takes(self, failure: Failed) -> bool:
        """Whether this one is meant."""
        in_time = self.since is None or failure.failed_at >= self.since
        return in_time and (not self.stages or failure.stage in self.stages)


class Failed(NamedTuple):
    """A request's last error, and by what to know the request again."""

    stage: str
    failed_at: datetime
    #: The time of the error's message, which is the request's.
    timestamp_ms: int
    request_id: str | None
    event_time: datetime | None
    #: Of a message that could not be read.
    digest: bytes | None

    def is_of(self, message: Message, request_id: str | None) -> bool:
        """Whether this message, with this id where it can be read, is the one that failed."""
        if self.request_id is not None:
            return request_id == self.request_id
        raw = (message.value() or b"")[:RAW_LIMIT]
        return self.digest == _digest(base64.b64encode(raw))


@dataclass(slots=True)
class Failures:
    """The errors of one shadow and run."""

    by_spot: dict[Spot, Failed] = field(default_factory=dict)
    #: Errors of requests that came by another way than this topic: there is nothing to read again.
    elsewhere: int = 0

    def add(self, messages: Sequence[Message], target: Target, topic: str) -> None:
        """Take in what some messages of the errors' topic say; of a request's errors the last one stays."""
        ours = _ours(_ERRORS, messages, target)
        is_there = pc.equal(ours.columns.column("source_topic"), topic)
        here = ours.filter(is_there)
        self.elsewhere += len(ours.messages) - len(here.messages)
        rows = zip(*(here.columns.column(name).to_pylist() for name in _READ), here.messages, strict=True)
        for partition, offset, request_id, event_time, raw, stage, failed_at, message in rows:
            known = self.by_spot.get((partition, offset))
            if known is None or known.failed_at <= failed_at:
                digest = None if raw is None else _digest(raw.encode())
                time = message.timestamp()[1]
                failed = Failed(stage, failed_at, time, request_id, event_time, digest)
                self.by_spot[partition, offset] = failed


def find_failures(
    kafka: KafkaSettings, topics: TopicNames, target: Target, selection: Selection, stop: Flag
) -> Failures:
    """The selected errors that the topic `shadow-errors` holds now."""
    found = Failures()
    for messages in read_to_end(kafka, topics.errors, stop=stop):
        found.add(messages, target, topics.requests)
    found.by_spot = {spot: each for spot, each in found.by_spot.items() if selection.takes(each)}
    return found


def find_compared(
    kafka: KafkaSettings, topics: TopicNames, target: Target, wanted: Mapping[Spot, Failed], stop: Flag
) -> set[Spot]:
    """Which of these requests were compared after all.

    Results carry their request's time, so nothing older than the oldest of these is read.
    """
    if not wanted:
        return set()
    since = min(each.timestamp_ms for each in wanted.values())
    batches = read_to_end(kafka, topics.comparisons, since_ms=since, stop=stop)
    return {spot for spot in _compared(batches, target, topics.requests) if spot in wanted}


def _digest(raw: bytes) -> bytes:
    return sha256(raw).digest()


def _compared(batches: Iterable[Sequence[Message]], target: Target, topic: str) -> Iterator[Spot]:
    for messages in batches:
        columns = _ours(_COMPARISONS, messages, target).columns
        columns = columns.filter(pc.equal(columns.column("source_topic"), topic))
        spots = (columns.column(name).to_pylist() for name in ("source_partition", "source_offset"))
        yield from zip(*spots, strict=True)


class _Ours(NamedTuple):
    """The events of one shadow and run, and the messages that they came in."""

    columns: pa.RecordBatch
    messages: Sequence[Message]

    def filter(self, chosen: pa.BooleanArray) -> _Ours:
        """Some of them."""
        chosen = pc.fill_null(chosen, fill_value=False)
        kept = zip(self.messages, chosen.to_pylist(), strict=True)
        return _Ours(self.columns.filter(chosen), [message for message, is_kept in kept if is_kept])


def _ours(
    codec: ColumnCodec[ShadowError] | ColumnCodec[ShadowComparison],
    messages: Sequence[Message],
    target: Target,
) -> _Ours:
    decoded = codec.decode([message.value() for message in messages])
    batch = decoded.batch
    chosen = pc.equal(batch.column("model"), target.model)
    for name, value in (("shadow", target.shadow), ("run", target.run)):
        chosen = pc.and_(chosen, pc.equal(batch.column(name), value))
    return _Ours(batch, [messages[index] for index in decoded.kept]).filter(chosen)
