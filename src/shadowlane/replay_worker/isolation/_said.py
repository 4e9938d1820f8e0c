"""What a model's process says of a batch, checked: it is not trusted to count, nor to name things rightly."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from shadowlane.replay_worker._answers import ANSWERS, FEATURES, PREDICTION
from shadowlane.schemas import Failure

#: What its messages may be called, and the columns that come with each.
LACKING: pa.ListType = FEATURES.field("missing").type
SCHEMAS = {"chunk": ANSWERS, "features": pa.schema([pa.field("missing", LACKING)])}

#: How a latency may have been measured. Not made by `pa.array`: that looks for pandas, and so loads it,
#: which would make each start of a model's process half a second longer.
BASES: pa.StringArray = pa.StringArray.from_buffers(
    3, pa.py_buffer(np.array([0, 6, 12, 21], np.int32)), pa.py_buffer(b"warmupsingleamortized")
)
_BASES = set(BASES.to_pylist())
_STAGES = ("predict", "fetch", "timeout")
_MOST_TEXT = 100_000
_MOST_NAMES = 10_000
# Counts are added up over a worker's life, and must fit into the ledger's 64 bits then.
_MOST_COUNT = 2**40
_TEXTS = 3


class NonsenseError(Exception):
    """It said what cannot be."""


def places(rows: int, given: Any) -> list[int]:
    """Places among so many rows, none twice.

    Raises:
        NonsenseError: they are not.
    """
    if not (isinstance(given, list) and all(type(each) is int and 0 <= each < rows for each in given)):
        raise NonsenseError("rows that it was not asked about")
    if len(set(given)) != len(given):
        raise NonsenseError("a row twice")
    return given


def failures(rows: int, given: Any) -> list[tuple[int, Failure]]:
    """Failures by place, none twice.

    Raises:
        NonsenseError: they are not.
    """
    if not (isinstance(given, list) and all(isinstance(each, list) and len(each) > 1 for each in given)):
        raise NonsenseError("failures that are none")
    found = places(rows, [each[0] for each in given])
    return [(place, _failure(each[1:])) for place, each in zip(found, given, strict=True)]


def answers(rows: int, given: pa.RecordBatch | None) -> tuple[np.ndarray[Any, Any], pa.RecordBatch]:
    """Answers (their schema is checked where they are received), and the place of each.

    Raises:
        NonsenseError: they are not.
    """
    if given is None:
        raise NonsenseError("no answers")
    if given.num_rows == 0:
        return np.zeros(0, np.int64), given
    for name in ("row", "prediction", "latency_ms", "basis", "cpu_ms"):
        if given.column(name).null_count:
            raise NonsenseError(f"an answer without {name}")
    found = given.column("row").to_numpy().astype(np.int64)
    in_order = found if (np.diff(found) > 0).all() else np.unique(found)
    if in_order[0] < 0 or in_order[-1] >= rows or len(in_order) < len(found):
        raise NonsenseError("answers to rows that it was not asked about, or twice")
    _check_times(given)
    if any(_has_holes(given.column(name)) for name in ("prediction", "fetched")):
        raise NonsenseError("predictions or features with nulls inside")
    return found, given


def _check_times(given: pa.RecordBatch) -> None:
    """What the clocks showed, and how.

    Raises:
        NonsenseError: they cannot.
    """
    for name in ("latency_ms", "cpu_ms", "gpu_ms"):
        column = given.column(name)
        figures = (column.drop_null() if column.null_count else column).to_numpy()
        if not (np.isfinite(figures).all() and (figures >= 0).all()):
            raise NonsenseError(f"{name} that no clock shows")
    if not _BASES.issuperset(given.column("basis").unique().to_pylist()):
        raise NonsenseError("latencies of a kind that is not known")


def _has_holes(column: pa.Array, *, is_optional: bool = True) -> bool:
    """Whether a list, or a map's values, or a map itself is null inside: encoded it would be 0, or empty."""
    if not is_optional and column.null_count:
        return True
    kind = column.type
    if column.null_count == len(column) or not pa.types.is_nested(kind):
        return False
    if pa.types.is_map(kind):
        return _has_holes(column.items, is_optional=False)
    if pa.types.is_list(kind):
        return _has_holes(column.flatten(), is_optional=False)
    there = column.drop_null() if column.null_count else column
    is_prediction = kind == PREDICTION  # each of its parts may be left out
    return any(_has_holes(part, is_optional=is_prediction) for part in there.flatten())


def counts(given: Any, is_known: Callable[[str], bool] = lambda _name: True) -> dict[str, int]:
    """Counts by name.

    Raises:
        NonsenseError: they are not.
    """
    if not (isinstance(given, dict) and len(given) <= _MOST_NAMES):
        raise NonsenseError("counts that are none")
    for name, count in given.items():
        if not (_is_text(name) and type(count) is int and 0 <= count <= _MOST_COUNT and is_known(name)):
            raise NonsenseError("counts that are none")
    return given


def lacking(rows: int, given: pa.RecordBatch | None) -> pa.ListArray | None:
    """For each row the names of the features that it lacks.

    Raises:
        NonsenseError: they are not.
    """
    if given is None:
        return None
    column = given.column("missing")
    if len(column) != rows or column.null_count or column.flatten().null_count:
        raise NonsenseError("missing features of other rows")
    return column


def amount(given: Any) -> float | None:
    """A figure that may be unknown.

    Raises:
        NonsenseError: it is none.
    """
    if given is None:
        return None
    # Compared before it is made a float: an integer of hundreds of digits has none.
    if type(given) not in (int, float) or not 0 <= given <= sys.float_info.max:
        raise NonsenseError("a figure that is none")
    return float(given)


def text(given: Any) -> str | None:
    """A sentence, or none.

    Raises:
        NonsenseError: it is no text.
    """
    if given is not None and not _is_text(given):
        raise NonsenseError("a text that is none")
    return given  # type: ignore[no-any-return]


def names(given: Any) -> tuple[str, ...]:
    """Names, in their order.

    Raises:
        NonsenseError: they are none.
    """
    if not (isinstance(given, list) and all(map(_is_text, given))):
        raise NonsenseError("names that are none")
    return tuple(given)


def _failure(given: Sequence[Any]) -> Failure:
    if len(given) != len(Failure._fields):
        raise NonsenseError("a failure that is none")
    failure = Failure(*given)
    texts_are_right = all(map(_is_text, given[:_TEXTS])) and failure.stage in _STAGES
    if not (texts_are_right and (failure.traceback is None or _is_text(failure.traceback))):
        raise NonsenseError("a failure that is none")
    if type(failure.attempts) is not int or not 0 < failure.attempts < _MOST_NAMES:
        raise NonsenseError("a failure that is none")
    return failure


def _is_text(given: Any) -> bool:
    """Whether it is text of a bearable length that UTF-8 has a form for."""
    if not (isinstance(given, str) and len(given) <= _MOST_TEXT):
        return False
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True
