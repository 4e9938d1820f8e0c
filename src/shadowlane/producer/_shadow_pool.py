"""Where a shadow in this process runs: a few threads of its own, and one that watches the clock.

Each request that is put here is settled once: by the shadow's answer or its exception, by the watch
when its time is over, as busy where there is no room, or by the end. What comes later is ignored.
All threads are daemons: a shadow that hangs keeps its slot, and holds up nothing else.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from inspect import iscoroutine
from itertools import count
from queue import Empty, SimpleQueue
from threading import Condition, Thread
from typing import Any

from shadowlane.producer import _lifetime
from shadowlane.producer._copies import copied_mapping
from shadowlane.producer._encode import Observation
from shadowlane.producer._log import Log, described
from shadowlane.producer._mirror import Answer, Mirror, answered
from shadowlane.producer._router_stats import BUSY, RouterCounts, RouterStats
from shadowlane.producer._shadow_results import Reporter
from shadowlane.producer._weights import weight
from shadowlane.schemas import Failure

_WARM_UP_CALLS = 10
_NANOSECONDS = 1e6
_LOOK_SECONDS = 1.0
# The interpreter runs one thread at a time: after so many refusals the others get their turn.
_SLICE = 16
_REST = 0.0002
# Of requests that found no room, so many may wait for their error; of more, only the number is kept.
_MOST_REFUSED = 10_000
# So many may wait before they are weighed: a shadow that keeps pace costs its callers no weighing.
_FEW = 16
# No wait is longer: clocks overflow at a time without an end.
_LONGEST = 86_400.0


class ShadowPool:
    """Runs a shadow on requests, on so many at a time.

    Args:
        mirror: Which shadow, and what it may take.
        shadow: Its function.
        reporter: What becomes of its answers and failures.
    """

    def __init__(
        self, mirror: Mirror, shadow: Callable[[Mapping[str, Any]], Any], reporter: Reporter
    ) -> None:
        self._mirror, self._shadow, self._reporter = mirror, shadow, reporter
        self.closed = False
        self._counts, self._calls = RouterCounts(), count()
        self._waiting: SimpleQueue[Observation | None] = SimpleQueue()
        self._refused: deque[Observation] = deque()
        # By their numbers. All get the same time, so that the first here is the first to be late.
        self._running: dict[int, tuple[float, Observation]] = {}
        self._hung: set[int] = set()
        # Over all that callers and threads share; reentrant, as a signal handler may predict, too.
        self._change = Condition()
        self._over = self._watch_sleeps = False
        self._to_start = [self._watch, *self._workers()]
        self._log = Log()
        self._busy = _BusyWatch(mirror, self._log)

    @property
    def clients(self) -> list[object]:
        """What a forked child must not destroy."""
        return []

    def put(self, observation: Observation) -> None:
        """Have the shadow run on a request, soon; in a caller's thread."""
        with self._change:
            counts = self._counts
            if self.closed or (self._to_start and not self._start()):
                counts.not_run += 1
                return
            waiting, refused, fit = self._waiting.qsize(), len(self._refused), self._fit(observation)
            has_room = not self._all_hang and waiting < min(self._mirror.queue_size, fit)
            counts.taken += 1
            if has_room:
                self._waiting.put(observation)
            elif refused < min(_MOST_REFUSED, fit):
                self._refused.append(observation)
                self._change.notify_all()
            else:
                counts.lost += 1

    def stats(self) -> RouterStats:
        """The counts at this moment."""
        with self._change:
            return self._counts.stats(len(self._hung))

    def retire(self) -> None:
        """Take nothing more, and end when all that was taken is settled; wait for nothing."""
        with self._change:
            self.closed = True
            self._change.notify_all()
        self._waiting.put(None)

    def close(self, timeout: float | None = None) -> None:
        """Take nothing more, give what was taken so long, and settle the rest as out of time."""
        seconds = self._reporter.exit_seconds if timeout is None else timeout
        with self._change:
            self.closed = True
            self._change.notify_all()
            self._change.wait_for(lambda: not self._counts.waiting, max(0.0, min(seconds, _LONGEST)))
            self._over = True
            left = [*self._refused, *self._drained(), *(each for _, each in self._running.values())]
            self._refused.clear()
            self._hung.update(self._running)
            self._running.clear()
        for observation in left:
            self._settle(observation, self._closed())
        self.retire()
        _lifetime.ended(self)

    def begin_close(self) -> None:
        """The process ends."""
        self.close()

    def join(self) -> None:
        """`begin_close` has waited already: it must be over before the hook takes no more results."""

    # From here on: the pool's threads.

    def _workers(self) -> list[Callable[[], None]]:
        """What runs in threads of its own."""
        return [self._work] * self._mirror.concurrency

    def _start(self) -> bool:
        """Start the threads; False where they cannot be had, and the next request tries again."""
        while self._to_start:
            target = self._to_start.pop(0)  # at once: a signal handler may predict while `start` waits
            try:
                Thread(target=target, name="shadowlane-shadow", daemon=True).start()
            except RuntimeError:  # no more threads, or the interpreter is about to end
                self._to_start.insert(0, target)
                return False
        _lifetime.started(self)
        return True

    def _fit(self, observation: Observation) -> int:
        """How many may wait, if all are as heavy as this one; looked at only where some wait."""
        waiting = max(self._waiting.qsize(), len(self._refused))
        return waiting + 1 if waiting < _FEW else self._reporter.queue_bytes // weight(observation)

    @property
    def _all_hang(self) -> bool:
        return len(self._hung) >= self._mirror.concurrency

    def _work(self) -> None:
        while (observation := self._waiting.get()) is not None:
            if self._begin(observation):
                self._end(observation, self._ask(observation))
        self._waiting.put(None)  # for the next

    def _ask(self, observation: Observation) -> Answer | Failure:
        """Time one call alone; the clocks stop before the answer is read."""
        try:
            features = self._features(observation)
            wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
            raw = self._shadow(features)
            cpu, wall = time.thread_time_ns() - cpu, time.perf_counter_ns() - wall
            return self._read(raw, wall, cpu / _NANOSECONDS)
        except BaseException as error:  # the shadow is foreign code: SystemExit and panics too
            return self._reporter.failure("predict", error)

    def _features(self, observation: Observation) -> dict[str, Any]:
        """The shadow's own copy: the one that was taken down is the hook's to encode."""
        return copied_mapping("features", observation.features)

    def _read(self, raw: object, wall: int, cpu_ms: float | None) -> Answer:
        basis = "warmup" if next(self._calls) < _WARM_UP_CALLS else "single"
        if iscoroutine(raw):
            raw.close()
            raise TypeError("the shadow answered with a coroutine: give the router an `async def` function")
        return Answer(answered(raw), wall / _NANOSECONDS, cpu_ms, basis)

    def _begin(self, observation: Observation) -> bool:
        """Start a request's time; False where the pool's own is over."""
        with self._change:
            if not self._over:
                self._running[observation.sequence] = time.monotonic() + self._mirror.timeout, observation
                if self._watch_sleeps:
                    self._change.notify_all()
                return True
        self._settle(observation, self._closed())
        return False

    def _end(self, observation: Observation, outcome: Answer | Failure) -> None:
        """The shadow is done with a request; where that is too late, it was settled before."""
        with self._change:
            self._hung.discard(observation.sequence)
            deadline, _ = self._running.pop(observation.sequence, (None, None))
        if deadline is not None:
            self._settle(observation, outcome if time.monotonic() <= deadline else self._late())

    def _settle(self, observation: Observation, outcome: Answer | Failure) -> None:
        event = None
        try:
            event = self._reporter.report(observation, outcome)
        except BaseException as error:  # from the caller's values or the shadow's
            self._log.once(f"a result of the shadow {self._mirror.shadow} was lost: {described(error)}")
        with self._change:
            self._counts.settle(event)
            if self.closed:
                self._change.notify_all()

    # From here on: the thread that watches the clock.

    def _watch(self) -> None:
        while True:
            with self._change:
                late, refused = self._take_late(), self._take_refused()
                if not late and not refused:
                    if self.closed and not self._counts.waiting:
                        _lifetime.ended(self)
                        return
                    self._sleep()
            for observation in late:
                self._settle(observation, self._late())
            for observation in refused:
                self._settle(observation, self._no_room())
            with self._change:
                turned_away, hung = self._counts.busy + self._counts.lost, len(self._hung)
            self._busy.look(turned_away, hung)
            if refused:
                time.sleep(_REST)

    def _sleep(self) -> None:
        """Until the first request is late, or something else is to be done."""
        deadline = next((deadline for deadline, _ in self._running.values()), None)
        seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
        if self._busy.is_busy:
            seconds = _LOOK_SECONDS if seconds is None else min(seconds, _LOOK_SECONDS)
        self._watch_sleeps = deadline is None
        self._change.wait(seconds)
        self._watch_sleeps = False

    def _take_late(self) -> list[Observation]:
        late, now = [], time.monotonic()
        while (first := next(iter(self._running.items()), None)) and first[1][0] < now:
            number, (_, observation) = first
            del self._running[number]
            self._hung.add(number)
            late.append(observation)
        return late

    def _take_refused(self) -> list[Observation]:
        if self._all_hang:
            self._refused.extend(self._drained())
        return [self._refused.popleft() for _ in range(min(_SLICE, len(self._refused)))]

    def _drained(self) -> list[Observation]:
        """What waits for a slot, none of it any more."""
        drained = []
        with suppress(Empty):
            while True:
                if (observation := self._waiting.get_nowait()) is not None:
                    drained.append(observation)
        if self.closed:
            self._waiting.put(None)
        return drained

    def _late(self) -> Failure:
        seconds = self._mirror.timeout
        return Failure("timeout", "ShadowTimeout", f"the shadow took more than its {seconds:g} s")

    def _no_room(self) -> Failure:
        why = f"{self._mirror.queue_size} requests wait, or the shadow hangs in each of its slots"
        return Failure("predict", BUSY, f"the shadow was not asked: {why}")

    def _closed(self) -> Failure:
        return Failure("timeout", "RouterClosed", "the router was closed before the shadow had answered")


class _BusyWatch:
    """Says when requests begin to find no room, and when that is over."""

    def __init__(self, mirror: Mirror, log: Log) -> None:
        self._mirror, self._log = mirror, log
        self.is_busy = False
        self._turned_away, self._last_busy = 0, 0.0

    def look(self, turned_away: int, hung: int) -> None:
        """Compare with the last look; it is over when there was room for a while."""
        now, slots, shadow = time.monotonic(), self._mirror.concurrency, self._mirror.shadow
        if turned_away > self._turned_away or hung >= slots:
            self._turned_away, self._last_busy = turned_away, now
            if not self.is_busy:
                why = f"it hangs in {hung} of its {slots} slots" if hung else "its queue is full"
                self._log.change(f"the shadow {shadow} keeps no pace, and requests miss it: {why}")
            self.is_busy = True
        elif self.is_busy and now >= self._last_busy + _LOOK_SECONDS:
            self._log.change(f"the shadow {shadow} keeps pace again; {turned_away} requests missed it so far")
            self.is_busy = False
