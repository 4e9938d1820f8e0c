"""Where the callers' threads leave requests for the background thread; nothing here waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from shadowlane.producer._encode import Deferred, Observation, Result
from shadowlane.producer._stats import Counts
from shadowlane.producer._weights import weight

Item = Observation | Deferred | Result

# So many may wait before they are weighed: they are about to be sent.
_FEW = 64


class Intake:
    """A bounded queue that counts what it takes and what it does not.

    Its bytes are found by the background thread, which weighs what it cannot send at once and drops
    what is too much: weighing in the caller's thread took a third of the caller's time.

    Args:
        counts: Where to count.
        size: Items that may wait.
        most_bytes: Memory that they may take together, by their weights.
        on_first: Called at the first request, and again until it says True: a process that serves
            nothing (a master that only forks) gets no thread and no connection.
    """

    def __init__(self, counts: Counts, size: int, most_bytes: int, on_first: Callable[[], bool]) -> None:
        self.counts, self._size, self._most_bytes = counts, size, most_bytes
        self.closed = False
        #: Why requests could not be taken, for the background thread to say: a log may block its caller.
        self.complaints: deque[str] = deque(maxlen=8)
        self._fresh: deque[Item] = deque()
        self._weighed: deque[tuple[Item, int]] = deque()
        self._bytes = 0
        # So many may be fresh before the next look at what there is room for.
        self._room = 0
        self._lock = counts.lock
        self._on_first: Callable[[], bool] | None = on_first

    def __len__(self) -> int:
        return len(self._weighed) + len(self._fresh)

    def put(self, request: Observation | Deferred) -> bool:
        """Take a request, or drop it where there is no room."""
        counts, fresh = self.counts, self._fresh
        with self._lock:
            # Counted after all that can raise: by who catches it, what is raised is counted, too.
            has_room = len(fresh) < self._room or self._has_room(request)
            if not has_room:
                counts.drop("closed" if self.closed else "queue_full")
                counts.observed += 1
                return False
            counts.observed += 1
            fresh.append(request)
            if self._on_first:
                self._first()
            return True

    def put_result(self, result: Result) -> None:
        """Take a comparison or an error, or drop it where there is no room."""
        with self.counts.lock:
            if self.closed or len(self) >= self._size:
                self.counts.results_dropped += 1
            else:
                self._fresh.append(result)
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
            self.counts.drop(reason)  # the first: where the caller's stack ends here, nothing is counted
            self.counts.observed += 1
            self._first()
        self.complaints.append(why)

    def _has_room(self, request: Item) -> bool:
        """Whether there is room for a request. Looked at once for every few."""
        fresh, places = len(self._fresh), self._size - len(self._weighed)
        if self.closed or fresh >= places:
            return False
        if fresh:  # as if all that nobody has weighed yet were as heavy as this
            places = min(places, (self._most_bytes - self._bytes) // weight(request))
        self._room = min(fresh + _FEW, places)
        return fresh < places

    # From here on: for the background thread alone.

    @property
    def is_half_full(self) -> bool:
        """Whether the background thread should hurry."""
        return len(self) >= self._size / 2 or self._bytes >= self._most_bytes / 2

    def take(self) -> Item | None:
        """What has waited longest."""
        if self._weighed:
            item, size = self._weighed.popleft()
            self._bytes -= size
            return item
        return self._fresh.popleft() if self._fresh else None

    def weigh(self, *, all_of_it: bool) -> None:
        """Weigh what came in, unless it is little, and drop what is too much."""
        if not all_of_it and len(self._fresh) <= _FEW:
            return
        for _ in range(len(self._fresh)):
            item = self._fresh.popleft()
            try:
                size = weight(item)
            except BaseException:  # a panic of a native library's object
                self._lose(item, "not_encodable")
                continue
            if self._bytes + size > self._most_bytes:
                self._lose(item, "queue_full")
            else:
                self._bytes += size
                self._weighed.append((item, size))
        self._room = 0

    def close(self) -> None:
        """Take nothing more."""
        with self.counts.lock:
            self.closed, self._room, self._on_first = True, 0, None

    def give_up(self) -> None:
        """Drop all that still waits."""
        while (item := self.take()) is not None:
            self._lose(item, "closed")

    def _lose(self, item: Item, reason: str) -> None:
        if type(item) is Result:
            with self.counts.lock:
                self.counts.results_dropped += 1
        else:
            self.counts.drop(reason)

    def _first(self) -> None:
        on_first, self._on_first = self._on_first, None  # a signal handler may publish meanwhile
        if on_first is None:
            return
        done = False
        try:
            done = on_first()
        except Exception as error:  # no memory, or the caller's stack ends here; the request is counted
            self.complaints.append(f"the hook's thread did not start: {type(error).__name__}")
        finally:
            if not done and not self.closed:
                self._on_first = on_first
