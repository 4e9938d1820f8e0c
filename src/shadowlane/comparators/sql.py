"""The same rules as DuckDB expressions, so that a report can judge again at another tolerance.

    judged = judgement(Comparator.parse("score:0.01"))
    f"SELECT avg(CAST({judged.agreement} AS INTEGER)) FROM comparisons"

They read the columns of the lake's table `comparisons`: `primary_score`, `shadow_label`, …, `segments`.
Their text holds what stands in the rule, and nothing from data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from shadowlane.comparators._comparator import Comparator
from shadowlane.comparators._ignored import Ignored
from shadowlane.comparators._measures import SUM_SLACK
from shadowlane.comparators._rules import LabelRule, RankingRule, Rule, ScoreRule, VectorRule
from shadowlane.errors import SettingsError

_NONE = "CAST(NULL AS DOUBLE)"


class Judgement(NamedTuple):
    """Expressions for what a comparator says of a row: BOOLEAN (never NULL), DOUBLE, VARCHAR."""

    agreement: str
    difference: str
    comparator: str
    #: Whether the pair is to be left out of every rate; it is no agreement then.
    is_ignored: str


def judgement(comparator: Comparator, column: str = "{side}_{part}", segments: str = "segments") -> Judgement:
    """A comparator as expressions.

    Args:
        comparator: The rules. Texts, steps on labels and `python:` have no form in SQL.
        column: How the columns are called: `{side}_prediction.{part}` where predictions are structs.
        segments: The map of a request's segments.

    Raises:
        SettingsError: a rule has no form in SQL; it says which and why.
    """
    named = _Columns(column)
    cases = [
        (_covered(each, named, segments), "false", _NONE, _text(each.name)) for each in comparator.ignored
    ]
    is_ignored = " OR ".join(case for case, *_ in cases) or "false"
    for rule in comparator.rules:
        left, right = named.of(rule.part or "label")
        present = f"({left} IS NOT NULL AND {right} IS NOT NULL)"
        cases.append((present, *_judged(rule, left, right, named), _text(rule.name)))
    none = ("false", _NONE, _text(comparator.name_of_none))
    agreement, difference, name = (
        _case([(case[0], case[place + 1]) for case in cases], none[place]) for place in range(3)
    )
    return Judgement(agreement, difference, name, f"({is_ignored})")


class _Columns(NamedTuple):
    template: str

    def of(self, part: str) -> tuple[str, str]:
        left, right = (self.template.format(side=side, part=part) for side in ("primary", "shadow"))
        return left, right


def _judged(rule: Rule, left: str, right: str, named: _Columns) -> tuple[str, str]:
    """Agreement and difference where both sides have the part."""
    match rule:
        case LabelRule(steps=()):
            return f"({left} = {right})", _finite(_minus(*named.of("score")))
        case ScoreRule():
            return _close(rule, left, right), _finite(_minus(left, right))
        case VectorRule():
            return _vectors(rule, left, right)
        case RankingRule():
            return _rankings(rule, left, right)
    raise SettingsError(
        f"comparator {rule.name!r} has no form in SQL: DuckDB has neither its function nor its Unicode forms"
    )


def _close(rule: ScoreRule, left: str, right: str) -> str:
    size = f"abs({right} - {left})"
    bound = (
        f"greatest({_number(rule.absolute)}, {_number(rule.relative)} * greatest(abs({left}), abs({right})))"
    )
    return f"({_same(left, right)} OR (isfinite({size}) AND {size} <= {bound}))"


def _vectors(rule: VectorRule, left: str, right: str) -> tuple[str, str]:
    found = _let("_v", _pair(left, right), _let("_d", _MEASURES[rule.measure], _finite("_d")))
    found = f"(CASE WHEN len({left}) = len({right}) THEN {found} END)"
    if rule.measure == "cosine":
        return f"coalesce({found} >= {_number(rule.bound)}, false)", f"(1e0 - {found})"
    return f"coalesce({found} <= {_number(rule.bound)}, false)", found


def _rankings(rule: RankingRule, left: str, right: str) -> tuple[str, str]:
    top = "" if rule.top is None else f"[:{rule.top}]"
    if rule.is_exact:
        return f"({left}{top} = {right}{top})", _NONE
    pair = _pair(f"{_once(left)}{top}", f"{_once(right)}{top}")
    asked = [(_OVERLAP, rule.overlap), (_SPEARMAN, rule.spearman)]
    found = [(_let("_v", pair, measure), least) for measure, least in asked if least is not None]
    near = " AND ".join(f"coalesce({measure} >= {_number(least)}, false)" for measure, least in found)
    # `greatest` passes over NULL, and a correlation that there is not leaves no difference.
    known = " AND ".join(f"{measure} IS NOT NULL" for measure, _ in found)
    apart = ", ".join(f"1e0 - {measure}" for measure, _ in found)
    return f"({near})", f"(CASE WHEN {known} THEN greatest({apart}) END)"


def _covered(ignored: Ignored, named: _Columns, segments: str) -> str:
    value = _text(ignored.value)
    if ignored.segment is None:
        return f"coalesce({value} IN ({', '.join(named.of('label'))}), false)"
    return f"coalesce(map_extract({segments}, {_text(ignored.segment)})[1] = {value}, false)"


# Expressions, bottom up. `_v` is a pair of lists, `_v.a` the primary's and `_v.b` the shadow's. The names
# begin with `_` because a table's column or alias of the same name would be taken instead.


def _let(name: str, value: str, body: str) -> str:
    """The body, in which a name stands for a value: SQL has no other way to name one within a row."""
    return f"([{body} FOR {name} IN [{value}]][1])"


def _pair(left: str, right: str) -> str:
    return f"{{'a': {left}, 'b': {right}}}"


def _case(cases: Sequence[tuple[str, str]], otherwise: str) -> str:
    return "CASE " + " ".join(f"WHEN {when} THEN {then}" for when, then in cases) + f" ELSE {otherwise} END"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _number(value: float) -> str:
    """A number that the engine reads as DOUBLE: `0.1` would be a DECIMAL."""
    digits = repr(float(value))
    return digits if "e" in digits else f"{digits}e0"


def _minus(left: str, right: str) -> str:
    return f"({right} - {left})"


def _finite(number: str) -> str:
    return f"CASE WHEN isfinite({number}) THEN {number} END"


def _same(left: str, right: str) -> str:
    """To the engine NaN is NaN."""
    return f"({left} = {right} AND NOT isnan({left}))"


def _or_one(number: str) -> str:
    """To the engine NaN is more than any number."""
    return f"(CASE WHEN {number} > 0 AND NOT isnan({number}) THEN {number} ELSE 1e0 END)"


def _by_place(body: str) -> str:
    return f"[{body} FOR _i IN range(1, len(_v.a) + 1)]"


def _sum(numbers: str) -> str:
    """The engine adds a list from left to right."""
    return f"coalesce(list_sum({numbers}), 0e0)"


def _largest(numbers: str) -> str:
    return f"coalesce(list_max({numbers}), 0e0)"


def _squares(numbers: str) -> str:
    return _sum(f"[_x * _x FOR _x IN {numbers}]")


def _scaled(vector: str) -> str:
    return _let("_s", _or_one(_largest(f"[abs(_x) FOR _x IN {vector}]")), f"[_x / _s FOR _x IN {vector}]")


def _is_distribution(vector: str) -> str:
    bad = f"len([_x FOR _x IN {vector} IF _x < 0 OR isnan(_x)])"
    return f"(abs({_sum(vector)} - 1e0) <= {_number(SUM_SLACK)} AND {bad} = 0)"


def _of_distributions(distance: str) -> str:
    return f"CASE WHEN {_is_distribution('_v.a')} AND {_is_distribution('_v.b')} THEN {distance} END"


def _once(ranking: str) -> str:
    places = f"range(1, len({ranking}) + 1)"
    return f"([{ranking}[_i] FOR _i IN {places} IF list_position({ranking}, {ranking}[_i]) = _i])"


_GAPS = _by_place(f"CASE WHEN {_same('_v.a[_i]', '_v.b[_i]')} THEN 0e0 ELSE abs(_v.b[_i] - _v.a[_i]) END")
_EUCLIDEAN = _let(
    "_g", _GAPS, _let("_s", _or_one(_largest("_g")), f"_s * sqrt({_squares('[_x / _s FOR _x IN _g]')})")
)
_SIZES = f"(sqrt({_squares('_v.a')}) * sqrt({_squares('_v.b')}))"
_ANGLE = f"{_sum(_by_place('_v.a[_i] * _v.b[_i]'))} / {_or_one(_SIZES)}"
_COSINE = (
    f"CASE WHEN len({_by_place('_i')[:-1]} IF NOT {_same('_v.a[_i]', '_v.b[_i]')}]) = 0 THEN 1e0 ELSE "
    + _let(
        "_c",
        _let("_v", _pair(_scaled("_v.a"), _scaled("_v.b")), _ANGLE),
        "CASE WHEN isnan(_c) THEN _c ELSE greatest(-1e0, least(1e0, _c)) END",
    )
    + " END"
)
_HALF = _sum(_by_place("abs(_v.b[_i] - _v.a[_i])"))
_ROOTS = _by_place("sqrt(greatest(_v.b[_i], 0e0)) - sqrt(greatest(_v.a[_i], 0e0))")
_MEASURES = {
    "largest": _largest(_GAPS),
    "euclidean": _EUCLIDEAN,
    "cosine": _COSINE,
    "total_variation": _of_distributions(f"0.5e0 * {_HALF}"),
    "hellinger": _of_distributions(f"sqrt(0.5e0 * {_squares(_ROOTS)})"),
}
_IN_BOTH = "[_x FOR _x IN {} IF list_contains({}, _x)]"
_COMMON = f"len({_IN_BOTH.format('_v.a', '_v.b')})"
_LONGER = "greatest(len(_v.a), len(_v.b))"
_OVERLAP = (
    f"(CASE WHEN {_LONGER} = 0 THEN 1e0 ELSE CAST({_COMMON} AS DOUBLE) / CAST({_LONGER} AS DOUBLE) END)"
)
_STEPS = _by_place("(_i - list_position(_v.b, _v.a[_i])) * (_i - list_position(_v.b, _v.a[_i]))")
_CORRELATION = (
    f"CASE WHEN len(_v.a) > 1 THEN 1e0 - CAST(6 * list_sum({_STEPS}) AS DOUBLE) "
    "/ CAST(len(_v.a) * (len(_v.a) * len(_v.a) - 1) AS DOUBLE) END"
)
_BOTH = _pair(_IN_BOTH.format("_v.a", "_v.b"), _IN_BOTH.format("_v.b", "_v.a"))
_SPEARMAN = f"(CASE WHEN _v.a = _v.b THEN 1e0 ELSE {_let('_v', _BOTH, _CORRELATION)} END)"
