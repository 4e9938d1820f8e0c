"""How long a model's process may serve: limits of time and memory, watched from outside."""

from __future__ import annotations

from time import monotonic

from shadowlane.replay_worker._plan import Isolation
from shadowlane.replay_worker.isolation._process import ModelProcess

_MEBIBYTE = 1024 * 1024
# Libraries start pools of threads when they are first used: those are not left behind.
_THREADS_LEFT = 100


class Service:
    """One process's time of service, from its load on."""

    def __init__(self, process: ModelProcess, isolation: Isolation) -> None:
        self._process, self._isolation = process, isolation
        self._seen = self._loaded = process.vitals
        self._warm_bytes: int | None = None
        self._is_limited = not (isolation.memory_bytes is None and isolation.recycle_bytes is None)
        self._place, self._since = process.place, monotonic()

    @property
    def memory_mb(self) -> float | None:
        """The most memory that it ever had."""
        return self._seen.peak_mb if self._seen is not None else None

    def asked(self) -> None:
        """It is asked something: its time runs from now on."""
        self._place, self._since = self._process.place, monotonic()

    def check(self, *, is_silent: bool) -> None:
        """Look at it while it is asked.

        Raises:
            DiedError: it has taken too much time for one call, or too much memory, and was ended.
        """
        place, now = self._process.place, monotonic()
        if place != self._place or not is_silent:
            self._place, self._since = place, now
        limit = self._isolation.call_seconds
        if now - self._since > limit:
            raise self._process.kill("timeout", "ModelTimeout", f"no answer within {limit:g} s")
        if not self._is_limited:
            return
        self._seen = self._process.vitals or self._seen
        if self._is_too_large():
            raise self._process.kill("crash", "ModelOutOfMemory", self._too_large())

    def has_grown(self) -> bool:
        """Whether it has more memory than after its first batch, by more than it may."""
        growth = self._isolation.recycle_bytes
        if growth is None or self._seen is None or self._warm_bytes is None:
            return False
        return self._seen.own_bytes - self._warm_bytes > growth

    def answered(self) -> str | None:
        """It has answered a batch; why it is to be replaced now, where it is."""
        self._seen = self._process.vitals or self._seen
        if self._seen is None or self._loaded is None:
            return self._served()
        if self._warm_bytes is None:
            self._warm_bytes = self._seen.own_bytes
        if self._is_too_large():
            return self._too_large()
        if self.has_grown():
            return f"it has grown by {(self._seen.own_bytes - self._warm_bytes) / _MEBIBYTE:,.0f} MiB"
        left = self._seen.threads - self._loaded.threads
        if left > _THREADS_LEFT:
            return f"{left} threads were left behind"
        return self._served()

    def _served(self) -> str | None:
        most = self._isolation.recycle_requests
        is_over = most is not None and self._process.asked >= most
        return f"it has served {self._process.asked:,} requests" if is_over else None

    def _is_too_large(self) -> bool:
        limit = self._isolation.memory_bytes
        return limit is not None and self._seen is not None and self._seen.own_bytes > limit

    def _too_large(self) -> str:
        limit = (self._isolation.memory_bytes or 0) / _MEBIBYTE
        return f"the model's process took more than {limit:,.0f} MiB of memory (--memory-limit)"
