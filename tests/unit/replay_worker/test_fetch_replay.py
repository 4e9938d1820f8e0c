"""A look-up in the replay: before the model, beside its time, and each failure of its own request."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from asked import asked
from shadowlane.replay_worker import Isolation, ModelSource
from shadowlane.replay_worker._answers import Answered
from shadowlane.replay_worker.isolation import open_host

FAILING = (3, 4)

Kind = Literal["process", "none"]


def run(kind: Kind, rows: int, *, batch: bool = False, model: str = "predict") -> Answered:
    """What a host says of so many requests."""
    source = ModelSource(f"python:lookups:{model}", fetch="python:lookups:fetch")
    host = open_host(source, Isolation(kind=kind), batch=batch, wait=lambda _seconds: False)
    try:
        requests = [{"count": number, "amount": float(number % 10)} for number in range(rows)]
        return host.run(asked(*requests), lambda: False)
    finally:
        host.close()


def scores(answered: Answered) -> dict[int, float]:
    """The predictions by row."""
    column = answered.answers.column("prediction").field("score")
    return dict(zip(answered.rows.tolist(), column.to_pylist(), strict=True))


def fetched(answered: Answered) -> dict[int, dict[str, Any]]:
    """By row what was fetched and differs."""
    rows = answered.answers.column("fetched").to_pylist()
    kinds = ("numbers", "integers", "strings")
    return {
        row: dict(pair for kind in kinds for pair in found[kind])
        for row, found in zip(answered.rows.tolist(), rows, strict=True)
    }


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("kind", ["process", "none"])
def test_the_model_is_asked_with_what_was_fetched(kind: Kind, batch: bool) -> None:
    """What differs comes with the answer, and a look-up that fails is an error of its own request."""
    answered = run(kind, 300, batch=batch)
    assert answered.done == 300
    expected = [number for number in range(300) if number % 10 not in FAILING]
    assert scores(answered) == {
        number: number % 10 + (1.0 if number % 2 else 0.0) + number * 2 for number in expected
    }
    assert fetched(answered) == {
        number: {"history": number * 2, "by": f"request-{number}"}
        | ({"amount": number % 10 + 1.0} if number % 2 else {})
        for number in expected
    }
    failures = dict(answered.failures)
    assert sorted(failures) == [number for number in range(300) if number % 10 in FAILING]
    assert {failure.stage for failure in failures.values()} == {"fetch"}
    assert (failures[3].error_type, failures[3].attempts) == ("TransientError", 3)
    assert (failures[4].error_type, failures[4].attempts) == ("KeyError", 1)


@pytest.mark.parametrize("kind", ["process", "none"])
def test_what_was_fetched_is_not_missing(kind: Kind) -> None:
    """A feature that the model wants, the primary lacks and the look-up finds is there."""
    answered = run(kind, 10, model="Named")
    assert answered.missing is not None
    lacking = answered.missing.to_pylist()
    assert [lacking[row] for row in answered.rows] == [["nothing"]] * 8


def test_a_look_up_that_ends_the_process_is_narrowed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """One request's crash, whatever else was looked up at the same time."""
    monkeypatch.setenv("LOOKUPS_MAY_CRASH", "1")
    answered = run("process", 60)
    ((row, failure),) = [each for each in answered.failures if each[1].stage != "fetch"]
    assert (row, failure.stage, failure.attempts) == (55, "crash", 2)
    assert len(scores(answered)) == 60 - 12 - 1


def test_without_a_look_up_nothing_is_fetched() -> None:
    """The column is empty, and says so."""
    source = ModelSource("python:lookups:predict")
    host = open_host(source, Isolation(kind="none"), batch=False, wait=lambda _seconds: False)
    answered = host.run(asked({"amount": 1.0, "history": 2}), lambda: False)
    assert answered.answers.column("fetched").to_pylist() == [None]
