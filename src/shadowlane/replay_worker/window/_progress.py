"""How far a replay is, as values: what a bar shows, and what a line says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shadowlane.replay_worker.window._record import Counts, Position
from shadowlane.replay_worker.window._slices import Slice

_MINUTE, _HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class Progress:
    """How far all partitions are together."""

    #: Offsets, as the window's ends were settled; not each of them need hold a message. Of an archive:
    #: requests.
    total: int
    done: int
    counts: Counts
    seconds: float = 0.0
    #: How much was done when this start of the run began.
    before: int = 0

    @property
    def rate(self) -> float:
        """Messages a second since this start."""
        return (self.done - self.before) / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until the end at this rate; None: nobody can say yet."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None

    @property
    def share(self) -> float:
        """How much of it is done."""
        return self.done / self.total if self.total else 1.0

    @property
    def words(self) -> str:
        """How fast, how long still, and what came of it."""
        left, counts = self.seconds_left, self.counts
        time = f", {span(left)} left" if left is not None and self.done < self.total else ""
        return (
            f"{self.rate:,.0f}/s{time}: {counts.requests:,} requests, {counts.compared:,} compared, "
            f"{counts.errors.total():,} errors"
        )

    def __str__(self) -> str:
        return f"{self.share:4.0%} of {self.total:,} messages, {self.words}"


def progress(
    slices: Sequence[Slice], reached: Mapping[int, Position], seconds: float = 0.0, before: int = 0
) -> Progress:
    """From the partitions' positions; the archive knows how many requests there are, Kafka only offsets."""
    counts = sum((each.counts for each in reached.values()), Counts())
    archived = [each.archived.rows for each in slices if each.archived is not None]
    read = sum(min(reached[each.partition].offset, each.end) - each.start for each in slices)
    return Progress(
        total=sum(archived) if archived else sum(each.size for each in slices),
        done=counts.requests if archived else read,
        counts=counts,
        seconds=seconds,
        before=before,
    )


def span(seconds: float) -> str:
    """A length of time as people say it."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02d}s"
    return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}m"
