"""What an aggregator has done since its start."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from shadowlane.health.histogram import Histogram

#: Seconds of a commit: from a small one on a local disk to an object store that is asked again and again.
_SECONDS = (
    *(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5),
    *(0.75, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)


@dataclass(slots=True)
class Landings:
    """What has landed; each is by table, where nothing else is said."""

    rows: dict[str, int] = field(default_factory=dict)
    #: Bytes of the messages that became these rows.
    bytes: Counter[str] = field(default_factory=Counter)
    #: Messages that could not be read, by the table where they do not stand.
    dead_letters: Counter[str] = field(default_factory=Counter)
    #: The seconds that each landing took from messages to table, and those of its commit, files included.
    landings: dict[str, Histogram] = field(default_factory=dict)
    commits: dict[str, Histogram] = field(default_factory=dict)
    last_commit: dict[str, float] = field(default_factory=dict)
    #: Messages that were read and let go before they landed, to be read again.
    reread: Counter[str] = field(default_factory=Counter)
    #: Offsets that Kafka had dropped before they were read.
    skipped: Counter[str] = field(default_factory=Counter)
    #: How often, and for how many seconds, the lake was not to be written, by reason.
    pauses: Counter[str] = field(default_factory=Counter)
    paused_seconds: Counter[str] = field(default_factory=Counter)
    #: How many offsets of those to be caught up with are read, and how many there are.
    progress: tuple[int, int] = (0, 0)

    def add(self, table: str, rows: int, size: int) -> None:
        """Count rows that were committed, and the bytes of their messages."""
        if rows:
            self.rows[table] = self.rows.get(table, 0) + rows
            self.bytes[table] += size

    def time(self, table: str, whole: float, commit: float, now: float) -> None:
        """Count a landing and its commit."""
        self.landings.setdefault(table, Histogram(_SECONDS)).add_one(whole)
        self.commits.setdefault(table, Histogram(_SECONDS)).add_one(commit)
        self.last_commit[table] = now

    def __str__(self) -> str:
        counts = [f"{rows:,} {table}" for table, rows in sorted(self.rows.items())]
        counts += [f"{self.dead_letters.total():,} dead letters"] if self.dead_letters else []
        return ", ".join(counts) or "nothing"

    def to_dict(self) -> dict[str, object]:
        """As plain values."""
        return {
            "rows": dict(sorted(self.rows.items())),
            "dead_letters": self.dead_letters.total(),
            "commits": sum(sum(each.counts) for each in self.commits.values()),
            "skipped_offsets": self.skipped.total(),
            "paused_seconds": round(self.paused_seconds.total(), 3),
        }
