"""Calls of foreign code in a few threads, each within a time limit: a thread that hangs is left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Event as Flag
from threading import Lock, Thread
from time import monotonic
from typing import Any

# With so many threads that hang no more are started: memory is finite, and so are connections.
_MOST_LEFT = 64
_STEP_SECONDS = 0.05


class LookupTimeoutError(Exception):
    """No answer within the time limit; the thread that waits for it is left behind."""


class Lookup:
    """One call: its value or its error, once it has been waited for."""

    def __init__(self, call: Callable[[Lookup], Any], lookups: Lookups) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        #: Counted by the call itself.
        self.attempts = 0
        self._call, self._lookups = call, lookups
        self._done, self._lock = Flag(), Lock()
        self._since: float | None = None
        self._is_over = False

    def wait(self) -> None:
        """Until it is done, or its time is over."""
        while not self._done.wait(self._patience()):
            self._lookups.top_up()
            if self._patience() <= 0:
                self._end(LookupTimeoutError(self._lookups.too_late()))
            elif self._since is None and not self._lookups.alive:
                self._end(LookupTimeoutError(self._lookups.too_many()))

    def run(self) -> bool:
        """Call, in a thread; whether that thread is still one of ours afterwards."""
        with self._lock:
            if self._is_over:
                return True
            self._since = monotonic()
        value: Any = None
        error: BaseException | None = None
        try:
            value = self._call(self)
        except BaseException as raised:
            error = raised
        with self._lock:
            if self._is_over:
                return False
            self.value, self.error = value, error
            self._done.set()
        return True

    def _patience(self) -> float:
        if self._since is None:
            return _STEP_SECONDS
        return max(0.0, self._since + self._lookups.seconds - monotonic())

    def _end(self, error: BaseException) -> None:
        """Wait no longer; what it still gives is nobody's."""
        with self._lock:
            if self._done.is_set():
                return
            self._is_over, self.error = True, error
            self._done.set()
            if self._since is not None:
                self._lookups.leave_one()


class Lookups:
    """The threads."""

    def __init__(self, threads: int, seconds: float) -> None:
        self.seconds = seconds
        self._threads = threads
        self._queue: SimpleQueue[Lookup] = SimpleQueue()
        self._lock = Lock()
        #: Threads that take calls, and threads that hang in one that nobody waits for.
        self.alive = self.left = 0

    def start(self, calls: Sequence[Callable[[Lookup], Any]]) -> list[Lookup]:
        """Start them all, to be waited for one after the other."""
        lookups = [Lookup(call, self) for call in calls]
        for each in lookups:
            self._queue.put(each)
        self.top_up(len(lookups))
        return lookups

    def top_up(self, wanted: int | None = None) -> None:
        """Have as many threads as there may be."""
        with self._lock:
            most = self._threads if wanted is None else min(self._threads, wanted)
            while self.alive < most and self.left < _MOST_LEFT:
                self.alive += 1
                Thread(target=self._work, name="shadowlane-fetch", daemon=True).start()

    def leave_one(self) -> None:
        """A thread hangs: another takes its place."""
        with self._lock:
            self.alive -= 1
            self.left += 1
        self.top_up()

    def too_late(self) -> str:
        """What a failure says when its time is over."""
        return f"no features within {self.seconds:g} s; {self.left} other look-ups hang"

    def too_many(self) -> str:
        """What a failure says when no thread is left to take it."""
        return f"{self.left} look-ups hang, and no more are started until one of them ends"

    def _work(self) -> None:
        while self._queue.get().run():
            pass
        with self._lock:
            self.left -= 1
