"""An answer as text: a table for people, JSON or CSV for programs."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import chain, islice
from typing import Any, TextIO

from shadowlane.lake.sql._running import Answer
from shadowlane.visible import visible

_NOTHING = "—"
_WIDEST_CELL = 60
_LONGEST_VALUE = 2_000
_GAP = "  "
_PLAN = ("explain_key", "explain_value")
_NEEDS_QUOTES = re.compile(r'[",\r\n]|^\s|\s$|^$')


class Form(StrEnum):
    """How an answer is written."""

    table = "table"
    json = "json"
    csv = "csv"


def write(
    answer: Answer, form: Form, out: TextIO, *, limit: int | None = None, width: int | None = None
) -> tuple[int, bool]:
    """Write an answer's rows.

    Args:
        answer: The rows; they are read as they are written.
        form: What becomes of them.
        out: Where they are written to.
        limit: At most so many rows; None: all.
        width: How wide the terminal is that reads it; None: no terminal does.

    Returns:
        How many rows were written, and whether there are more.
    """
    rows = _Counted(answer.rows, limit)
    if form is Form.json:
        _write_json(answer.columns, rows, out)
    elif form is Form.csv:
        _write_csv(answer.columns, rows, out, is_terminal=width is not None)
    else:
        _write_table(answer.columns, list(rows), out, width)
    return rows.count, rows.is_cut


class _Counted:
    """Rows up to a limit, and whether that cut any."""

    def __init__(self, rows: Iterator[tuple[Any, ...]], limit: int | None) -> None:
        self._rows = rows
        self._limit = limit
        self.count = 0
        self.is_cut = False

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for row in islice(self._rows, self._limit):
            self.count += 1
            yield row
        self.is_cut = self._limit is not None and next(self._rows, None) is not None


def _write_json(columns: Sequence[str], rows: Iterable[Sequence[Any]], out: TextIO) -> None:
    """An array with a row a line. In ASCII, so that no value can act on a terminal; NaN cannot be in it."""
    mark = "[\n"
    for row in rows:
        out.write(mark + json.dumps(dict(zip(columns, row, strict=True)), allow_nan=False))
        mark = ",\n"
    out.write("[]\n" if mark == "[\n" else "\n]\n")


def _write_csv(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], out: TextIO, *, is_terminal: bool
) -> None:
    """A null is nothing, an empty text is a pair of quotes; what is nested is JSON."""
    for row in chain([columns], rows):
        cells = ("" if value is None else _cell(value) for value in row)
        line = ",".join(cells)
        out.write((visible(line, len(line)) if is_terminal else line) + "\n")


def _cell(value: Any) -> str:
    text = _text(value)
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _write_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], out: TextIO, width: int | None
) -> None:
    """Columns side by side; where a terminal is too narrow for them, each row as a list."""
    if tuple(columns) == _PLAN:
        out.writelines(
            f"{visible(line, _LONGEST_VALUE)}\n" for row in rows for line in str(row[1]).split("\n")
        )
        return
    names = [visible(name, _WIDEST_CELL) for name in columns]
    cells = [[_shown(value, _WIDEST_CELL) for value in row] for row in rows]
    widths = [max(map(_columns_of, column)) for column in zip(names, *cells, strict=True)]
    if width is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        _write_lists(names, rows, out)
        return
    is_number = [
        all(isinstance(row[place], int | float | None) for row in rows) for place in range(len(columns))
    ]
    for line in (names, ["-" * each for each in widths], *cells):
        padded = map(_padded, line, widths, is_number)
        out.write(_GAP.join(padded).rstrip() + "\n")


def _write_lists(names: Sequence[str], rows: Sequence[Sequence[Any]], out: TextIO) -> None:
    widest = max(map(_columns_of, names))
    labels = [_padded(name, widest, is_number=False) for name in names]
    for number, row in enumerate(rows, 1):
        values = (_shown(value, _LONGEST_VALUE) for value in row)
        lines = (f"  {label}  {value}\n" for label, value in zip(labels, values, strict=True))
        out.writelines([f"row {number}\n", *lines])


def _shown(value: Any, longest: int) -> str:
    return _NOTHING if value is None else visible(_text(value), longest)


def _padded(text: str, width: int, is_number: bool) -> str:  # noqa: FBT001 - `map` gives it its place
    room = " " * (width - _columns_of(text))
    return room + text if is_number else text + room


def _columns_of(text: str) -> int:
    """How many columns a text takes on a screen: some letters take two, and marks above them none."""
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in text
    )
