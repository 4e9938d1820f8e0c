"""What the replay asks of a model, wherever that lives: in this process, or in one of its own."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from shadowlane.replay_worker._answers import ANSWERS, Answered, in_order, numbers
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker._plan import Isolation, ModelSource
from shadowlane.replay_worker.isolation._breaker import Breaker
from shadowlane.replay_worker.isolation._process import DiedError, ModelProcess
from shadowlane.replay_worker.isolation._runner import PREPARING, TOGETHER, Runner
from shadowlane.replay_worker.models import load_model
from shadowlane.schemas import Failure

log = logging.getLogger(__name__)

_STEP_SECONDS = 0.1
# A batch that takes longer is cut: what is answered is committed, the rest is read again.
_BATCH_SECONDS = 20.0
_TRIES = 2

Rows = np.ndarray[Any, np.dtype[np.int64]]


class ModelHost(Protocol):
    """A loaded model that gives each request of a batch an answer or a failure."""

    @property
    def names(self) -> Sequence[str]:
        """The features that the model takes, in its order; empty where it does not say."""
        ...

    @property
    def wants_context(self) -> bool:
        """Whether it looks at more than the features."""
        ...

    @property
    def restarts(self) -> int:
        """How often its process had to be started again."""
        ...

    def run(self, batch: FeatureBatch, give_up: Callable[[], bool]) -> Answered:
        """Answer the batch, or its first part where that takes too long or nobody waits any more."""
        ...

    def close(self) -> None:
        """Let go of the model."""
        ...


def open_host(
    source: ModelSource, isolation: Isolation, *, batch: bool, wait: Callable[[float], object]
) -> ModelHost:
    """Load the model. `wait(seconds)` rests between two deaths of its process.

    Raises:
        ModelError: it cannot be loaded; the message says what to do.
    """
    if isolation.kind == "none":
        return InProcess(source, batch=batch)
    return Isolated(source, isolation, batch=batch, wait=wait)


class InProcess:
    """A model in the replay's own process, for those who must: what it crashes is the replay."""

    def __init__(self, source: ModelSource, *, batch: bool) -> None:
        model = load_model(source)
        self.names: Sequence[str] = model.names
        self.wants_context, self.restarts = model.wants_context, 0
        self._runner = Runner(model, batch=batch)

    def run(self, batch: FeatureBatch, give_up: Callable[[], bool]) -> Answered:
        """Answer the batch."""
        parts: list[pa.RecordBatch] = []
        failures: list[tuple[int, Failure]] = []
        begun, done = monotonic(), len(batch)
        for chunk in self._runner.run(batch):
            parts.append(chunk.answers)
            failures += chunk.failures
            if give_up() or monotonic() - begun > _BATCH_SECONDS:
                done = sum(len(each) for each in parts) + len(failures)  # chunks come in order
                break
        return Answered(in_order(parts, done), failures, done)

    def close(self) -> None:
        """Nothing to let go of."""


class Isolated:
    """A model in a process of its own, replaced when it dies; a request that kills it twice is a failure."""

    def __init__(
        self, source: ModelSource, isolation: Isolation, *, batch: bool, wait: Callable[[float], object]
    ) -> None:
        self._source, self._isolation, self._batch = source, isolation, batch
        self._breaker = Breaker(wait)
        self.restarts = -1
        self._process: ModelProcess | None = None
        process = self._running()
        self.names: Sequence[str] = process.names
        self.wants_context = process.wants_context

    def run(self, batch: FeatureBatch, give_up: Callable[[], bool]) -> Answered:
        """Answer the batch; whoever dies of a request is replaced, and the rest is answered."""
        task = _Task(batch)
        deadline = monotonic() + _BATCH_SECONDS
        while task.jobs and not give_up() and monotonic() < deadline:
            rows, apart = task.jobs.popleft()
            try:
                self._answer(task, rows, apart=apart, leave=lambda: give_up() or monotonic() > deadline)
            except DiedError as death:
                log.warning("%s", death)
                self._process = None
                self._breaker.died()
                task.bury(rows, apart=apart, death=death)
        return task.answered()

    def close(self) -> None:
        """End the model's process."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _running(self) -> ModelProcess:
        if self._process is None:
            self._breaker.rest()
            self._process = ModelProcess(self._source, self._isolation, batch=self._batch)
            self.restarts += 1
        return self._process

    def _answer(self, task: _Task, rows: Rows, *, apart: bool, leave: Callable[[], bool]) -> None:
        """Ask about these rows and take in what comes, until all are answered.

        Raises:
            DiedError: the process did not survive one of them.
        """
        process = self._running()
        process.ask(task.columns(rows), apart=apart)
        watched, since = process.row, monotonic()
        while True:
            said = process.hear(_STEP_SECONDS)
            if said is not None:
                head, columns = said
                if head.get("is") == "done":
                    task.memory_mb = float(head["memory_mb"])
                    self._breaker.lived()
                    return
                task.take(rows, head["failures"], columns)
                continue
            if process.row != watched:
                watched, since = process.row, monotonic()
            limit = self._isolation.call_seconds
            if monotonic() - since > limit:
                raise process.kill("timeout", "ModelTimeout", f"no answer within {limit:g} s")
            if leave():
                process.close()
                self._process = None
                return


class _Task:
    """One batch on its way: which rows are still to be asked about, and what is known of the others."""

    def __init__(self, batch: FeatureBatch) -> None:
        self._batch = batch
        self.jobs: deque[tuple[Rows, bool]] = deque([(np.arange(len(batch)), False)] if len(batch) else ())
        self._parts: list[pa.RecordBatch] = []
        self._failures: list[tuple[int, Failure]] = []
        self._settled = np.zeros(len(batch), dtype=bool)
        self._deaths: Counter[int] = Counter()
        self.memory_mb: float | None = None

    def columns(self, rows: Rows) -> pa.RecordBatch:
        """What the model is to be asked."""
        batch = self._batch if len(rows) == len(self._batch) else self._batch.take(rows.tolist())
        return batch.columns

    def take(self, rows: Rows, failures: list[list[Any]], answers: pa.RecordBatch | None) -> None:
        """Write down what the model said of some of these rows."""
        for place, *failure in failures:
            self._fail(int(rows[place]), Failure(*failure))
        if answers is None or answers.num_rows == 0:
            return
        chosen = rows[answers.column("row").to_numpy()]
        columns = [numbers(chosen.astype(np.int32)), *answers.columns[1:]]
        self._parts.append(pa.RecordBatch.from_arrays(columns, schema=ANSWERS))
        self._settled[chosen] = True

    def bury(self, rows: Rows, *, apart: bool, death: DiedError) -> None:
        """The process died while it was asked about these rows: whose fault was it, and what is left?"""
        left = rows[~self._settled[rows]]
        if death.row in (TOGETHER, PREPARING) or not 0 <= death.row < len(rows):
            if len(left) == 1:
                self._suspect(int(left[0]), death)
            elif not apart:
                self.jobs.appendleft((left, True))
            else:
                self.jobs.extendleft((left[index : index + 1], True) for index in range(len(left))[::-1])
            return
        culprit = int(rows[death.row])
        rest = left[left != culprit]
        if len(rest):
            self.jobs.appendleft((rest, True))
        self._suspect(culprit, death)

    def answered(self) -> Answered:
        """What is known of the rows up to the first of which nothing is."""
        open_rows = np.flatnonzero(~self._settled)
        done = int(open_rows[0]) if len(open_rows) else len(self._batch)
        failures = sorted(
            (row_failure for row_failure in self._failures if row_failure[0] < done), key=lambda each: each[0]
        )
        return Answered(in_order(self._parts, done), failures, done, memory_mb=self.memory_mb)

    def _suspect(self, row: int, death: DiedError) -> None:
        """A crash is tried once more, alone: memory that ran out is not always the last request's fault."""
        self._deaths[row] += 1
        attempts = self._deaths[row]
        if death.stage == "timeout" or attempts >= _TRIES:
            self._fail(row, Failure(death.stage, death.kind, str(death), None, attempts))
        else:
            self.jobs.appendleft((np.array([row]), True))

    def _fail(self, row: int, failure: Failure) -> None:
        self._failures.append((row, failure))
        self._settled[row] = True
