"""What a replay of a window came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
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

    @property
    def covered(self) -> TimeRange:
        """The times of which all requests were there to be read, at both ends that are times."""
        times, slices = self.record.times, self.record.slices
        late = _late(slices)
        start = max((_moment(max(late)), times.start)) if late and times.start else times.start
        return TimeRange(start, times.end and min(times.end, self.record.settled_at))

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
    return [*_late_start(window, record), *_early_end(window, record)]


def _late_start(window: Window, record: Record) -> list[str]:
    said = []
    partial = _late(record.slices)
    if partial:
        said.append(
            f"asked from {_asked(window, record)}; {_of(partial, record.slices)} begin later, as Kafka has "
            f"deleted what was before: the earliest there is {written(_moment(min(partial)))}, and all "
            f"partitions are complete from {written(_moment(max(partial)))} on"
        )
    gone = [each for each in record.slices if each.deleted_before == -1]
    if gone:
        said.append(f"{_of(gone, record.slices)} hold nothing any more: Kafka has deleted all that was there")
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
    }


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else written(moment)
