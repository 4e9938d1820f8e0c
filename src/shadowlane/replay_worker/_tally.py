"""What a worker has done since its start: the one place for the log, the ledger and the metrics."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Counts of what is committed, and of what happened beside it."""

    requests: int = 0
    compared: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    #: Requests that retention deleted before they were read.
    lost: int = 0
    missing_features: Counter[str] = field(default_factory=Counter)
    unexpected_features: Counter[str] = field(default_factory=Counter)
    restarts: int = 0

    @property
    def failed(self) -> int:
        """Requests that became an error."""
        return self.errors.total()


class Recent:
    """How many of the latest requests the shadow failed on; what no model could answer does not count."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._batches: deque[tuple[int, int]] = deque()
        self.failed = self.seen = 0

    def add(self, failed: int, seen: int) -> None:
        """Count a batch, and forget those that the window has left behind."""
        self._batches.append((failed, seen))
        self.failed, self.seen = self.failed + failed, self.seen + seen
        while self.seen - self._batches[0][1] >= self._window:
            old_failed, old_seen = self._batches.popleft()
            self.failed, self.seen = self.failed - old_failed, self.seen - old_seen
