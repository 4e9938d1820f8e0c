"""What a model said of some rows, as it is handed on: answers as columns, failures by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from shadowlane.replay_worker._answers import ANSWERS, numbers
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker.isolation._said import BASES
from shadowlane.replay_worker.isolation._timing import Taken
from shadowlane.replay_worker.models._call_errors import CallError
from shadowlane.schemas import Failure

_MILLISECOND = 1e6
# Of the names of features that the model does not know so many are counted, and none that is longer.
_MOST_NAMES, _LONGEST_NAME = 1_000, 1_000
#: How a latency was measured: these words, by their places in `BASES`.
WARM_UP, SINGLE, AMORTIZED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows' answers and failures."""

    answers: pa.RecordBatch
    failures: Sequence[tuple[int, Failure]] = ()
    #: Those of the failures where memory ran out: a fresh process may do better.
    starved: Sequence[int] = ()
    #: Why the rest cannot be asked now, through no fault of its own.
    unavailable: str | None = None


@dataclass(slots=True)
class Calls:
    """What calls gave, one after the other, until it becomes columns."""

    done: list[tuple[int, Taken]] = field(default_factory=list)
    failures: list[tuple[int, Failure]] = field(default_factory=list)
    starved: list[int] = field(default_factory=list)

    def failed(self, row: int, error: BaseException) -> None:
        """This one failed."""
        self.failures.append((row, _failure(error)))
        # Torch has an error of its own for a GPU's memory.
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            self.starved.append(row)


def columns_of(
    rows: np.ndarray[Any, Any],
    predictions: pa.StructArray,
    took: np.ndarray[Any, Any],
    basis: np.ndarray[Any, Any],
) -> pa.RecordBatch:
    """Answers to these rows, with what each took (nanoseconds, nanoseconds, a GPU's milliseconds or NaN)."""
    wall, cpu, gpu = took.T
    columns = {
        "row": numbers(rows.astype(np.int32)),
        "prediction": predictions,
        "latency_ms": numbers(wall / _MILLISECOND),
        "basis": BASES.take(numbers(basis)),
        "cpu_ms": numbers(cpu / _MILLISECOND),
        "gpu_ms": None if np.isnan(gpu).all() else pa.array(gpu, from_pandas=True),
    }
    filled = [columns.get(each.name) for each in ANSWERS]
    arrays = [
        pa.nulls(len(rows), each.type) if column is None else column
        for each, column in zip(ANSWERS, filled, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=ANSWERS)


def look_at(batch: FeatureBatch, names: Sequence[str]) -> tuple[pa.RecordBatch | None, dict[str, int]]:
    """What each request lacks of the model's features, and how many carry what it does not know."""
    if not names:
        return None, {}
    lacking = batch.lacking(names)
    missing = None if lacking is None else pa.RecordBatch.from_arrays([lacking], names=["missing"])
    found = batch.unexpected(names)
    unexpected = {name: count for name, count in found.items() if len(name) <= _LONGEST_NAME}
    if len(unexpected) > _MOST_NAMES:
        unexpected = dict(Counter(unexpected).most_common(_MOST_NAMES))
    return missing, unexpected


def _failure(error: BaseException) -> Failure:
    if isinstance(error, CallError):
        return Failure.of(error.stage, error)._replace(attempts=error.attempts)
    return Failure.of("predict", error)
