"""Where the callers' threads leave requests for the background thread; nothing here waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count

from shadowlane.producer._encode import Observation
from shadowlane.producer._stats import Counts


class Intake:
    """A bounded queue that counts what it takes and what it does not.

    Args:
        counts: Where to count.
        size: Requests that may wait.
        most_bytes: Memory that they may take together, by their own estimates.
        on_first: Called at the first request: a process that serves nothing (a master that only
            forks) gets no thread and no connection.
    """

    def __init__(self, counts: Counts, size: int, most_bytes: int, on_first: Callable[[], None]) -> None:
        self.counts, self._size, self._most_bytes = counts, size, most_bytes
        self.sequence = count()
        self.closed = False
        #: Why requests could not be taken, for the background thread to say: a log may block its caller.
        self.complaints: deque[str] = deque(maxlen=8)
        self._queue: deque[Observation] = deque()
        # Each has one writer, so that taking needs no lock: callers, who hold it, and the background thread.
        self._bytes_in = self._bytes_out = 0
        self._on_first: Callable[[], None] | None = on_first

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_half_full(self) -> bool:
        """Whether the background thread should hurry."""
        waiting = self._bytes_in - self._bytes_out
        return len(self._queue) >= self._size / 2 or waiting >= self._most_bytes / 2

    def put(self, observation: Observation) -> None:
        """Take a request, or drop it where there is no room."""
        counts = self.counts
        with counts.lock:
            counts.observed += 1
            if self.closed:
                counts.drop("closed")
            elif (
                len(self._queue) >= self._size
                or (bytes_in := self._bytes_in + observation.size) - self._bytes_out > self._most_bytes
            ):
                counts.drop("queue_full")
            else:
                self._bytes_in = bytes_in
                self._queue.append(observation)
                if self._on_first:
                    self._first()

    def sampled_out(self) -> None:
        """Count a request that sampling leaves out."""
        with self.counts.lock:
            self.counts.observed += 1
            self.counts.sampled_out += 1
            self._first()

    def primary_failed(self) -> None:
        """Count a request that the primary did not answer."""
        with self.counts.lock:
            self.counts.observed += 1
            self.counts.primary_failed += 1
            self._first()

    def refuse(self, reason: str, why: str) -> None:
        """Count a request that cannot be published, and why."""
        with self.counts.lock:
            self.counts.observed += 1
            self.counts.drop(reason)
            self._first()
        self.complaints.append(why)

    def take(self) -> Observation | None:
        """The request that has waited longest."""
        if not self._queue:
            return None
        observation = self._queue.popleft()
        self._bytes_out += observation.size
        return observation

    def put_back(self, observation: Observation) -> None:
        """Have it wait again, as the first."""
        self._bytes_out -= observation.size
        self._queue.appendleft(observation)

    def close(self) -> None:
        """Take nothing more."""
        with self.counts.lock:
            self.closed, self._on_first = True, None

    def give_up(self) -> None:
        """Drop all that still waits."""
        with self.counts.lock:
            if self._queue:
                self.counts.drop("closed", len(self._queue))
                self._queue.clear()
                self._bytes_out = self._bytes_in

    def _first(self) -> None:
        if self._on_first:
            on_first, self._on_first = self._on_first, None
            on_first()
