"""The same rules over columns (needs `[worker]`); labels and scores vectorised, lists a row at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shadowlane.comparators._rules import Comparator
from shadowlane.schemas import Prediction

Array = np.ndarray[Any, np.dtype[Any]]


class Outcomes(NamedTuple):
    """`Outcome` for each row: booleans, doubles with nulls, names of rules."""

    agreement: pa.BooleanArray
    difference: pa.DoubleArray
    comparator: pa.StringArray


def compare_columns(rule: Comparator, primary: pa.StructArray, shadow: pa.StructArray) -> Outcomes:
    """Compare row by row; both columns hold predictions and no null."""
    rows = len(primary)
    parts = _parts(rule, primary, shadow)
    primary_score, shadow_score = _scores(primary), _scores(shadow)
    with np.errstate(invalid="ignore"):
        gap = shadow_score - primary_score
        close = (np.abs(gap) <= rule.tolerance) | (primary_score == shadow_score)
    agreement = np.select(
        [parts == "label", parts == "score"], [_same_labels(primary, shadow), close], default=False
    )
    difference = np.where(np.isin(parts, ("label", "score")) & np.isfinite(gap), gap, np.nan)
    for row in np.flatnonzero(np.isin(parts, ("vector", "ranking"))):
        one = rule.compare(_prediction(primary, row), _prediction(shadow, row))
        agreement[row] = one.agreement
        difference[row] = np.nan if one.difference is None else one.difference
    return Outcomes(
        pa.array(agreement, pa.bool_()),
        pa.array(difference, pa.float64(), mask=~np.isfinite(difference)),
        _names(rule, parts, rows),
    )


def _parts(rule: Comparator, primary: pa.StructArray, shadow: pa.StructArray) -> Array:
    """Which part each row compares: the first that the rule wants and both sides have."""
    parts = np.full(len(primary), "mixed" if rule.kind == "auto" else "none", dtype="U8")
    for part in ("ranking", "vector", "score", "label"):
        if rule.kind in ("auto", part):
            parts[_present(primary, part) & _present(shadow, part)] = part
    return parts


def _present(column: pa.StructArray, part: str) -> Array:
    present: Array = column.field(part).is_valid().to_numpy(zero_copy_only=False)
    return present


def _scores(column: pa.StructArray) -> Array:
    scores: Array = column.field("score").to_numpy(zero_copy_only=False)
    return scores


def _same_labels(primary: pa.StructArray, shadow: pa.StructArray) -> Array:
    same = pc.fill_null(pc.equal(primary.field("label"), shadow.field("label")), False)
    result: Array = same.to_numpy(zero_copy_only=False)
    return result


def _prediction(column: pa.StructArray, row: Any) -> Prediction:
    return Prediction(**column[int(row)].as_py())


def _names(rule: Comparator, parts: Array, rows: int) -> pa.StringArray:
    kinds, codes = np.unique(parts, return_inverse=True)
    names = pa.array(
        [rule.name_for(rule.kind if kind == "none" else str(kind)) for kind in kinds], pa.string()
    )
    return names.take(pa.array(codes.reshape(rows)))
