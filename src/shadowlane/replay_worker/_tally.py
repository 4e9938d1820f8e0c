"""What a worker has done since its start: the one place for the log, the ledger and the metrics."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import pyarrow as pa

from shadowlane.health.histogram import SECONDS, SIZES, Histogram

_seconds = partial(Histogram, SECONDS)
_MILLISECONDS = 1000.0
#: So many names of features are counted apart, and so much of each is kept: names come from data.
_NAMES, _NAME_LENGTH = 500, 100
_OTHER = "…other"


@dataclass(slots=True)
class Tally:
    """Counts of what is committed, and of what happened beside it: plain numbers, fit to be sent."""

    requests: int = 0
    compared: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    #: Requests that retention deleted before they were read.
    lost: int = 0
    #: Messages of other models, which were not for us.
    skipped: int = 0
    missing_features: Counter[str] = field(default_factory=Counter)
    unexpected_features: Counter[str] = field(default_factory=Counter)
    #: How often the model's process was started again.
    restarts: int = 0
    #: Attempts of the model to write or to connect that were denied, by kind.
    denied: Counter[str] = field(default_factory=Counter)
    #: Peak memory of the model's process.
    memory_mb: float | None = None
    #: How long the model took to answer, by the basis of the figure.
    predict: dict[str, Histogram] = field(default_factory=dict)
    batch_sizes: Histogram = field(default_factory=partial(Histogram, SIZES))
    batch_seconds: Histogram = field(default_factory=_seconds)
    transaction_seconds: Histogram = field(default_factory=_seconds)
    #: Transactions that were aborted; their batches were done again.
    aborted: int = 0
    #: The partitions that are ours now (None: the group has not said yet), and how many messages wait
    #: in each (None: Kafka has not said yet).
    waiting: dict[int, int | None] | None = None
    #: The time (seconds since 1970) of the last message that was dealt with, by partition.
    reached: dict[int, float] = field(default_factory=dict)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def failed(self) -> int:
        """Requests that became an error."""
        return self.errors.total()

    def time(self, answers: pa.RecordBatch) -> None:
        """Take in how long the model took for each answer."""
        bases = answers.column("basis").dictionary_encode()
        codes = bases.indices.to_numpy(zero_copy_only=False)  # a null is NaN, and so of no basis
        seconds = answers.column("latency_ms").to_numpy(zero_copy_only=False) / _MILLISECONDS
        for code, basis in enumerate(bases.dictionary.to_pylist()):
            self.predict.setdefault(basis, _seconds()).add(seconds[codes == code])

    def merge(self, other: Tally) -> None:
        """Take in what another worker of the same work has done."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for histogram in ("batch_sizes", "batch_seconds", "transaction_seconds"):
            getattr(self, histogram).merge(getattr(other, histogram))
        for basis, each in other.predict.items():
            self.predict.setdefault(basis, _seconds()).merge(each)
        if other.waiting is not None:
            self.waiting = (self.waiting or {}) | other.waiting
        for partition, time in other.reached.items():  # one that moved on was left behind by the other
            self.reached[partition] = max(time, self.reached.get(partition, 0.0))
        self.memory_mb = max(filter(None, (self.memory_mb, other.memory_mb)), default=None)


_SUMS = (
    *("requests", "compared", "errors", "lost", "skipped", "restarts", "denied", "aborted"),
    *("missing_features", "unexpected_features"),
)


def total(tallies: Iterable[Tally]) -> Tally:
    """What several workers have done together."""
    whole = Tally()
    for each in tallies:
        whole.merge(each)
    return whole


def count_names(counts: Counter[str], found: Mapping[str, int]) -> None:
    """Count these names of features too; past so many that nobody would read them, together."""
    for name, count in found.items():
        short = name[:_NAME_LENGTH]
        counts[short if short in counts or len(counts) < _NAMES else _OTHER] += count


class Recent:
    """How many of the latest requests the shadow failed on; what no model could answer does not count."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._batches: deque[tuple[int, int]] = deque()
        self.failed = self.seen = 0
        #: The longest row of failures in the last batch, with those of the batches before that it continues.
        self.in_a_row = 0
        self._running = 0

    def add(self, failed: Sequence[int], seen: int) -> None:
        """Count a batch and which of its requests failed; forget those that the window has left behind."""
        if not seen:  # of other models' messages there may be any number between two of ours
            return
        self._batches.append((len(failed), seen))
        self.failed, self.seen = self.failed + len(failed), self.seen + seen
        while self.seen - self._batches[0][1] >= self._window:
            old_failed, old_seen = self._batches.popleft()
            self.failed, self.seen = self.failed - old_failed, self.seen - old_seen
        self._count_row(failed, seen)

    def _count_row(self, failed: Sequence[int], seen: int) -> None:
        running, following, self.in_a_row = self._running, 0, 0
        for place in sorted(failed):
            running = running + 1 if place == following else 1
            following = place + 1
            self.in_a_row = max(self.in_a_row, running)
        self._running = running if following == seen else 0
