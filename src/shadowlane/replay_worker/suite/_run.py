"""Runs a suite through the replay's own steps; what is expected stands where the primary's answer would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event as Flag
from typing import Any, Literal

import pyarrow as pa

from shadowlane.comparators import IGNORED
from shadowlane.errors import SettingsError
from shadowlane.kafka import TopicNames
from shadowlane.replay_worker._message import ArchivedMessage
from shadowlane.replay_worker._plan import WorkerPlan
from shadowlane.replay_worker._replay import Outcome, open_replay
from shadowlane.schemas import Codec, Features, Prediction, ProductionRequest, ShadowComparison, ShadowError
from shadowlane.schemas.columns import ColumnCodec
from shadowlane.schemas.suite import read_suite

Came = Literal["agrees", "disagrees", "failed", "ignored"]

_CODEC = Codec(ProductionRequest)
_COMPARISONS, _ERRORS = ColumnCodec(ShadowComparison), Codec(ShadowError)
_BATCH = 500
_FEATURES = ("numbers", "integers", "flags", "strings", "vectors", "json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one request of a suite."""

    request_id: str
    why: str
    expected_from: str
    came: Came
    expected: Prediction
    answered: Prediction | None  # None where the model failed
    difference: float | None = None
    error: str | None = None  # stage and type of the failure


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """What became of all of them."""

    model: str
    shadow: str
    answers: tuple[Answer, ...]
    interrupted: bool = False

    def count(self, came: Came) -> int:
        """How many came to this."""
        return sum(answer.came == came for answer in self.answers)

    @property
    def passed(self) -> bool:
        """Whether each request is answered as expected: a suite that was cut short or asks nothing is not."""
        unwanted = self.count("disagrees") + self.count("failed")
        return bool(self.count("agrees")) and not unwanted and not self.interrupted

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; the requests that are not answered as expected are listed."""
        return {
            "model": self.model,
            "shadow": self.shadow,
            "passed": self.passed,
            "interrupted": self.interrupted,
            "requests": len(self.answers),
            **{came: self.count(came) for came in ("agrees", "disagrees", "failed", "ignored")},
            "not_as_expected": [
                {
                    "request_id": each.request_id,
                    "why": each.why,
                    "came": each.came,
                    "expected_from": each.expected_from,
                    "difference": each.difference,
                    "error": each.error,
                }
                for each in self.answers
                if each.came in ("disagrees", "failed")
            ],
        }


def run_suite(plan: WorkerPlan, path: Path, *, stop: Flag) -> SuiteResult:
    """Ask the model about each request of the suite, and compare its answer with what is expected.

    Raises:
        SuiteFileError: the file cannot be read, or is no suite.
        SettingsError: it is empty, or of another model.
        ModelError: the model cannot be loaded.
    """
    rows = read_suite(path).to_pylist()
    _check(rows, plan.target.model, path)
    # The suite is of no window and no live work, and is not to be drained into errors that nobody reads.
    plan = replace(plan, control=None, primary=None)
    answers: list[Answer] = []
    with open_replay(plan, TopicNames(), "suite", stop.wait) as asked:
        while len(answers) < len(rows) and not stop.is_set():
            part = rows[len(answers) : len(answers) + _BATCH]
            answers += _answers(part, asked.run(_messages(part), stop.is_set))
    return SuiteResult(plan.target.model, plan.target.shadow, tuple(answers), len(answers) < len(rows))


def _check(rows: Sequence[Mapping[str, Any]], model: str, path: Path) -> None:
    if not rows:
        raise SettingsError(f"{path.name} has no request: a suite that asks nothing says nothing")
    if any(row["model"] != model for row in rows):
        raise SettingsError(f"{path.name} has requests of another model than {model}: name it with --model")


def _messages(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The requests as messages, each at the offset that is its place among them."""
    return [
        ArchivedMessage("suite", 0, place, row["request_id"], 1, _CODEC.encode(_request(row)))
        for place, row in enumerate(rows)
    ]


def _request(row: Mapping[str, Any]) -> ProductionRequest:
    features = row["features"]
    return ProductionRequest(
        request_id=row["request_id"],
        event_time=row["event_time"],
        model=row["model"],
        model_version=row["model_version"] or "",
        entity_id=row["entity_id"],
        features=Features(**{kind: dict(features[kind]) for kind in _FEATURES}, missing=features["missing"]),
        prediction=Prediction(**row["expected"]),
        latency_ms=row["latency_ms"],
        segments=dict(row["segments"] or ()),
    )


def _answers(rows: Sequence[Mapping[str, Any]], outcome: Outcome) -> list[Answer]:
    comparisons, errors, *_ = outcome.outgoing
    compared = _COMPARISONS.decode(comparisons.values).batch
    by_place: dict[int, dict[str, Any]] = {each["source_offset"]: each for each in _told(compared)}
    failed = {each.source_offset: each for each in map(_ERRORS.decode, errors.values)}
    return [
        _compared(row, by_place[place]) if place in by_place else _failed(row, failed[place])
        for place, row in enumerate(rows[: outcome.taken])
    ]


def _told(compared: pa.RecordBatch) -> list[dict[str, Any]]:
    names = ["source_offset", "agreement", "comparator", "difference", "shadow_prediction"]
    rows: list[dict[str, Any]] = compared.select(names).to_pylist()
    return rows


def _compared(row: Mapping[str, Any], found: Mapping[str, Any]) -> Answer:
    is_ignored = found["comparator"].startswith(IGNORED)
    came: Came = "ignored" if is_ignored else "agrees" if found["agreement"] else "disagrees"
    answered = Prediction(**found["shadow_prediction"])
    return replace(_answer(row, came), answered=answered, difference=found["difference"])


def _failed(row: Mapping[str, Any], error: ShadowError) -> Answer:
    return replace(_answer(row, "failed"), error=f"{error.stage}: {error.error_type}")


def _answer(row: Mapping[str, Any], came: Came) -> Answer:
    return Answer(
        request_id=row["request_id"],
        why=row["why"] or "",
        expected_from=row["expected_from"] or "primary",
        came=came,
        expected=Prediction(**row["expected"]),
        answered=None,
    )
