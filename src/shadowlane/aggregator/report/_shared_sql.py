"""Rules as conditions of the engine's, to count over all rows what was found in some."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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

_NUMBERS = {"integers": "::DOUBLE", "numbers": ""}
_TEXTS = {"flags": "::VARCHAR", "strings": ""}
#: The maps that features are sorted into.
MAPS = ("numbers", "integers", "flags", "strings", "vectors", "json")


class Conditions:
    """Terms as columns: those over the rows, and those over the features, which may lie in the archive."""

    def __init__(self, names: Mapping[str, Collection[str]] | None = None, *, archived: bool) -> None:
        """The names are of features, by the map that they are in; None: any may be in any."""
        self.values: dict[str, Any] = {}
        self._names, self._archived = names, archived
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
            return self._of_text(_at("segments", self._value(term.field)), term)
        if term.field == HOUR:
            return self._of_number("hour", term)
        return self._of_text("model_version" if term.field == MODEL_VERSION else "shadow_version", term)

    def _of_feature(self, term: Term) -> str:
        name = self._value(term.field)
        missing = f"coalesce(list_contains(features.missing, {name}), false)"
        if term.operator == "is" and term.value == MISSING:
            return missing
        if term.operator == "is" and term.value == ABSENT:
            there = " OR ".join(f"len(map_extract(features.{each}, {name})) > 0" for each in MAPS)
            return f"features.missing IS NOT NULL AND NOT (coalesce({there}, false) OR {missing})"
        # A map that none of some 30,000 rows has the name in is not read: it costs as much as the one.
        maps = _TEXTS if isinstance(term.value, str) else _NUMBERS
        held = [
            f"{_at(f'features.{each}', name)}{cast}" for each, cast in maps.items() if self._has(each, term)
        ]
        value = held[0] if len(held) == 1 else f"coalesce({', '.join(held)})"
        return self._of_text(value, term) if isinstance(term.value, str) else self._of_number(value, term)

    def _has(self, kind: str, term: Term) -> bool:
        return self._names is None or term.field in self._names.get(kind, ())

    def _of_text(self, value: str, term: Term) -> str:
        return f"{value} IS NULL" if term.operator == "is" else f"{value} = {self._value(term.value)}"

    def _of_number(self, value: str, term: Term) -> str:
        if isinstance(term.value, tuple):
            low, high = map(self._value, term.value)
            return f"{value} BETWEEN {low} AND {high}"
        condition = f"{value} {term.operator} {self._value(term.value)}"
        # To the engine NaN is more than any number.
        return condition if term.operator != ">" else f"{condition} AND {value} <= 'infinity'::DOUBLE"

    def _value(self, value: Any) -> str:
        name = f"rule_{len(self.values)}"
        self.values[name] = value
        return f"${name}"


def _at(column: str, name: str) -> str:
    """What a map has under a name; a third of the time that `map_extract` takes."""
    return f"map_values({column})[list_position(map_keys({column}), {name})]"


def _known(column: str) -> str:
    return f"coalesce({column}, false)"
