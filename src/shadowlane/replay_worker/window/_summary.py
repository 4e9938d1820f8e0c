"""What a replay of a window came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from shadowlane.replay_worker._plan import Target, TimeRange
from shadowlane.replay_worker.window._progress import Progress
from shadowlane.replay_worker.window._record import Record
from shadowlane.replay_worker.window._slices import Slice
from shadowlane.replay_worker.window._times import Window, first_of, written


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run covers and what came of it, over all its starts; the time is of this start."""

    target: Target
    record: Record
    progress: Progress
    #: Where it covers less than was asked for: a sentence each.
    clipped: Sequence[str]
    finished: bool
    #: It was finished before this start.
    already: bool = False
    #: Requests that the lake held of each day; known where the run was settled at this start.
    days: Mapping[date, int] = field(default_factory=dict)

    @property
    def covered(self) -> TimeRange:
        """The times of which all requests were there to be read, at both ends that are times."""
        times, slices = self.record.times, self.record.slices
        late = _late(slices)
        start = max((_moment(max(late)), times.start)) if late and times.start else times.start
        return TimeRange(start, times.end and min(times.end, self.record.settled_at))

    @property
    def is_cut(self) -> bool:
        """Whether Kafka has deleted some of it, which the lake may hold."""
        return self.record.lake is None and any(each.deleted_before for each in self.record.slices)

    @property
    def next_command(self) -> str:
        """What shows the figures."""
        target = self.target
        return f"shadowlane report --model {target.model} --shadow {target.shadow} --run {target.run}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        counts, covered = self.progress.counts, self.covered
        return {
            **scope_of(self.target, self.record),
            "finished": self.finished,
            "done_already": self.already,
            "covered": {"from": _written(covered.start), "to": _written(covered.end)},
            "clipped": list(self.clipped),
            **by_day(self.days),
            "messages": {"total": self.progress.total, "done": self.progress.done},
            "requests": counts.requests,
            "compared": counts.compared,
            "errors": dict(sorted(counts.errors.items())),
            "other_models": counts.others,
            "outside_the_window": counts.outside,
            "lost": counts.lost,
            "seconds": round(self.progress.seconds, 3),
            "messages_per_second": round(self.progress.rate, 1),
            "next": self.next_command,
        }


def clipped(window: Window, record: Record) -> list[str]:
    """Where less is there than was asked for."""
    if record.is_ahead and record.times.start is not None:
        return [f"it begins at {written(record.times.start)}, which is in the future: nothing was replayed"]
    return [*_late_start(window, record), *_early_end(window, record), *_not_landed(record)]


def _late_start(window: Window, record: Record) -> list[str]:
    said = []
    partial = _late(record.slices)
    if partial:
        why = "Kafka has deleted what was before" if record.lake is None else "the archive begins there"
        said.append(
            f"asked from {_asked(window, record)}; {_of(partial, record.slices)} begin later, as {why}: "
            f"the earliest there is {written(_moment(min(partial)))}, and all "
            f"partitions are complete from {written(_moment(max(partial)))} on"
        )
    gone = [each for each in record.slices if each.deleted_before == -1]
    if gone and record.lake is None:
        said.append(f"{_of(gone, record.slices)} hold nothing any more: Kafka has deleted all that was there")
    elif gone:
        said.append(f"of {_of(gone, record.slices)} the archive holds nothing")
    return said


def _early_end(window: Window, record: Record) -> list[str]:
    said = []
    if record.times.end is not None and record.times.end > record.settled_at:
        said.append(
            f"asked to {written(record.times.end)}, which was in the future; "
            f"it ends with what was there at {written(record.settled_at)}"
        )
    short = [each for each in record.slices if (first_of(window.end, each.partition) or 0) > each.end]
    if short:
        said.append(f"asked to offset {window.end.text}; {_of(short, record.slices)} end before that")
    return said


def _not_landed(record: Record) -> list[str]:
    """What the archive lacks between its beginning and the window's end."""
    there = [each.archived for each in record.slices if each.archived is not None]
    behind, holes, unread = (
        sum(getattr(each, name) for each in there) for name in ("behind", "holes", "unread")
    )
    said = []
    if behind:
        said.append(
            f"{behind:,} messages of the topic had not landed: those of the window among them are not in it"
        )
    if holes:
        said.append(
            f"{holes:,} offsets between its requests are in no table: Kafka dropped their messages before "
            "they landed (aggregate --accept-gaps), or they hold none (the ends of transactions)"
        )
    if unread:
        said.append(f"{unread:,} messages between its requests nobody could read: they are in dead_letters")
    return said


def by_day(days: Mapping[date, int]) -> dict[str, Any]:
    """Requests that the lake holds, by day, as JSON has it; nothing where they were not counted."""
    return {"days": {day.isoformat(): count for day, count in days.items()}} if days else {}


def _late(slices: Sequence[Slice]) -> list[int]:
    """From when on the partitions hold messages of which earlier ones were deleted."""
    return [each.deleted_before for each in slices if each.deleted_before not in (None, -1)]


def _asked(window: Window, record: Record) -> str:
    return written(record.times.start) if record.times.start else f"offset {window.start.text}"


def _of(some: Sequence[object], slices: Sequence[Slice]) -> str:
    return f"{len(some)} of {len(slices)} partitions"


def scope_of(target: Target, record: Record) -> dict[str, Any]:
    """What a run is about, as JSON has it."""
    return {
        "model": target.model,
        "shadow": target.shadow,
        "run": target.run,
        "asked": {"from": record.start, "to": record.end},
        "window": {"from": _written(record.times.start), "to": _written(record.times.end)},
        "settled_at": written(record.settled_at),
        "source": "kafka" if record.lake is None else "lake",
        **({} if record.lake is None else {"lake_version": record.lake.version}),
    }


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else written(moment)
