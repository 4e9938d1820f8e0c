"""Where a run's requests are read, Kafka or the lake's archive, and what of its window is there.

What knows the archive is imported where it is asked for: a replay from Kafka needs nothing of the lake's.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from confluent_kafka import Message

from shadowlane.replay_worker._plan import WorkerPlan
from shadowlane.replay_worker.window._how import How
from shadowlane.replay_worker.window._record import LakeVersion, Position, Record
from shadowlane.replay_worker.window._slices import Slice, Topic, resolve
from shadowlane.replay_worker.window._times import Window

if TYPE_CHECKING:
    from shadowlane.replay_worker.window._from_lake import ArchivedRun

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settled:
    """What a new run covers; from the lake also which version, and how many requests of each day."""

    slices: Sequence[Slice]
    lake: LakeVersion | None = None
    days: Mapping[date, int] = field(default_factory=dict)


class Supply:
    """Finds a run's requests where it reads them."""

    def __init__(self, plan: WorkerPlan, how: How, topic: Topic) -> None:
        self._plan, self._how, self._topic = plan, how, topic

    def settle(self, window: Window) -> Settled:
        """What there is of a window now.

        Raises:
            LakeError: the lake is asked for, and holds no requests of this topic.
        """
        how, slices = self._how, resolve(self._topic, window, self._how.margin)
        is_cut = any(each.deleted_before is not None for each in slices)
        if how.source == "kafka" or (how.source == "auto" and not is_cut):
            log.info("reading Kafka%s", ", which holds all of the window" if how.source == "auto" else "")
            return Settled(slices)
        why = ": Kafka no longer holds all of the window" if how.source == "auto" else ""
        log.info("reading the archive in %s%s", how.lake, why)
        return self._archived.settle(window, {each.partition: each for each in slices})

    def objection(self, record: Record) -> str | None:
        """Why a run that was begun elsewhere cannot go on as it is asked to."""
        begun = "kafka" if record.lake is None else "lake"
        if self._how.source in ("auto", begun):
            return None
        where = "Kafka" if record.lake is None else "the lake's archive"
        return (
            f"run {self._plan.target.run!r} was begun from {where}: go on with --source {begun}, "
            "or choose another name for this one with --run"
        )

    def readable(self, record: Record) -> Record:
        """The record, with a version of the archive that can be read."""
        return record if record.lake is None else self._archived.readable(record)

    def origin(self, record: Record, slices: Sequence[Slice], reached: Mapping[int, Position]) -> int:
        """The time (milliseconds) of the first request that is left."""
        if record.lake is not None:
            return self._archived.origin(record, reached)
        found = [self._topic.peek(each.partition, reached[each.partition].offset, 1) for each in slices]
        return min((messages[0].timestamp()[1] for messages in found if messages), default=0)

    def sample(
        self, record: Record, reached: Mapping[int, Position], count: int, looks: int
    ) -> list[Message]:
        """So many messages of the archive, from so many places spread evenly over what is left."""
        return self._archived.sample(record, reached, count, looks)

    @property
    def _archived(self) -> ArchivedRun:
        from shadowlane.replay_worker.window._from_lake import ArchivedRun  # noqa: PLC0415 - the lake's extra

        return ArchivedRun(self._plan, self._how.lake, self._topic.name)
