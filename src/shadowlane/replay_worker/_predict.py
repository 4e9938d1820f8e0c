"""Run the shadow on a batch and time it; whatever it does, each request gets an answer or a failure."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter_ns, thread_time_ns
from typing import Any

from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker._models import LoadedModel
from shadowlane.schemas import Prediction

_MESSAGE_LIMIT = 1_000
_TRACEBACK_LIMIT = 4_000
_WARM_UP_CALLS = 10
_NANOSECONDS = 1e6
_ONE_IN = 100


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request has no comparison."""

    stage: str
    error_type: str
    message: str
    traceback: str | None = None

    @classmethod
    def of(cls, stage: str, error: BaseException) -> Failure:
        """From an exception, its texts cut to a size that any topic takes."""
        lines = "".join(traceback.format_exception(error))
        return cls(stage, type(error).__name__, str(error)[:_MESSAGE_LIMIT], lines[-_TRACEBACK_LIMIT:])


@dataclass(frozen=True, slots=True)
class Timing:
    """How long an answer took: wall clock, processor, and whether it was timed alone."""

    latency_ms: float
    cpu_ms: float
    basis: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The shadow's answer to one row."""

    row: int
    prediction: Prediction
    timing: Timing


class Predictor:
    """Runs one loaded model; its first calls are marked as warm-up."""

    def __init__(self, model: LoadedModel, *, batch: bool = False) -> None:
        self._model = model
        self._batch = batch
        self._calls = 0

    def run(self, features: FeatureBatch) -> tuple[list[Answer], list[tuple[int, Failure]]]:
        """Answers and failures; together they hold each row once."""
        try:
            inputs = self._model.prepare(features)
        except BaseException as error:
            failure = Failure.of("predict", error)
            return [], [(row, failure) for row in range(len(features))]
        rows = range(len(features))
        return self._run_together(inputs, rows) if self._batch else self._run_each(inputs, rows)

    def _run_each(self, inputs: Any, rows: Sequence[int]) -> tuple[list[Answer], list[tuple[int, Failure]]]:
        answers, failures = [], []
        for row in rows:
            try:
                answers.append(self._ask(inputs, row))
            except BaseException as error:  # the model is foreign code: SystemExit and panics too
                failures.append((row, Failure.of("predict", error)))
        return answers, failures

    def _ask(self, inputs: Any, row: int) -> Answer:
        """Time one call alone; the clocks stop before the answer is read."""
        wall, cpu = perf_counter_ns(), thread_time_ns()
        raw = self._model.one(inputs, row)
        cpu, wall = thread_time_ns() - cpu, perf_counter_ns() - wall
        basis = "warmup" if self._calls < _WARM_UP_CALLS else "single"
        self._calls += 1
        return Answer(row, self._model.read(raw), Timing(wall / _NANOSECONDS, cpu / _NANOSECONDS, basis))

    def _run_together(
        self, inputs: Any, rows: Sequence[int]
    ) -> tuple[list[Answer], list[tuple[int, Failure]]]:
        """One call for all, its time shared out; one row in a hundred is then timed alone."""
        if not rows:
            return [], []
        wall, cpu = perf_counter_ns(), thread_time_ns()
        try:
            raw = self._model.many(inputs)
            cpu, wall = thread_time_ns() - cpu, perf_counter_ns() - wall
            predictions = [self._model.read(answer) for answer in raw]
        except BaseException:
            return self._run_each(inputs, rows)  # find out whose fault it was
        shared = Timing(wall / len(rows) / _NANOSECONDS, cpu / len(rows) / _NANOSECONDS, "amortized")
        answers = [Answer(row, prediction, shared) for row, prediction in zip(rows, predictions, strict=True)]
        for row in rows[::_ONE_IN]:
            answers[row] = Answer(row, predictions[row], self._time_alone(inputs, row) or shared)
        return answers, []

    def _time_alone(self, inputs: Any, row: int) -> Timing | None:
        try:
            return self._ask(inputs, row).timing
        except BaseException:
            return None
