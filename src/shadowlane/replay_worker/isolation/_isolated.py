"""A model in a process of its own, replaced when it dies, grows or has served its time."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import pyarrow as pa

from shadowlane.errors import ModelError
from shadowlane.replay_worker._answers import Answered
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker._plan import Isolation, ModelSource
from shadowlane.replay_worker.isolation import _said
from shadowlane.replay_worker.isolation._breaker import Breaker
from shadowlane.replay_worker.isolation._denial import NETWORK, PROCESS, WRITE
from shadowlane.replay_worker.isolation._process import DiedError, ModelProcess
from shadowlane.replay_worker.isolation._said import NonsenseError
from shadowlane.replay_worker.isolation._service import Service
from shadowlane.replay_worker.isolation._task import Job, Task

log = logging.getLogger(__name__)

_DENIED = {NETWORK, PROCESS, WRITE}

_STEP_SECONDS = 0.1
# A batch that takes longer is cut: what is answered is committed, the rest is read again.
BATCH_SECONDS = 20.0
# A process that dies while it loads again is started again; so often in a row, and it is the model's fault.
_LOADS = 5


class _LeftError(Exception):
    """Nobody waits for the batch any more."""


class Isolated:
    """A model in a process of its own; a request that kills it twice is a failure."""

    def __init__(
        self, source: ModelSource, isolation: Isolation, *, batch: bool, wait: Callable[[float], object]
    ) -> None:
        self._source, self._isolation, self._batch = source, isolation, batch
        self._breaker, self._away = Breaker(wait), Breaker(wait)
        self.restarts = 0
        self.denied: Counter[str] = Counter()
        self.gpu_memory_mb: float | None = None
        self._memory_mb: float | None = None
        self._process: ModelProcess | None = None
        process = self._start(lambda: wait(0) is True)
        self.names: Sequence[str] = process.names
        self.wants_context = process.wants_context
        if process.strength:
            log.info("the model's process: %s", process.strength)

    def run(self, batch: FeatureBatch, give_up: Callable[[], bool]) -> Answered:
        """Answer the batch; whoever dies of a request is replaced, and the rest is answered."""
        self._away.rest()
        task, deadline = Task(batch), monotonic() + BATCH_SECONDS

        def is_late() -> bool:  # a batch of which nothing is settled would only be read again
            return monotonic() > deadline and task.done > 0

        while task.jobs and not give_up() and not is_late():
            job = task.jobs.popleft()
            try:
                self._answer(task, job, give_up, is_late)
            except DiedError as death:
                log.warning("%s", death)
                self._process = None
                self._breaker.died()
                task.bury(job, death)
            except _LeftError:
                break
        return task.answered(self._memory_mb)

    def close(self) -> None:
        """End the model's process."""
        process, self._process = self._process, None
        if process is not None:
            process.close(politely=True)

    def _start(self, abandon: Callable[[], bool]) -> ModelProcess:
        process = ModelProcess(self._source, self._isolation, batch=self._batch, abandon=abandon)
        self._process = process
        self._service = Service(process, self._isolation)
        self._denied_before = self.denied.copy()
        return process

    def _running(self, give_up: Callable[[], bool]) -> ModelProcess:
        """The process, or another where it is gone.

        Raises:
            ModelError: it does not load any more, several times in a row.
        """
        if self._process is not None and not self._process.is_alive:
            log.warning("the model's process ended while nothing was asked of it")
            self.close()
            self._breaker.died()
        failure: ModelError | None = None
        for _ in range(_LOADS):
            if self._process is not None:
                return self._process
            self._breaker.rest()
            if give_up():
                raise _LeftError
            self.restarts += 1
            try:
                return self._start(give_up)
            except ModelError as error:
                if give_up():
                    raise _LeftError from None
                log.warning("the model did not load again: %s", error)
                self._breaker.died()
                failure = error
        raise failure or ModelError("the model does not load any more")

    def _answer(self, task: Task, job: Job, give_up: Callable[[], bool], is_late: Callable[[], bool]) -> None:
        """Ask about these rows and take in what comes, until all are answered.

        Raises:
            DiedError: the process did not survive one of them.
        """
        process, is_cut = self._running(give_up), False
        process.ask(task.columns(job.rows), apart=job.apart, look=not task.is_looked_at)
        self._service.asked()
        while True:
            said = process.hear(_STEP_SECONDS)
            try:
                if said is not None and self._take(task, job, *said, is_cut=is_cut):
                    return
            except NonsenseError as error:
                raise process.nonsense(f"said what cannot be: {error}") from None
            if give_up():
                process.close()
                self._process = None
                raise _LeftError
            self._service.check(is_silent=said is None)
            if not is_cut and (self._service.has_grown() or is_late()):
                process.enough()
                is_cut = True

    def _take(
        self, task: Task, job: Job, head: dict[str, Any], columns: pa.RecordBatch | None, *, is_cut: bool
    ) -> bool:
        """Take one message in; whether it was the last about these rows.

        Raises:
            NonsenseError: it is none.
        """
        match head.get("is"):
            case "features":
                task.look(head, columns)
            case "chunk":
                task.take(job.rows, head, columns)
                unavailable = _said.text(head.get("unavailable"))
                if unavailable is not None:
                    log.warning("the rest is asked again later: %s", unavailable)
                    task.is_held_up = True
            case "done":
                self._finish(task, job, head, is_cut=is_cut)
                return True
            case _:
                raise NonsenseError("a message of no known kind")
        task.is_looked_at = True
        return False

    def _finish(self, task: Task, job: Job, head: dict[str, Any], *, is_cut: bool) -> None:
        """All is said: note the process's figures, and let it go where it has served its time."""
        denied = _said.counts(head.get("denied"), _DENIED.__contains__)
        gpu = _said.amount(head.get("gpu_memory_mb"))
        needs_another = task.end(job.rows, is_cut=is_cut or task.is_held_up)
        self.denied = self._denied_before + Counter(denied)
        self.gpu_memory_mb = gpu
        self._breaker.lived()
        why = self._service.answered()
        self._memory_mb = self._service.memory_mb
        if needs_another:
            why = "memory ran out; those requests are asked again in a fresh one"
        if why is not None:
            log.warning("the model's process is replaced: %s", why)
            self.close()
        if task.is_held_up:
            self._away.died()
            raise _LeftError
        self._away.lived()
