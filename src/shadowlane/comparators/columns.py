"""The same rules over columns (needs `[worker]`): a row at a time only where a rule needs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shadowlane.comparators._comparator import Comparator
from shadowlane.comparators._ignored import Ignored
from shadowlane.comparators._measures import MEASURES, Arithmetic
from shadowlane.comparators._rules import (
    LabelRule,
    OwnRule,
    RankingRule,
    Rule,
    ScoreRule,
    TextRule,
    VectorRule,
)
from shadowlane.comparators._texts import STEPS, likeness_of_forms, normal
from shadowlane.schemas import Prediction

Array = np.ndarray[Any, np.dtype[Any]]
#: For each row the agreement, and the difference with NaN for none.
Judged = tuple[Array, Array]

_ARRAYS = Arithmetic(np.where, np.sqrt, np.float64(0.0), always=np.True_)


class Outcomes(NamedTuple):
    """`Outcome` for each row: booleans, doubles with nulls, names of rules."""

    agreement: pa.BooleanArray
    difference: pa.DoubleArray
    comparator: pa.StringArray
    #: Neither agreement nor ignored.
    is_disagreement: pa.BooleanArray


def compare_columns(
    comparator: Comparator,
    primary: pa.StructArray,
    shadow: pa.StructArray,
    segments: pa.MapArray | None = None,
) -> Outcomes:
    """Compare row by row; the columns hold predictions and no null, and the requests' segments."""
    with np.errstate(all="ignore"):
        rule = None if comparator.ignored else _rule_of_all(comparator, primary, shadow)
        if rule is not None:
            names = pa.repeat(pa.scalar(rule.name, pa.string()), len(primary))
            agreement, difference = _judge(rule, primary, shadow)
            return _outcomes(agreement, difference, names, ~agreement)
        return _compare_apart(comparator, primary, shadow, segments)


def _rule_of_all(comparator: Comparator, primary: pa.StructArray, shadow: pa.StructArray) -> Rule | None:
    """The rule that judges every row, where there is one: the most common case, and the fastest."""
    rows = len(primary)
    for rule in comparator.rules:
        if rule.part is None:
            return rule
        nulls = [side.field(rule.part).null_count for side in (primary, shadow)]
        if not any(nulls):
            return rule
        if rows not in nulls:
            return None
    return None


def _compare_apart(
    comparator: Comparator,
    primary: pa.StructArray,
    shadow: pa.StructArray,
    segments: pa.MapArray | None,
) -> Outcomes:
    """Each rule on the rows that it is the first for."""
    rows = len(primary)
    agreement, difference = np.zeros(rows, np.bool_), np.full(rows, np.nan)
    which = np.zeros(rows, np.int32)
    names = [comparator.name_of_none]
    is_open = np.ones(rows, np.bool_)
    for ignored in comparator.ignored:
        which[is_open & _covered(ignored, primary, shadow, segments)] = len(names)
        names.append(ignored.name)
        is_open = which == 0
    for rule in comparator.rules:
        here = np.flatnonzero(is_open & _present(rule, primary, shadow))
        if len(here):
            chosen = pa.array(here)
            agreement[here], difference[here] = _judge(rule, primary.take(chosen), shadow.take(chosen))
            which[here] = len(names)
            names.append(rule.name)
            is_open = which == 0
    is_ignored = (which > 0) & (which <= len(comparator.ignored))
    recorded = pa.array(names, pa.string()).take(pa.array(which))
    return _outcomes(agreement, difference, recorded, ~(agreement | is_ignored))


def _present(rule: Rule, primary: pa.StructArray, shadow: pa.StructArray) -> Array:
    if rule.part is None:
        return np.ones(len(primary), np.bool_)
    return _truths(pc.and_(primary.field(rule.part).is_valid(), shadow.field(rule.part).is_valid()))


def _covered(
    ignored: Ignored, primary: pa.StructArray, shadow: pa.StructArray, segments: pa.MapArray | None
) -> Array:
    value = pa.scalar(ignored.value, pa.string())
    if ignored.segment is None:
        labels = (pc.fill_null(pc.equal(side.field("label"), value), False) for side in (primary, shadow))
        return _truths(pc.or_(*labels))
    if segments is None or not len(segments.keys):
        return np.zeros(len(primary), np.bool_)
    named = pc.map_lookup(segments, pa.scalar(ignored.segment), "last")
    return _truths(pc.fill_null(pc.equal(named, value), False))


def _judge(rule: Rule, primary: pa.StructArray, shadow: pa.StructArray) -> Judged:
    """Apply a rule to rows that all have its part."""
    match rule:
        case OwnRule():
            return _each(
                rule.judge(Prediction(**left), Prediction(**right))
                for left, right in zip(primary.to_pylist(), shadow.to_pylist(), strict=True)
            )
        case LabelRule():
            return _judge_labels(rule, primary, shadow)
    left, right = primary.field(rule.part), shadow.field(rule.part)
    match rule:
        case ScoreRule():
            return _judge_scores(rule, _floats(left), _floats(right))
        case TextRule():
            return _judge_texts(rule, left.to_pylist(), right.to_pylist())
        case VectorRule():
            return _judge_vectors(rule, left, right)
        case RankingRule():
            return _judge_rankings(rule, left, right)


def _judge_labels(rule: LabelRule, primary: pa.StructArray, shadow: pa.StructArray) -> Judged:
    left, right = primary.field("label"), shadow.field("label")
    same = _truths(pc.equal(left, right))
    if rule.steps and not same.all():
        coded = pa.concat_arrays([left, right]).dictionary_encode()
        forms = [normal(text, rule.steps) for text in coded.dictionary.to_pylist()]
        numbers = {form: number for number, form in enumerate(dict.fromkeys(forms))}
        codes = np.array([numbers[form] for form in forms])[coded.indices.to_numpy()]
        same = codes[: len(left)] == codes[len(left) :]
    return same, _floats(shadow.field("score")) - _floats(primary.field("score"))


def _judge_texts(rule: TextRule, primary: list[str], shadow: list[str]) -> Judged:
    from rapidfuzz.process import cpdist  # noqa: PLC0415 - of the extra [text]

    forms = ([normal(text, STEPS) for text in texts] for texts in (primary, shadow))
    alike = cpdist(*forms, scorer=likeness_of_forms(), dtype=np.float64)
    return alike >= rule.least, 1.0 - alike


def _judge_scores(rule: ScoreRule, primary: Array, shadow: Array) -> Judged:
    difference = shadow - primary
    size = np.abs(difference)
    if rule.relative:
        largest = np.maximum(np.abs(primary), np.abs(shadow))
        close = (size <= np.maximum(rule.absolute, rule.relative * largest)) & np.isfinite(size)
    else:
        close = size <= rule.absolute
    return close | (primary == shadow), difference


def _judge_vectors(rule: VectorRule, primary: pa.ListArray, shadow: pa.ListArray) -> Judged:
    agreement, difference = np.zeros(len(primary), np.bool_), np.full(len(primary), np.nan)
    values = _floats(primary.values), _floats(shadow.values)
    for rows, left, right in _matrices(primary, shadow, values):
        # One component of all vectors after the other: what is added up lies side by side.
        found = MEASURES[rule.measure](_ARRAYS, _components(left), _components(right))
        is_likeness = rule.measure == "cosine"
        near = found >= rule.bound if is_likeness else found <= rule.bound
        agreement[rows] = near & np.isfinite(found)
        difference[rows] = 1.0 - found if is_likeness else found
    return agreement, difference


def _components(vectors: Array) -> list[Array]:
    return list(np.ascontiguousarray(vectors.T))


def _judge_rankings(rule: RankingRule, primary: pa.ListArray, shadow: pa.ListArray) -> Judged:
    if not rule.is_exact:
        return _each(map(rule.judge_lists, primary.to_pylist(), shadow.to_pylist()))
    if rule.top is not None:
        primary, shadow = (pc.list_slice(side, 0, rule.top) for side in (primary, shadow))
    agreement = np.zeros(len(primary), np.bool_)
    coded = pa.concat_arrays([primary.values, shadow.values]).dictionary_encode().indices.to_numpy()
    values = coded[: len(primary.values)], coded[len(primary.values) :]
    for rows, left, right in _matrices(primary, shadow, values):
        agreement[rows] = (left == right).all(axis=1)
    return agreement, np.full(len(primary), np.nan)


def _matrices(
    primary: pa.ListArray, shadow: pa.ListArray, values: tuple[Array, Array]
) -> Iterator[tuple[Array | slice, Array, Array]]:
    """The rows with lists of one length on both sides, as two matrices for each length."""
    begins = [side.offsets.to_numpy() for side in (primary, shadow)]
    sizes = [np.diff(each) for each in begins]
    same = sizes[0] == sizes[1]
    for size in np.unique(sizes[0][same]).tolist():
        rows = same & (sizes[0] == size)
        if rows.all():
            spans = [slice(each[0], each[-1]) for each in begins]
            left, right = (
                of_side[span].reshape(len(primary), size) for of_side, span in zip(values, spans, strict=True)
            )
            yield slice(None), left, right
        else:
            places = [each[:-1][rows][:, None] + np.arange(size) for each in begins]
            yield rows, values[0][places[0]], values[1][places[1]]


def _each(judged: Any) -> Judged:
    """What was judged a row at a time, as columns."""
    pairs: Sequence[tuple[bool, float | None]] = list(judged)
    return (
        np.array([agreement for agreement, _ in pairs], np.bool_),
        np.array([np.nan if difference is None else difference for _, difference in pairs], np.float64),
    )


def _outcomes(agreement: Array, difference: Array, names: pa.StringArray, is_disagreement: Array) -> Outcomes:
    """As Arrow's own, without `pa.array`, which looks for pandas at each call."""
    rows, is_number = len(agreement), np.isfinite(difference)
    present = None if is_number.all() else _bits(is_number)
    numbers = [present, pa.py_buffer(np.ascontiguousarray(difference))]
    differences = pa.Array.from_buffers(pa.float64(), rows, numbers)
    return Outcomes(_booleans(agreement), differences, names, _booleans(is_disagreement))


def _booleans(truths: Array) -> pa.BooleanArray:
    return pa.Array.from_buffers(pa.bool_(), len(truths), [None, _bits(truths)])


def _bits(truths: Array) -> pa.Buffer:
    return pa.py_buffer(np.packbits(truths, bitorder="little"))


def _floats(column: pa.DoubleArray) -> Array:
    floats: Array = column.to_numpy(zero_copy_only=False)
    return floats


def _truths(column: pa.BooleanArray) -> Array:
    truths: Array = column.to_numpy(zero_copy_only=False)
    return truths
