"""From a file's rows to rows that can be labels; what is wrong with the others is counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shadowlane.aggregator.labels._cells import (
    FLAG,
    INTEGER,
    LIST,
    NOTHING,
    NUMBER,
    NUMBERS,
    TEXT,
    TEXTS,
    TIME,
    Said,
    as_text,
    labels,
    times,
)
from shadowlane.aggregator.labels._mapping import LabelMapping
from shadowlane.aggregator.labels._records import Bad, Column, Mask, Records, mask
from shadowlane.errors import LabelFileError, SettingsError
from shadowlane.schemas import check_name

#: Rows that were checked: `text` and `number` are one answer in two forms, until it is known which is meant.
CHECKED = pa.schema(
    [
        pa.field("line", pa.int64()),
        pa.field("model", pa.string()),
        pa.field("request_id", pa.string()),
        pa.field("name", pa.string()),
        pa.field("observed_at", TIME),
        pa.field("text", pa.string()),
        pa.field("number", pa.float64()),
        pa.field("vector", NUMBERS),
        pa.field("ranking", TEXTS),
    ]
)
_MOST_NAMES = 1_000
_TEXT = "text in UTF-8, without NUL"
_LISTS = "a list of finite numbers only, or of text only"
_ID = f"the request's id: {_TEXT}, or an integer, and not empty"


class Problem(NamedTuple):
    """What is wrong with which rows."""

    role: str
    expected: str
    rows: Mask


@dataclass(slots=True)
class Checker:
    """Checks row after row, and remembers what decides how their labels are meant."""

    mapping: LabelMapping
    columns: Mapping[str, str]
    file: str
    bad: Bad = field(default_factory=Bad)
    #: A label from the future would win over every correction until then.
    latest: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(days=1))
    rows: int = 0
    empty: int = 0
    _kinds: dict[str, set[int]] = field(default_factory=dict)

    def check(self, records: Records) -> pa.Table:
        """The rows that can be labels."""
        size = len(records.lines)
        self.rows += size
        ids, problems = _ids("request_id", records.columns["request_id"], _ID)
        models, more = self._models(records)
        names, others = self._names(records)
        moments, wrong = self._times(records)
        said = labels(records.columns["label"], lists=self.mapping.kind in ("auto", "vector", "ranking"))
        problems += [*more, *others, *self._label_problems(said, records.columns["label"]), *wrong]
        good, bad = self._sort_out(problems, records.lines, size)
        if self.mapping.empty == "skip":
            absent = (said.kinds == NOTHING) & ~said.unreadable & ~bad
            self.empty += int(absent.sum())
            good &= ~absent
        columns = [
            pa.array(records.lines),
            models,
            ids,
            names,
            moments,
            said.text,
            said.number,
            said.vector,
            said.ranking,
        ]
        table = pa.Table.from_arrays(columns, schema=CHECKED)
        kinds = said.kinds
        if not good.all():
            table, kinds = table.filter(pa.array(good)), kinds[good]
        self._remember(table.column("name"), kinds)
        return table

    @property
    def scores(self) -> tuple[str, ...]:
        """The names whose labels are scores: those that hold numbers only, and not integers only."""
        if self.mapping.kind != "auto":
            return tuple(self._kinds) if self.mapping.kind == "score" else ()
        return tuple(
            name for name, kinds in self._kinds.items() if NUMBER in kinds and not kinds & {TEXT, FLAG}
        )

    @property
    def kinds(self) -> dict[str, str]:
        """What the labels of each name are."""
        scores = set(self.scores)
        return {name: self._kind(kinds, name in scores) for name, kinds in sorted(self._kinds.items())}

    def _kind(self, kinds: set[int], is_score: bool) -> str:  # noqa: FBT001 - it says what it is
        found = {
            ("score" if is_score else "label") for kind in kinds if kind in (INTEGER, NUMBER, FLAG, TEXT)
        }
        found |= {"list" for kind in kinds if kind == LIST}
        return " and ".join(sorted(found)) or "withdrawn"

    def _models(self, records: Records) -> tuple[pa.Array, list[Problem]]:
        if self.mapping.model is not None:
            return _constant(self.mapping.model, len(records.lines)), []
        models, problems = _texts("model", records.columns["model"], "the model's name: text")
        illegal = [name for name in pc.unique(models).to_pylist() if name is not None and not _is_name(name)]
        wrong = mask(pc.is_in(models, pa.array(illegal, pa.string()))) | mask(pc.is_null(models))
        expected = "a model's name: 1 to 128 letters, digits, dots, underscores and hyphens"
        return models, [*problems, Problem("model", expected, wrong)]

    def _names(self, records: Records) -> tuple[pa.Array, list[Problem]]:
        if self.mapping.name_column is None:
            return _constant(self.mapping.name, len(records.lines)), []
        return _texts("name", records.columns["name"], f"the label's name: {_TEXT}, and not empty")

    def _times(self, records: Records) -> tuple[pa.Array, list[Problem]]:
        if self.mapping.observed_at is not None:
            size = len(records.lines)
            return pa.repeat(pa.scalar(self.mapping.observed_at, TIME), size), []
        moments, there = times(records.columns["observed_at"], self.mapping.timezone, self.mapping.epoch)
        absent = mask(pc.is_null(moments))
        zone = "a time with a zone, such as 2026-03-01T14:30:00Z (for times without one, --timezone; "
        zone += "for numbers, --epoch)"
        if self.mapping.timezone or self.mapping.epoch:
            zone = "a time, such as 2026-03-01T14:30:00Z, that its zone has once"
        return moments, [
            Problem("observed_at", "a time; there is none", absent & ~there),
            Problem("observed_at", zone, absent & there),
            Problem("observed_at", "a time that has come; this one is days ahead", self._ahead(moments)),
        ]

    def _ahead(self, moments: pa.Array) -> Mask:
        return mask(pc.greater(moments, pa.scalar(self.latest, TIME)))

    def _label_problems(self, said: Said, column: Column) -> list[Problem]:
        kinds = said.kinds
        is_typed = column.quoted is None and pa.types.is_nested(column.values.type)
        problems = [Problem("label", _LISTS if is_typed else _TEXT, said.unreadable)]
        if self.mapping.empty == "error":
            expected = "a label; there is none (--empty skip or --empty withdraw says what that means)"
            problems.append(Problem("label", expected, (kinds == NOTHING) & ~said.unreadable))
        if column.quoted is not None:
            expected = f"a number, text, true or false, or {_LISTS}"
            problems.append(Problem("label", expected, (kinds == TEXT) & ~column.quoted))
        wanted, expected = _WANTED[self.mapping.kind]
        problems.append(Problem("label", expected, (kinds != NOTHING) & ~np.isin(kinds, wanted)))
        if self.mapping.kind in ("auto", "score"):
            finite = mask(pc.fill_null(pc.is_finite(said.number), True))
            problems.append(Problem("label", "a finite number (--as label takes it as text)", ~finite))
        if self.mapping.kind in ("vector", "ranking"):
            found = said.vector if self.mapping.kind == "vector" else said.ranking
            problems.append(Problem("label", expected, (kinds == LIST) & mask(pc.is_null(found))))
        return problems

    def _sort_out(
        self, problems: Sequence[Problem], lines: np.ndarray[tuple[int], np.dtype[np.int64]], size: int
    ) -> tuple[Mask, Mask]:
        """Which rows are good and which bad; of a row's faults the first is counted."""
        bad = np.zeros(size, bool)
        for role, expected, rows in problems:
            fresh = rows & ~bad
            if fresh.any():
                self.bad.add(self.columns[role], expected, lines[fresh].tolist())
                bad |= fresh
        return ~bad, bad

    def _remember(self, names: pa.ChunkedArray, kinds: np.ndarray[tuple[int], np.dtype[np.int8]]) -> None:
        if self.mapping.name_column is None:
            found = {self.mapping.name: np.unique(kinds).tolist()} if len(kinds) else {}
        else:
            pairs = (
                pa.table({"name": names, "kind": pa.array(kinds)})
                .group_by(["name"])
                .aggregate([("kind", "distinct")])
            )
            found = dict(
                zip(pairs.column("name").to_pylist(), pairs.column("kind_distinct").to_pylist(), strict=True)
            )
        for name, each in found.items():
            self._kinds.setdefault(name, set()).update(each)
        if len(self._kinds) > _MOST_NAMES:
            raise LabelFileError(
                f"{self.file}: more than {_MOST_NAMES:,} names of labels in column "
                f"{self.mapping.name_column!r}: a name says which outcome it is: label, revenue, click"
            )


_WANTED = {
    "auto": ((INTEGER, NUMBER, FLAG, TEXT, LIST), ""),
    "score": ((INTEGER, NUMBER), "a finite number"),
    "label": ((INTEGER, NUMBER, FLAG, TEXT), "text, a number, true or false"),
    "vector": ((LIST,), "a list of finite numbers, such as [0.1, 0.9]"),
    "ranking": ((LIST,), 'a list of text, such as ["a", "b"]'),
}


def _ids(role: str, column: Column, expected: str) -> tuple[pa.Array, list[Problem]]:
    """Text, and in JSON and Parquet integers."""
    if column.quoted is None:
        return _texts(role, column, expected)
    whole = mask(pc.match_substring_regex(column.values, "^-?[0-9]+$"))
    text, problems = _texts(role, Column(column.values, column.quoted | whole), expected)
    return text, problems


def _texts(role: str, column: Column, expected: str) -> tuple[pa.Array, list[Problem]]:
    """Text that is not empty."""
    kind = column.values.type
    if not (pa.types.is_string(kind) or pa.types.is_binary(kind)):
        return pa.nulls(len(column.values), pa.string()), [
            Problem(role, expected, np.ones(len(column.values), bool))
        ]
    text, unreadable = as_text(column.values)
    wrong = unreadable | ~mask(pc.not_equal(text, ""))
    if column.quoted is not None:
        wrong |= ~column.quoted
    return text, [Problem(role, expected, wrong)]


def _constant(text: str, size: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), size)


def _is_name(name: str) -> bool:
    try:
        check_name("model", name)
    except SettingsError:
        return False
    return True
