"""One batch on its way through a model's process: what is still to be asked, and what is known already."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from shadowlane.replay_worker._answers import ANSWERS, Answered, in_order, numbers
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker._fetched import still_missing
from shadowlane.replay_worker.isolation import _said
from shadowlane.replay_worker.isolation._process import DiedError
from shadowlane.replay_worker.isolation._progress import IDLE, TOGETHER
from shadowlane.replay_worker.isolation._said import NonsenseError
from shadowlane.schemas import Failure

# A crash is tried once more, alone: memory that ran out is not always the last request's fault.
_TRIES = 2
# Deaths before anything was asked are nobody's fault; so many in a row are somebody's after all.
_IDLE_DEATHS = 3

Rows = np.ndarray[Any, np.dtype[np.int64]]


class Job(NamedTuple):
    """Rows to ask about: all at once where the model can, or each alone."""

    rows: Rows
    apart: bool


class Task:
    """A batch: each row is settled once, with an answer or a failure."""

    def __init__(self, batch: FeatureBatch) -> None:
        self._batch = batch
        self.jobs: deque[Job] = deque([Job(np.arange(len(batch)), apart=False)] if len(batch) else ())
        #: What the requests lack is asked for once, of all of them.
        self.is_looked_at = False
        self.missing: pa.ListArray | None = None
        #: Whether what the model itself asks is away, so that the rest is asked later.
        self.is_held_up = False
        self.unexpected: dict[str, int] = {}
        self._parts: list[pa.RecordBatch] = []
        self._failures: list[tuple[int, Failure]] = []
        self._settled = np.zeros(len(batch), dtype=bool)
        self._starved: list[int] = []
        self._attempts: Counter[int] = Counter()
        self._idle_deaths = 0

    @property
    def done(self) -> int:
        """Rows before this one are all settled."""
        return int(self._settled.argmin()) if not self._settled.all() else len(self._settled)

    def columns(self, rows: Rows) -> pa.RecordBatch:
        """What the model is to be asked."""
        batch = self._batch if len(rows) == len(self._batch) else self._batch.take(rows.tolist())
        return batch.columns

    def look(self, head: dict[str, Any], columns: pa.RecordBatch | None) -> None:
        """Write down what the requests lack, and what they carry beside.

        Raises:
            NonsenseError: that cannot be.
        """
        self.missing = _said.lacking(len(self._batch), columns)
        self.unexpected = _said.counts(head.get("unexpected"))
        self.is_looked_at = True

    def take(self, rows: Rows, head: dict[str, Any], columns: pa.RecordBatch | None) -> None:
        """Write down what the model said of some of these rows.

        Raises:
            NonsenseError: that cannot be; then nothing of it is written down.
        """
        found, answers = _said.answers(len(rows), columns)
        failed = _said.failures(len(rows), head.get("failures"))
        starved = set(_said.places(len(rows), head.get("starved")))
        settled = np.concatenate([found, np.array([place for place, _ in failed], np.int64)])
        # Each sort by itself is checked already.
        is_twice = len(failed) > 0 and len(np.unique(settled)) < len(settled)
        if is_twice or self._settled[rows[settled]].any():
            raise NonsenseError("answers to what was answered before")
        if len(found):
            chosen = rows[found]
            moved = [numbers(chosen.astype(np.int32)), *answers.columns[1:]]
            self._parts.append(pa.RecordBatch.from_arrays(moved, schema=ANSWERS))
            self._settled[chosen] = True
        for place, failure in failed:
            row = int(rows[place])
            if place in starved and self._attempts[row] + 1 < _TRIES:
                self._attempts[row] += 1
                self._starved.append(row)
            else:
                self._fail(row, failure._replace(attempts=failure.attempts + self._attempts[row]))

    def end(self, rows: Rows, *, is_cut: bool) -> bool:
        """The process has said all that it says of these rows; whether the rest needs a fresh process.

        Raises:
            NonsenseError: it was not told to leave any out, and has.
        """
        left = rows[~self._settled[rows]]
        left = left[~np.isin(left, self._starved)]
        if len(left) and not is_cut:
            raise NonsenseError("nothing about rows that it was asked about")
        if len(left):
            self.jobs.appendleft(Job(left, apart=True))
        starved, self._starved = self._starved, []
        self.jobs.extendleft(Job(np.array([row]), apart=True) for row in reversed(starved))
        self._idle_deaths = 0
        return bool(starved)

    def bury(self, job: Job, death: DiedError) -> None:
        """The process died while it was asked about these rows: whose fault was it, and what is left?"""
        self._starved = []
        left = job.rows[~self._settled[job.rows]]
        if not len(left):
            return
        if death.row == IDLE and self._idle_deaths < _IDLE_DEATHS:
            self._idle_deaths += 1
            self.jobs.appendleft(Job(left, job.apart))
            return
        self._idle_deaths = 0
        culprit = int(job.rows[death.row]) if 0 <= death.row < len(job.rows) else None
        if culprit is None or self._settled[culprit]:
            culprit = int(left[0]) if len(left) == 1 else None
        if culprit is None:
            if death.row == TOGETHER and not job.apart:
                self.jobs.appendleft(Job(left, apart=True))
            else:
                self.jobs.extendleft(Job(left[index : index + 1], True) for index in range(len(left))[::-1])
            return
        # What the process was asked before it has survived: settled first, it is not asked a third time.
        asked_before = np.isin(left, job.rows[: death.row] if death.row >= 0 else [])
        self._later(left[~asked_before & (left != culprit)])
        self._suspect(culprit, death)
        self._later(left[asked_before & (left != culprit)])

    def _later(self, rows: Rows) -> None:
        if len(rows):
            self.jobs.appendleft(Job(rows, apart=True))

    def answered(self, memory_mb: float | None) -> Answered:
        """What is known of the rows up to the first of which nothing is."""
        done = self.done
        failures = sorted((each for each in self._failures if each[0] < done), key=lambda each: each[0])
        answers = in_order(self._parts, done)
        return Answered(
            answers,
            failures,
            done,
            missing=None if self.missing is None else still_missing(self.missing, answers),
            unexpected=self.unexpected,
            memory_mb=memory_mb,
        )

    def _suspect(self, row: int, death: DiedError) -> None:
        """What took too long is not repeated."""
        self._attempts[row] += 1
        if death.stage == "timeout" or self._attempts[row] >= _TRIES:
            self._fail(row, Failure(death.stage, death.kind, str(death), None, self._attempts[row]))
        else:
            self.jobs.appendleft(Job(np.array([row]), apart=True))

    def _fail(self, row: int, failure: Failure) -> None:
        self._failures.append((row, failure))
        self._settled[row] = True
