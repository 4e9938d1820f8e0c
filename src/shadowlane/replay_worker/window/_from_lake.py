"""What a window comes to in the lake's archive: settled at one version, and found again at a later start."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import cast

from confluent_kafka import Message

from shadowlane.errors import LakeError, SettingsError
from shadowlane.lake import Lake, Location, VersionGoneError
from shadowlane.replay_worker._plan import TimeRange, WorkerPlan
from shadowlane.replay_worker.archive import Archive, Choice, Covered, Spans
from shadowlane.replay_worker.window._record import LakeVersion, Position, Record, fingerprint
from shadowlane.replay_worker.window._slices import Archived, Slice
from shadowlane.replay_worker.window._supply import Settled
from shadowlane.replay_worker.window._times import Window, first_of

log = logging.getLogger(__name__)

_LAST = 2**63 - 1


class ArchivedRun:
    """A run that reads one topic's archive in a lake."""

    def __init__(self, plan: WorkerPlan, lake: Lake, topic: str) -> None:
        self._plan, self._lake, self._topic = plan, lake, topic

    def settle(self, window: Window, kafka: Mapping[int, Slice]) -> Settled:
        """What the archive holds of a window now, beside what Kafka says of it, by partition.

        Raises:
            LakeError: there is no archive of this topic in this lake.
        """
        archive = self._archive(window.times, list(kafka))
        found = archive.find({each: _asked(window, each) for each in kafka})
        spans = {each: found.places.ends(each) or (0, 0) for each in kafka}
        covered = archive.covered(spans)
        slices = []
        for partition, (start, end) in spans.items():
            there = covered[partition]
            rows, behind = found.places.count(partition, start, end), kafka[partition].end - there.landed
            archived = Archived(rows, there.holes, there.unread, max(0, behind))
            gone = _gone(window, partition, there, kafka[partition])
            slices.append(Slice(partition, start, end, gone, archived))
        return Settled(slices, self._version(archive), found.days)

    def readable(self, record: Record) -> Record:
        """The record with a version that can be read: its own, or the present one with the same requests.

        Raises:
            SettingsError: the run reads another lake.
            LakeError: its version is gone, and the present one no longer holds all of its requests.
        """
        run, said = self._plan.target.run, record.lake
        if said is None or said.lake != self._fingerprint:
            raise SettingsError(
                f"run {run!r} was begun on another lake than {self._lake}: name that one (--lake), "
                "or choose another name for this run with --run"
            )
        try:
            _count(self._held(record), record)
        except VersionGoneError as gone:
            now = self._archive(record.times, _partitions(record))
            there, wanted = _count(now, record), _rows(record)
            if there != wanted:
                raise LakeError(
                    f"run {run!r} reads version {said.version} of the archive, whose files were removed "
                    f"since, and of its {wanted:,} requests version {now.version}, the present one, holds "
                    f"{there:,}: replay what is there under another name (--run)"
                ) from gone
            log.warning(
                "files of the archive's version %d were removed; going on with version %d, which holds "
                "the same %s requests",
                *(said.version, now.version, f"{wanted:,}"),
            )
            return replace(record, lake=self._version(now))
        return record

    def origin(self, record: Record, reached: Mapping[int, Position]) -> int:
        """The time (milliseconds) of the first request that is left."""
        pieces = self._held(record).find(_left(record, reached)).pieces
        return min((each.since for each in pieces), default=0) // 1000

    def sample(
        self, record: Record, reached: Mapping[int, Position], count: int, looks: int
    ) -> list[Message]:
        """So many messages, from so many places spread evenly over what is left."""
        archive, spans = self._held(record), _left(record, reached)
        found = archive.sample(archive.find(spans).pieces, spans, count, looks)
        return cast("list[Message]", found)  # they have all that is asked of a message

    def _held(self, record: Record) -> Archive:
        version = None if record.lake is None else record.lake.version
        return self._archive(record.times, _partitions(record), version)

    def _archive(self, times: TimeRange, partitions: Sequence[int], version: int | None = None) -> Archive:
        choice = Choice(self._topic, self._plan.target.model, times)
        return Archive(self._lake, choice, partitions, version)

    def _version(self, archive: Archive) -> LakeVersion:
        return LakeVersion(self._fingerprint, archive.version)

    @property
    def _fingerprint(self) -> str:
        return fingerprint(Location.parse(self._lake).url)


def _count(archive: Archive, record: Record) -> int:
    """How many of a run's requests an archive holds; their files are checked on the way."""
    spans = {each.partition: (each.start, each.end) for each in record.slices}
    places = archive.find(spans).places
    return sum(places.count(partition, *span) for partition, span in spans.items())


def _rows(record: Record) -> int:
    return sum(each.archived.rows for each in record.slices if each.archived is not None)


def _left(record: Record, reached: Mapping[int, Position]) -> Spans:
    return {each.partition: (reached[each.partition].offset, each.end) for each in record.slices}


def _partitions(record: Record) -> list[int]:
    return [each.partition for each in record.slices]


def _asked(window: Window, partition: int) -> tuple[int, int]:
    start, end = first_of(window.start, partition), first_of(window.end, partition)
    return (0 if start is None else start, _LAST if end is None else end)


def _gone(window: Window, partition: int, there: Covered, kafka: Slice) -> int | None:
    """Up to which time what was asked for is not there: nothing to be said of it, or all of it (-1)."""
    if there.first is None:
        return -1 if max(there.landed, kafka.end) else None
    offset, milliseconds = there.first
    given = first_of(window.start, partition)
    is_whole = offset == 0 or (given is not None and given >= offset)
    if is_whole or (window.start.moment is not None and milliseconds <= _millis(window.start.moment)):
        return None
    return milliseconds


def _millis(moment: datetime) -> float:
    return moment.timestamp() * 1000
