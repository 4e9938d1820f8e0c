"""Ask a model about a batch and time it; whatever it does, each request gets an answer or a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter_ns, process_time_ns
from typing import Any

import numpy as np
import pyarrow as pa

from shadowlane.replay_worker._answers import ANSWERS, numbers
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker.models import LoadedModel
from shadowlane.schemas import Failure

WARM_UP_CALLS = 10
_ONE_IN = 100
_MILLISECOND = 1e6
# What is answered is handed on this often, so that little is asked again after a crash.
_CHUNK_NS = 100_000_000
#: In place of a row's number: the model is asked about all at once, or its inputs are being made.
TOGETHER, PREPARING = -1, -2


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows' answers and failures."""

    answers: pa.RecordBatch
    failures: Sequence[tuple[int, Failure]]


@dataclass(slots=True)
class _Timed:
    """What calls gave, one after the other, until it becomes columns."""

    rows: list[int] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    wall: list[int] = field(default_factory=list)
    cpu: list[int] = field(default_factory=list)
    failures: list[tuple[int, Failure]] = field(default_factory=list)


class Runner:
    """Runs one loaded model; its first calls are marked as warm-up."""

    def __init__(
        self, model: LoadedModel, *, batch: bool = False, on_row: Callable[[int], None] = lambda _row: None
    ) -> None:
        self._model = model
        self._batch = batch
        self._on_row = on_row
        self._calls = 0

    def run(self, features: FeatureBatch, *, apart: bool = False) -> Iterator[Chunk]:
        """Answers and failures; together they hold each row once. `apart`: ask about each alone."""
        self._on_row(PREPARING)
        try:
            inputs = self._model.prepare(features)
        except BaseException:
            yield from self._prepared_apart(features)  # find out whose fault it was
            return
        if self._batch and not apart:
            yield from self._together(inputs, len(features))
        else:
            yield from self._each(inputs, range(len(features)))

    def _prepared_apart(self, features: FeatureBatch) -> Iterator[Chunk]:
        """Inputs that cannot be made for all together are made one by one."""
        for row in range(len(features)):
            self._on_row(row)
            try:
                inputs = self._model.prepare(features.take([row]))
            except BaseException as error:
                yield self._chunk(_Timed(failures=[(row, Failure.of("predict", error))]))
                continue
            timed = _Timed()
            self._ask(inputs, 0, timed, number=row)
            yield self._chunk(timed)

    def _each(self, inputs: Any, rows: Sequence[int]) -> Iterator[Chunk]:
        timed, begun = _Timed(), perf_counter_ns()
        for row in rows:
            self._ask(inputs, row, timed, number=row)
            if perf_counter_ns() - begun > _CHUNK_NS:
                yield self._chunk(timed)
                timed, begun = _Timed(), perf_counter_ns()
        yield self._chunk(timed)

    def _ask(self, inputs: Any, row: int, timed: _Timed, *, number: int) -> None:
        """Time one call alone; the clocks stop when the answer is there, before it is read.

        Processor time is the process's: models use threads of their own.
        """
        self._on_row(number)
        wall, cpu = perf_counter_ns(), process_time_ns()
        try:
            answer = self._model.one(inputs, row)
            self._model.wait()
        except BaseException as error:  # the model is foreign code: SystemExit and panics too
            timed.failures.append((number, Failure.of("predict", error)))
            return
        timed.cpu.append(process_time_ns() - cpu)
        timed.wall.append(perf_counter_ns() - wall)
        timed.rows.append(number)
        timed.answers.append(answer)

    def _together(self, inputs: Any, rows: int) -> Iterator[Chunk]:
        """One call for all, its time shared out; one row in a hundred is then timed alone."""
        if not rows:
            return
        self._on_row(TOGETHER)
        wall, cpu = perf_counter_ns(), process_time_ns()
        try:
            answers = self._model.many(inputs)
            self._model.wait()
            cpu, wall = process_time_ns() - cpu, perf_counter_ns() - wall
            predictions = self._model.read_many(answers, rows)
        except BaseException:
            yield from self._each(inputs, range(rows))  # find out whose fault it was
            return
        latency, processor = np.full(rows, wall / rows), np.full(rows, cpu / rows)
        basis = np.full(rows, "amortized" if self._calls else "warmup", dtype=object)
        sample = _Timed()
        for row in range(0, rows, _ONE_IN):
            before = self._calls + len(sample.rows)
            self._ask(inputs, row, sample, number=row)
            if sample.rows and sample.rows[-1] == row:
                latency[row], processor[row] = sample.wall[-1], sample.cpu[-1]
                basis[row] = "warmup" if before < WARM_UP_CALLS else "single"
        self._calls += len(sample.rows)
        bases = pa.array(basis, pa.string())
        yield Chunk(_columns(np.arange(rows), predictions, latency, processor, bases), [])

    def _chunk(self, timed: _Timed) -> Chunk:
        """The calls' answers as columns; one that has no form as a prediction is a failure."""
        count = len(timed.rows)
        basis = ["warmup"] * min(count, max(0, WARM_UP_CALLS - self._calls))
        basis += ["single"] * (count - len(basis))
        self._calls += count
        rows, wall, cpu = (np.array(each, np.int64) for each in (timed.rows, timed.wall, timed.cpu))
        predictions, unread = self._read(timed.answers)
        failures = timed.failures + [(timed.rows[index], failure) for index, failure in unread]
        kept = np.delete(np.arange(count), [index for index, _ in unread])
        bases = pa.array(basis, pa.string()).take(numbers(kept))
        return Chunk(_columns(rows[kept], predictions, wall[kept], cpu[kept], bases), failures)

    def _read(self, answers: Sequence[Any]) -> tuple[pa.StructArray, list[tuple[int, Failure]]]:
        """The predictions in single answers, and which of these are none."""
        with suppress(BaseException):
            return self._model.read_each(answers), []
        readable, failures = [], []
        for index, answer in enumerate(answers):
            try:
                self._model.read_each([answer])
            except BaseException as error:
                failures.append((index, Failure.of("predict", error)))
            else:
                readable.append(answer)
        return self._model.read_each(readable), failures


def _columns(
    rows: np.ndarray[Any, Any],
    predictions: pa.StructArray,
    wall: np.ndarray[Any, Any],
    cpu: np.ndarray[Any, Any],
    basis: pa.StringArray,
) -> pa.RecordBatch:
    columns = {
        "row": numbers(rows.astype(np.int32)),
        "prediction": predictions,
        "latency_ms": numbers(wall / _MILLISECOND),
        "basis": basis,
        "cpu_ms": numbers(cpu / _MILLISECOND),
    }
    filled = [columns.get(each.name) for each in ANSWERS]
    arrays = [
        pa.nulls(len(rows), each.type) if column is None else column
        for each, column in zip(ANSWERS, filled, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=ANSWERS)
