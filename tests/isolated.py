"""The faulty model in a process of its own, and what came of each request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asked import asked
from shadowlane.replay_worker import FeatureBatch, Isolation, ModelSource
from shadowlane.replay_worker._answers import Answered
from shadowlane.replay_worker.isolation import ModelHost, open_host
from shadowlane.replay_worker.isolation._isolated import Isolated
from shadowlane.schemas import Failure

SECONDS = 1.5


def faulty(*, batch: bool = False, model: str = "Faulty", **limits: Any) -> Isolated:
    """The faulty model in a process of its own."""
    isolation = Isolation(**{"call_seconds": SECONDS} | limits)
    source = ModelSource(f"python:faulty_model:{model}")
    host = open_host(source, isolation, batch=batch, wait=lambda _seconds: None)
    assert isinstance(host, Isolated)
    return host


def pid_of(host: Isolated) -> int:
    """Of the model's process."""
    assert host._process is not None
    return host._process.pid


def requests(*faults: str, **features: object) -> FeatureBatch:
    """One request for each, all with these features beside."""
    rows: list[Mapping[str, object]] = [
        {"n": float(number), "fault": fault, **features} for number, fault in enumerate(faults)
    ]
    return asked(*rows)


def outcomes(host: ModelHost, batch: FeatureBatch) -> list[float | Failure]:
    """What came of each row, in order; a batch that is cut is asked on, as the replay does it."""
    found: list[float | Failure] = []
    while len(found) < len(batch):
        answered = host.run(batch.take(range(len(found), len(batch))), lambda: False)
        assert answered.done > 0
        found += whole(answered)
    return found


def whole(answered: Answered) -> list[float | Failure]:
    """Each row before `done` once, and no other."""
    scores = answered.answers.column("prediction").field("score").to_pylist()
    by_row: dict[int, float | Failure] = dict(zip(answered.rows.tolist(), scores, strict=True))
    assert len(by_row) == len(scores)
    assert not by_row.keys() & {row for row, _ in answered.failures}
    by_row |= dict(answered.failures)
    assert sorted(by_row) == list(range(answered.done))
    assert len(by_row) == len(scores) + len(answered.failures)
    return [by_row[row] for row in range(answered.done)]


def labels(host: ModelHost, batch: FeatureBatch) -> list[str | None]:
    """Of models that answer in words."""
    found: list[str | None] = (
        host.run(batch, lambda: False).answers.column("prediction").field("label").to_pylist()
    )
    return found
