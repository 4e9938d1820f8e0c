"""What a replay would take, from a sample of its requests that is replayed and sent nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from threading import Event as Flag
from time import monotonic
from typing import Any

from confluent_kafka import Message

from shadowlane.kafka import TopicNames
from shadowlane.replay_worker._plan import Target, WorkerPlan
from shadowlane.replay_worker._replay import Outcome, Replay, open_replay
from shadowlane.replay_worker.window._how import How
from shadowlane.replay_worker.window._progress import progress
from shadowlane.replay_worker.window._record import Position, Record
from shadowlane.replay_worker.window._run import opened, settle, without_group
from shadowlane.replay_worker.window._slices import Slice, Topic
from shadowlane.replay_worker.window._speed import Speed
from shadowlane.replay_worker.window._summary import by_day, clipped, scope_of
from shadowlane.replay_worker.window._supply import Supply
from shadowlane.replay_worker.window._times import Window
from shadowlane.settings import KafkaSettings

_SAMPLE = 600
# A look at an offset takes some 50 ms.
_LOOKS = 30
_WARM_UP = 20
_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What a replay of some messages came to."""

    messages: int = 0
    #: Of these: requests of the model and the window.
    requests: int = 0
    #: Of these: what the shadow was asked, how long that took, and what it failed on.
    asked: int = 0
    failed: int = 0
    seconds: float = 0.0
    compared: int = 0
    bytes: int = 0

    def __str__(self) -> str:
        return (
            f"in the sample {self.requests:,} of {self.messages:,} messages are such, "
            f"and the shadow failed on {self.failed:,} of {self.asked:,}"
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is left of a run, what that would take, and how far both are known."""

    target: Target
    record: Record
    messages: int
    sample: Sample
    clipped: Sequence[str]
    how: How
    #: Requests that the lake holds of each day; known of a new run.
    days: Mapping[date, int] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """Requests of the model and the window."""
        sample = self.sample
        return round(self.messages * sample.requests / sample.messages) if sample.messages else 0

    @property
    def seconds(self) -> float | None:
        """How long it takes with so many workers, each with a core of its own; None: nobody can say."""
        sample, speed = self.sample, self.how.speed
        if not sample.asked:
            return None if self.messages else 0.0
        workers = max(1, min(self.how.processes, sum(each.size > 0 for each in self.record.slices)))
        return max(self.requests * sample.seconds / sample.asked / workers, _paced(speed, self))

    @property
    def bytes(self) -> int | None:
        """What the comparisons take in Kafka, before it compresses them; None: nobody can say."""
        sample = self.sample
        if not sample.compared:
            return None if self.messages else 0
        return round(self.requests * sample.compared / sample.asked * sample.bytes / sample.compared)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        sample = self.sample
        return {
            "dry_run": True,
            **scope_of(self.target, self.record),
            "clipped": list(self.clipped),
            **by_day(self.days),
            "messages": self.messages,
            "requests": self.requests,
            "seconds": None if self.seconds is None else round(self.seconds, 1),
            "bytes": self.bytes,
            "sample": {
                "messages": sample.messages,
                "requests": sample.requests,
                "asked": sample.asked,
                "failed": sample.failed,
                "milliseconds_a_request": _each(sample.seconds * 1000, sample.asked),
                "bytes_a_comparison": _each(sample.bytes, sample.compared),
            },
            "speed": str(self.how.speed),
            "processes": self.how.processes,
        }


def estimate_replay(
    plan: WorkerPlan, window: Window, kafka: KafkaSettings, how: How | None = None, *, stop: Flag
) -> Estimate:
    """Say what a replay would take. The model is loaded and asked; nothing is written to Kafka.

    Raises:
        SettingsError: the run's name is another window's.
        ModelError: the model cannot be loaded.
    """
    how, kafka = how or How(), without_group(kafka)
    with opened(plan, kafka, stop) as (topic, store):
        supply = Supply(plan, how, topic)
        record, reached, days = settle(plan, window, how, store, supply, topic.partitions())
        now = progress(record.slices, reached)
        if record.lake is None:
            messages = _look(topic, record.slices, reached)
        else:
            record = supply.readable(record)
            messages = supply.sample(record, reached, _SAMPLE, _LOOKS)
    sample = Sample()
    with open_replay(replace(plan, window=record.times), TopicNames(), "dry-run", stop.wait) as replay:
        if messages:
            sample = _try(replay, messages)
    return Estimate(plan.target, record, now.total - now.done, sample, clipped(window, record), how, days)


def _look(topic: Topic, slices: Sequence[Slice], reached: Mapping[int, Position]) -> list[Message]:
    """Some messages of each partition, from places spread evenly over what is left of it."""
    left = sorted(
        (each for each in slices if reached[each.partition].offset < each.end),
        key=lambda each: reached[each.partition].offset - each.end,
    )[:_LOOKS]
    looks = max(1, _LOOKS // max(1, len(left)))
    count = max(1, _SAMPLE // (looks * max(1, len(left))))
    found: dict[tuple[int, int], Message] = {}
    for each in left:
        first = reached[each.partition].offset
        for look in range(looks):
            offset = first + (each.end - first) * (2 * look + 1) // (2 * looks)
            for message in topic.peek(each.partition, offset, count):
                if (message.offset() or 0) < each.end:
                    found[each.partition, message.offset() or 0] = message
    return [found[place] for place in sorted(found)]


def _try(replay: Replay, messages: Sequence[Message]) -> Sample:
    """Replay them: the first ones to warm up, then all of them, or as many as a few seconds allow."""
    whole = replay.run(messages[:_WARM_UP], _give_up())
    begun = monotonic()
    outcome = replay.run(messages, _give_up())
    seconds = monotonic() - begun
    outcome = outcome if outcome.asked else whole
    comparisons = outcome.outgoing[0].values
    return Sample(
        messages=outcome.taken,
        requests=_ours(outcome),
        asked=outcome.asked,
        failed=len(outcome.failed),
        seconds=seconds,
        compared=outcome.compared,
        bytes=sum(map(len, comparisons)),
    )


def _give_up() -> Any:
    deadline = monotonic() + _SECONDS
    return lambda: monotonic() > deadline


def _ours(outcome: Outcome) -> int:
    return outcome.compared + outcome.errors.total()


def _paced(speed: Speed, estimate: Estimate) -> float:
    """How long the pace alone makes it."""
    times = estimate.record.times
    if speed.kind == "rate":
        return estimate.requests / speed.factor
    if speed.kind == "original" and times.start and times.end:
        end = min(times.end, estimate.record.settled_at)
        return max(0.0, (end - times.start).total_seconds() / speed.factor)
    return 0.0


def _each(whole: float, count: int) -> float | None:
    return round(whole / count, 3) if count else None
