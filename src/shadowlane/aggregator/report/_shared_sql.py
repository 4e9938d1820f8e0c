"""Rules as conditions of the engine's, to count over all rows what was found in some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shadowlane.aggregator.report._shared_columns import (
    ABSENT,
    FEATURE,
    HOUR,
    MISSING,
    MODEL_VERSION,
    SEGMENT,
)
from shadowlane.aggregator.rules import Term

#: The row's own features, and those that the archive has of its request.
OWN, ARCHIVED = "features", "archived"

_MAPS = ("numbers", "integers", "flags", "strings", "vectors", "json")


class Conditions:
    """Terms as columns: those over the rows, and those over the features, which may lie in the archive."""

    def __init__(self, *, archived: bool) -> None:
        self.values: dict[str, Any] = {}
        self._archived = archived
        self._of_rows: list[str] = []
        self._of_archive: list[str] = []

    @property
    def of_rows(self) -> str:
        """The columns of terms over the rows, each with a comma before it."""
        return "".join(f",\n  {each}" for each in self._of_rows)

    @property
    def of_archive(self) -> str:
        """The columns of terms over the archive."""
        return "".join(f",\n  {each}" for each in self._of_archive)

    def rule(self, terms: Sequence[Term]) -> str:
        """The condition that all these terms hold: true or false, never null."""
        return "(" + " AND ".join(map(self._known, terms)) + ")"

    def _known(self, term: Term) -> str:
        if term.of != FEATURE:
            return _known(self._column(self._of_rows, self._of_row(term)))
        is_missing = term.operator == "is" and term.value == MISSING
        held = self._column(self._of_archive if self._archived else self._of_rows, self._of_feature(term))
        if not is_missing:
            return _known(held)
        name = self._value(term.field)
        told = self._column(self._of_rows, f"list_contains(missing_features, {name})")
        return f"({_known(held)} OR {_known(told)})"

    def _column(self, columns: list[str], condition: str) -> str:
        name = f"term_{len(self._of_rows) + len(self._of_archive)}"
        columns.append(f"{condition} AS {name}")
        return name

    def _of_row(self, term: Term) -> str:
        if term.of == SEGMENT:
            return self._of_text(f"map_extract(segments, {self._value(term.field)})[1]", term)
        if term.field == HOUR:
            return self._of_number("hour", term)
        return self._of_text("model_version" if term.field == MODEL_VERSION else "shadow_version", term)

    def _of_feature(self, term: Term) -> str:
        name = self._value(term.field)
        missing = f"coalesce(list_contains(features.missing, {name}), false)"
        if term.operator == "is" and term.value == MISSING:
            return missing
        if term.operator == "is" and term.value == ABSENT:
            there = " OR ".join(f"len(map_extract(features.{each}, {name})) > 0" for each in _MAPS)
            return f"features.missing IS NOT NULL AND NOT (coalesce({there}, false) OR {missing})"
        if isinstance(term.value, str):
            flags = f"map_extract(features.flags, {name})[1]::VARCHAR"
            return self._of_text(f"coalesce({flags}, map_extract(features.strings, {name})[1])", term)
        whole = f"map_extract(features.integers, {name})[1]::DOUBLE"
        return self._of_number(f"coalesce({whole}, map_extract(features.numbers, {name})[1])", term)

    def _of_text(self, value: str, term: Term) -> str:
        return f"{value} IS NULL" if term.operator == "is" else f"{value} = {self._value(term.value)}"

    def _of_number(self, value: str, term: Term) -> str:
        known = f"NOT isnan({value}::DOUBLE)"  # to the engine NaN is more than any number
        if isinstance(term.value, tuple):
            low, high = map(self._value, term.value)
            return f"{known} AND {value} BETWEEN {low} AND {high}"
        return f"{known} AND {value} {term.operator} {self._value(term.value)}"

    def _value(self, value: Any) -> str:
        name = f"rule_{len(self.values)}"
        self.values[name] = value
        return f"${name}"


def _known(column: str) -> str:
    return f"coalesce({column}, false)"
