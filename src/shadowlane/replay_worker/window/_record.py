"""What a run covers, settled at its first start, and how far it is: kept in Kafka, beside its offsets.

A group of its own holds the plan: for each partition its end as the offset, and the rest as the commit's
metadata. The run's own group holds how far it is: offsets that move in the same transactions as the
results, and as their metadata what was counted up to there. So both survive whatever is killed, counts
are exact, and whoever has the run's name has its plan.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar

from confluent_kafka import Consumer, TopicPartition
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from shadowlane.errors import BrokerUnreachableError, SettingsError
from shadowlane.kafka import make_consumer, mapped
from shadowlane.replay_worker._plan import TimeRange, WorkerPlan
from shadowlane.replay_worker.window._slices import Archived, Slice
from shadowlane.replay_worker.window._times import Window
from shadowlane.settings import KafkaSettings

T = TypeVar("T")

_TIMEOUT = 30.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True)
class Counts:
    """What came of the messages up to an offset; plain numbers, as they travel in a commit."""

    compared: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    #: Other models' requests, and those of another time.
    others: int = 0
    outside: int = 0
    #: Offsets that retention deleted before they were read.
    lost: int = 0

    @property
    def requests(self) -> int:
        """Requests of the window."""
        return self.compared + self.errors.total()

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.compared + other.compared,
            self.errors + other.errors,
            self.others + other.others,
            self.outside + other.outside,
            self.lost + other.lost,
        )

    @classmethod
    def of(cls, text: str | None) -> Self:
        """From a commit's metadata; where there is none, nothing was counted."""
        try:
            values = json.loads(text or "{}")
            return cls(**(values | {"errors": Counter(values.get("errors", {}))}))
        except (ValueError, TypeError, AttributeError):  # another program's commit
            return cls()

    def __str__(self) -> str:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return json.dumps(values, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition is, and what was counted on the way."""

    offset: int
    counts: Counts = field(default_factory=Counts)


Positions = Mapping[int, Position]


@dataclass(frozen=True, slots=True)
class LakeVersion:
    """Which lake a run reads, by a fingerprint of its place, and which version of the archive."""

    lake: str
    version: int


@dataclass(frozen=True, slots=True)
class Record:
    """What a run covers: the window as given, and as it was settled at the first start."""

    start: str
    end: str
    times: TimeRange
    settled_at: datetime
    slices: tuple[Slice, ...]
    #: A fingerprint of the model's URI, which may hold a password.
    source: str
    #: How many workers there were at the last start: the next one ends what these may have left open.
    processes: int
    #: The archive that it reads; None: it reads Kafka.
    lake: LakeVersion | None = None

    @classmethod
    def settle(
        cls,
        plan: WorkerPlan,
        window: Window,
        slices: Sequence[Slice],
        processes: int,
        now: datetime,
        lake: LakeVersion | None = None,
    ) -> Self:
        """A new run's."""
        texts = (window.start.text, window.end.text)
        model = fingerprint(plan.source.uri)
        return cls(*texts, window.times, now, tuple(slices), model, processes, lake)

    def objection(self, plan: WorkerPlan, window: Window) -> str | None:
        """Why this is not the same work, if it is not: what the run covers, and what to do."""
        run, another = plan.target.run, "choose another name for this one with --run"
        if (self.start, self.end) != (window.start.text, window.end.text):
            return f"run {run!r} covers {self.start} to {self.end}, not {window}: {another}"
        if self.source != fingerprint(plan.source.uri):
            return f"run {run!r} was begun with a model of another URI: {another}"
        return None

    @property
    def is_ahead(self) -> bool:
        """Whether it begins in the future, as seen when it was settled."""
        return self.times.start is not None and self.times.start > self.settled_at

    def is_done(self, positions: Positions) -> bool:
        """Whether nothing of it is left."""
        return all(positions[each.partition].offset >= each.end for each in self.slices)


def fingerprint(place: str) -> str:
    """Which model or lake it is, without saying where."""
    return hashlib.sha256(place.encode()).hexdigest()[:16]


class RunStore:
    """Reads and writes a run's record and positions."""

    def __init__(self, kafka: KafkaSettings, group: str, topic: str) -> None:
        self._topic, self._group = topic, group
        self._plan = make_consumer(kafka, f"{group}:plan")
        self._run = make_consumer(kafka, group)

    def read(self, run: str, partitions: Sequence[int]) -> Record | None:
        """The run's record, where it has begun.

        Raises:
            SettingsError: it has begun, and Kafka has forgotten with which window.
        """
        found = [each for each in self._committed(self._plan, partitions) if each.offset >= 0]
        values = [(each, json.loads(each.metadata or "{}")) for each in found]
        newest = max((value.get("at", 0) for _, value in values), default=0)
        last = [(each, value) for each, value in values if value.get("at") == newest]
        if last and len(last) == last[0][1]["partitions"]:
            return _record(last)
        if found or any(each.offset >= 0 for each in self._committed(self._run, partitions)):
            raise SettingsError(
                f"run {run!r} has begun, but with which window Kafka has forgotten (it keeps that for its "
                "offsets.retention.minutes): choose another name with --run"
            )
        return None

    def write(self, record: Record) -> None:
        """Keep it: for all partitions in one request, so that it is there whole or not at all."""
        common = {
            "from": record.start,
            "to": record.end,
            "since": _micros(record.times.start),
            "until": _micros(record.times.end),
            "at": _micros(record.settled_at),
            "model": record.source,
            "processes": record.processes,
            "partitions": len(record.slices),
        }
        if record.lake is not None:
            common |= {"lake": record.lake.lake, "version": record.lake.version}
        own = [common | _own(each) for each in record.slices]
        offsets = [
            self._offset(each.partition, each.end, json.dumps(values))
            for each, values in zip(record.slices, own, strict=True)
        ]
        _again(lambda: self._commit(self._plan, offsets))

    def has_begun(self, record: Record) -> bool:
        """Whether anything was replayed under this record."""
        partitions = [each.partition for each in record.slices]
        return any(each.offset >= 0 for each in self._committed(self._run, partitions))

    def positions(self, record: Record) -> dict[int, Position]:
        """How far each partition is."""
        starts = {each.partition: each.start for each in record.slices}
        return positions(self._committed(self._run, list(starts)), starts)

    def finish(self, record: Record, reached: Positions) -> None:
        """Say that it is done: the last offsets of a partition may hold no message to move past."""
        offsets = [
            self._offset(each.partition, each.end, str(reached[each.partition].counts))
            for each in record.slices
        ]
        _again(lambda: self._commit(self._run, offsets))

    def close(self) -> None:
        """Hang up."""
        self._plan.close()
        self._run.close()

    def _commit(self, consumer: Consumer, offsets: list[TopicPartition]) -> None:
        with mapped(f"writing down how far group {self._group} is"):
            consumer.commit(offsets=offsets, asynchronous=False)

    def _offset(self, partition: int, offset: int, metadata: str) -> TopicPartition:
        return TopicPartition(self._topic, partition, offset, metadata)

    def _committed(self, consumer: Consumer, partitions: Sequence[int]) -> list[TopicPartition]:
        return _again(lambda: committed(consumer, self._topic, partitions, _TIMEOUT))


def committed(
    consumer: Consumer, topic: str, partitions: Sequence[int], timeout: float
) -> list[TopicPartition]:
    """What the consumer's group has committed, once what is under way has ended."""
    asked = [TopicPartition(topic, each) for each in partitions]
    with mapped("reading how far the run is"):
        return consumer.committed(asked, timeout=timeout)


def _again(call: Callable[[], T]) -> T:
    """A cluster that has just come up, or is made for the first time, has no coordinator for some seconds."""
    trying = Retrying(
        retry=retry_if_exception_type(BrokerUnreachableError),
        wait=wait_random(0.1, 0.5),
        stop=stop_after_delay(_TIMEOUT),
        reraise=True,
    )
    return trying(call)


def positions(committed: Iterable[TopicPartition], starts: Mapping[int, int]) -> dict[int, Position]:
    """How far each partition is, from its commit; where there is none, at its start."""
    return {
        each.partition: Position(each.offset, Counts.of(each.metadata))
        if each.offset >= 0
        else Position(starts[each.partition])
        for each in committed
    }


def _own(each: Slice) -> dict[str, Any]:
    """What is a slice's own, beside its partition and end."""
    own = {"start": each.start, "deleted": each.deleted_before}
    return own if each.archived is None else own | {"archived": astuple(each.archived)}


def _slice(place: TopicPartition, value: Mapping[str, Any]) -> Slice:
    archived = Archived(*value["archived"]) if "archived" in value else None
    return Slice(place.partition, value["start"], place.offset, value["deleted"], archived)


def _record(found: Sequence[tuple[TopicPartition, Mapping[str, Any]]]) -> Record:
    first = found[0][1]
    slices = [_slice(each, value) for each, value in found]
    return Record(
        start=first["from"],
        end=first["to"],
        times=TimeRange(_moment(first["since"]), _moment(first["until"])),
        settled_at=_moment(first["at"]) or _EPOCH,
        slices=tuple(sorted(slices, key=lambda each: each.partition)),
        source=first["model"],
        processes=first["processes"],
        lake=LakeVersion(first["lake"], first["version"]) if "lake" in first else None,
    )


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else _EPOCH + micros * _MICROSECOND
