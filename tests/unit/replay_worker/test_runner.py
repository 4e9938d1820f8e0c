"""Running a model: each request gets an answer or a failure, honestly timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pytest

from shadowlane.replay_worker import FeatureBatch, ModelSource
from shadowlane.replay_worker._answers import in_order
from shadowlane.replay_worker.isolation._runner import Runner
from shadowlane.replay_worker.models._python import PythonModel
from shadowlane.schemas import Failure, ProductionRequest
from shadowlane.schemas.columns import arrow_schema

SOURCE = ModelSource("python:here:it")


class Panic(BaseException):
    """As a native extension raises it: no Exception."""


def fault(number: float) -> object:
    """A model with every fault that Python can raise."""
    if number == 1:
        raise KeyError("history")
    if number == 2:
        raise SystemExit(3)
    if number == 3:
        raise KeyboardInterrupt
    if number == 4:
        raise Panic("native code")
    if number == 5:
        return object()  # no form as a prediction
    return number / 10


class Faulty:
    """The same, one at a time and together."""

    def predict_one(self, features: dict[str, Any]) -> object:
        """Answer or fail by the number."""
        return fault(features["n"])

    def predict(self, batch: FeatureBatch) -> Sequence[object]:
        """One bad request spoils the batch."""
        return [fault(number) for number in batch.matrix(["n"])[:, 0]]


def batch(count: int) -> FeatureBatch:
    """Requests numbered by their one feature."""
    empty: dict[str, list[Any]] = {
        name: [] for name in ("integers", "flags", "strings", "vectors", "json", "missing")
    }
    rows = [{"numbers": [("n", float(number))], **empty} for number in range(count)]
    return FeatureBatch(pa.array(rows, arrow_schema(ProductionRequest).field("features").type))


def run(runner: Runner, features: FeatureBatch) -> tuple[list[dict[str, Any]], list[tuple[int, Failure]]]:
    """All that a runner said of a batch."""
    chunks = list(runner.run(features))
    answers = in_order([chunk.answers for chunk in chunks], len(features)).to_pylist()
    return answers, sorted(failure for chunk in chunks for failure in chunk.failures)


@pytest.mark.parametrize("together", [False, True])
def test_each_request_gets_an_answer_or_a_failure(together: bool) -> None:
    """Whatever the model raises is the failure of the request that caused it, and of no other."""
    answers, failures = run(Runner(PythonModel(Faulty(), SOURCE), batch=together), batch(8))
    assert [answer["row"] for answer in answers] == [0, 6, 7]
    assert [answer["prediction"]["score"] for answer in answers] == [0.0, 0.6, 0.7]
    assert {row: failure.error_type for row, failure in failures} == {
        1: "KeyError", 2: "SystemExit", 3: "KeyboardInterrupt", 4: "Panic", 5: "NoFormError",
    }  # fmt: skip
    assert all(failure.stage == "predict" and failure.traceback for _, failure in failures)


def test_the_first_calls_are_marked_as_warm_up() -> None:
    """Ten calls after a load are warm-up, those after it are timed alone."""
    runner = Runner(PythonModel(lambda features: features["n"], SOURCE))
    first, _ = run(runner, batch(8))
    second, _ = run(runner, batch(8))
    assert [answer["basis"] for answer in [*first, *second]] == ["warmup"] * 10 + ["single"] * 6


def test_a_batch_is_amortized_but_for_a_sample() -> None:
    """In batch mode one request in a hundred is timed alone; the rest share the call's time."""
    model: Callable[[dict[str, Any]], object] = lambda features: features["n"]  # noqa: E731
    runner = Runner(PythonModel(model, SOURCE), batch=True)
    first, _ = run(runner, batch(250))
    assert {answer["basis"] for answer in first} == {"warmup"}
    for _ in range(4):
        answers, failures = run(runner, batch(250))
    assert not failures
    assert [answer["row"] for answer in answers] == list(range(250))
    assert [answer["row"] for answer in answers if answer["basis"] == "single"] == [0, 100, 200]
    shared = {answer["latency_ms"] for answer in answers if answer["basis"] == "amortized"}
    assert len(shared) == 1


def test_features_that_cannot_be_prepared_fail_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault before the model is asked is every request's failure, and nothing is lost."""
    broken = PythonModel(Faulty(), SOURCE)
    monkeypatch.setattr(broken, "prepare", lambda _features: 1 // 0)
    answers, failures = run(Runner(broken), batch(3))
    assert not answers
    assert [(row, failure.error_type) for row, failure in failures] == [
        (row, "ZeroDivisionError") for row in range(3)
    ]
