"""Where an async shadow runs: an event loop of its own, so that one that blocks stops no service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Semaphore, Thread
from typing import Any, ParamSpec, TypeVar

from shadowlane.producer._encode import Observation
from shadowlane.producer._log import described
from shadowlane.producer._mirror import Answer, Mirror
from shadowlane.producer._shadow_pool import ShadowPool
from shadowlane.producer._shadow_results import Reporter
from shadowlane.schemas import Failure

P = ParamSpec("P")
R = TypeVar("R")


class LoopPool(ShadowPool):
    """Runs an async shadow; each of its slots is a task."""

    def __init__(
        self, mirror: Mirror, shadow: Callable[[Mapping[str, Any]], Any], reporter: Reporter
    ) -> None:
        super().__init__(mirror, shadow, reporter)
        self._slots = Semaphore(mirror.concurrency)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_there = Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def clients(self) -> list[object]:
        """The loop: closed by a child, it would take its parent's files out of their common selector."""
        return [self._loop] if self._loop else []

    def _workers(self) -> list[Callable[[], None]]:
        return [self._run_loop, self._feed]

    def _feed(self) -> None:
        """Hand over one request for each free slot; the callers are spared the loop's own wake-up."""
        self._is_there.wait()
        assert self._loop is not None  # noqa: S101 - for the type checker
        self._slots.acquire()
        while (observation := self._waiting.get()) is not None:
            if self._begin(observation):
                self._loop.call_soon_threadsafe(self._spawn, observation)
                self._slots.acquire()
        for _ in range(self._mirror.concurrency - 1):
            self._slots.acquire()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run_loop(self) -> None:
        try:
            with asyncio.Runner() as runner:
                loop = self._loop = runner.get_loop()
                loop.set_default_executor(_Daemons())
                loop.set_exception_handler(self._on_stray)
                self._is_there.set()
                while not self._ran(loop):
                    pass
        except BaseException as error:  # no files to be had, or what the shadow left behind
            self._log.once(f"the loop of {self._mirror.shadow} ended with {described(error)}")

    def _ran(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether the loop ran to its end; a SystemExit in a task that the shadow made only interrupts it."""
        try:
            loop.run_forever()
        except BaseException as error:
            self._log.once(f"the loop of {self._mirror.shadow} goes on after {described(error)}")
            return False
        return True

    def _on_stray(self, _loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        """Of what a task of the shadow's own raised, asyncio would log more than may be seen."""
        error = context.get("exception")
        what = described(error) if isinstance(error, BaseException) else "an error"
        self._log.once(f"the shadow {self._mirror.shadow} left behind {what}")

    def _spawn(self, observation: Observation) -> None:
        task = asyncio.ensure_future(self._answer(observation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, observation: Observation) -> None:
        outcome = await self._ask_async(observation)
        self._end(observation, outcome)
        self._slots.release()

    async def _ask_async(self, observation: Observation) -> Answer | Failure:
        """As `_ask`; the processor's time is the loop's, and so nobody's."""
        limit = asyncio.timeout(self._mirror.timeout)
        try:
            features = self._features(observation)
            async with limit:
                begun = time.perf_counter_ns()
                raw = await self._shadow(features)
                wall = time.perf_counter_ns() - begun
            return self._read(raw, wall, None)
        except BaseException as error:  # caught here: from a task, SystemExit would end the loop
            return self._late() if limit.expired() else self._reporter.failure("predict", error)


class _Daemons(ThreadPoolExecutor):
    """For `asyncio.to_thread` in a shadow, and for its look-ups of names: threads that no exit waits for."""

    def submit(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Call it in a thread of its own."""
        future: Future[R] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*args, **kwargs))
                except BaseException as error:
                    future.set_exception(error)

        Thread(target=run, name="shadowlane-shadow", daemon=True).start()
        return future
