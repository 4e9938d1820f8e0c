"""The terms of a rule: what each says, in words, and which requests it holds for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shadowlane.aggregator.rules._columns import Categories, Column, Flags, Numbers
from shadowlane.visible import visible

Operator = Literal["=", "<", ">", "between", "is"]

#: What is said of a text that is not there.
NONE = "none"

_LONGEST = 60
_PLAIN = re.compile(r"[\w./:+-]+")
_WHOLE = 2.0**53
_HUGE = 1e300


@dataclass(frozen=True, slots=True)
class Term:
    """`amount > 500`, `country = BR`, `history is missing`, `amount between 10 and 20` (both included)."""

    field: str
    operator: Operator
    value: str | float | tuple[float, float]
    of: str = ""

    def __str__(self) -> str:
        return f"{_name(self.field)} {self.operator} {self._value()}"

    @property
    def as_dict(self) -> Mapping[str, object]:
        """The same, for programs; `of` says what the field is: a segment, say, or a feature."""
        value = [*self.value] if isinstance(self.value, tuple) else self.value
        return {"field": self.field, "of": self.of, "operator": self.operator, "value": value}

    @classmethod
    def of_dict(cls, term: Mapping[str, Any]) -> Term:
        """A term from what `as_dict` gave."""
        value = term["value"]
        kept = (value[0], value[1]) if isinstance(value, list) else value
        return cls(term["field"], term["operator"], kept, term["of"])

    def _value(self) -> str:
        if isinstance(self.value, tuple):
            return " and ".join(map(number_text, self.value))
        if isinstance(self.value, float):
            return number_text(self.value)
        return self.value if self.operator == "is" else _quoted(self.value)


def text_of(terms: Iterable[Term]) -> str:
    """The terms of a rule as people read them."""
    return " and ".join(map(str, terms))


def number_text(value: float) -> str:
    """As few digits as say this number."""
    if value.is_integer() and abs(value) < _WHOLE:
        return f"{value:.0f}" if value else "0"
    return repr(value)


def holds_for(terms: Sequence[Term], columns: Sequence[Column]) -> NDArray[np.bool_]:
    """For which requests all terms hold; each term's field is one of the columns."""
    each = [_holds(term, _column_of(term, columns)) for term in terms]
    return np.asarray(np.logical_and.reduce(each), np.bool_)


def _column_of(term: Term, columns: Sequence[Column]) -> Column:
    """The column that a term is about: a field may be a number here and a text there, or missing."""
    for column in columns:
        if (column.name, column.of) == (term.field, term.of) and _is_about(term, column):
            return column
    raise KeyError(term.field)


def _is_about(term: Term, column: Column) -> bool:
    if isinstance(column, Flags):
        return term.operator == "is" and term.value == column.says
    is_text = isinstance(term.value, str)
    return is_text == isinstance(column, Categories) and (term.operator != "is" or term.value == NONE)


def _holds(term: Term, column: Column) -> NDArray[np.bool_]:
    if isinstance(column, Flags):
        return column.values
    if isinstance(column, Categories):
        code = -1 if term.operator == "is" else column.values.index(str(term.value))
        return np.asarray(column.codes == code)
    return _numbers_hold(term, column)


def _numbers_hold(term: Term, column: Numbers) -> NDArray[np.bool_]:
    values = column.values
    if isinstance(term.value, tuple):
        return np.asarray((values >= term.value[0]) & (values <= term.value[1]))
    bound = float(term.value)
    if term.operator == "=":
        return np.asarray(values == bound)
    return np.asarray(values < bound if term.operator == "<" else values > bound)


def roundest(low: float, high: float, near: float) -> float:
    """The number with the fewest digits from `low` to `high`, of several the nearest to `near`."""
    low, high = float(low), float(high)
    if low < -_HUGE or high > _HUGE:  # where there is an infinity, one that is not far from the other end
        low, high = max(low, -10 * abs(high) - 10), min(high, 10 * abs(low) + 10)
    near = float(min(max(near, low), high))
    if low <= 0 <= high:
        return 0.0
    exponent = math.floor(math.log10(max(abs(low), abs(high)))) + 1
    for power in range(exponent, exponent - 18, -1):
        step = float(f"1e{power}")
        if step == 0:
            break
        chosen = min(max(round(near / step), math.ceil(low / step)), math.floor(high / step))
        value = float(f"{chosen}e{power}")
        if low <= value <= high:
            return value
    return near


def _name(name: str) -> str:
    """A field's name; one that could be taken for more than a name stands in quotes."""
    return _quoted(name, extra=" ()")


def _quoted(text: str, extra: str = "") -> str:
    shown = visible(text, _LONGEST)
    plain = "".join(letter for letter in shown if letter not in extra)
    return shown if _PLAIN.fullmatch(plain) else f'"{shown}"'
