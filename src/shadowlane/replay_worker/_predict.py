"""Run the shadow on a batch and time it; whatever it does, each request gets an answer or a failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter_ns, process_time_ns
from typing import Any

from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker._models import LoadedModel
from shadowlane.schemas import Failure, Prediction

_WARM_UP_CALLS = 10
_NANOSECONDS = 1e6
_ONE_IN = 100


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


def _checked(prediction: Prediction) -> Prediction:
    """The prediction itself, when each of its parts can be sent: models build them by hand, too."""
    for number in (prediction.score, *(prediction.vector or ())):
        if number is not None and not isinstance(number, (int, float)):
            raise TypeError(f"a score or a vector's component cannot be {type(number).__name__}")
    for text in (prediction.label, *(prediction.ranking or ())):
        if text is not None:
            text.encode("utf-8")
    return prediction


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
        except BaseException:
            return self._run_apart(features)  # find out whose fault it was
        rows = range(len(features))
        return self._run_together(inputs, rows) if self._batch else self._run_each(inputs, rows)

    def _run_apart(self, features: FeatureBatch) -> tuple[list[Answer], list[tuple[int, Failure]]]:
        """Inputs that cannot be made for all together are made one by one."""
        answers, failures = [], []
        for row in range(len(features)):
            try:
                inputs = self._model.prepare(FeatureBatch(features.arrow.slice(row, 1)))
                answers.append(replace(self._ask(inputs, 0), row=row))
            except BaseException as error:
                failures.append((row, Failure.of("predict", error)))
        return answers, failures

    def _run_each(self, inputs: Any, rows: Sequence[int]) -> tuple[list[Answer], list[tuple[int, Failure]]]:
        answers, failures = [], []
        for row in rows:
            try:
                answers.append(self._ask(inputs, row))
            except BaseException as error:  # the model is foreign code: SystemExit and panics too
                failures.append((row, Failure.of("predict", error)))
        return answers, failures

    def _ask(self, inputs: Any, row: int) -> Answer:
        """Time one call alone; the clocks stop before the answer is read.

        Processor time is the process's: models use threads of their own.
        """
        wall, cpu = perf_counter_ns(), process_time_ns()
        raw = self._model.one(inputs, row)
        cpu, wall = process_time_ns() - cpu, perf_counter_ns() - wall
        basis = "warmup" if self._calls < _WARM_UP_CALLS else "single"
        self._calls += 1
        timing = Timing(wall / _NANOSECONDS, cpu / _NANOSECONDS, basis)
        return Answer(row, _checked(self._model.read(raw)), timing)

    def _run_together(
        self, inputs: Any, rows: Sequence[int]
    ) -> tuple[list[Answer], list[tuple[int, Failure]]]:
        """One call for all, its time shared out; one row in a hundred is then timed alone."""
        if not rows:
            return [], []
        wall, cpu = perf_counter_ns(), process_time_ns()
        try:
            raw = self._model.many(inputs)
            cpu, wall = process_time_ns() - cpu, perf_counter_ns() - wall
            predictions = [_checked(self._model.read(answer)) for answer in raw]
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
