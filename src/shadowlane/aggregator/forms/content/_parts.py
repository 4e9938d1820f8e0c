"""What a page is made of before it takes a form: sections of sentences and tables of plain text.

Text from data is made visible here; each form then escapes what it would act on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["left", "right", "whole", "data"]
Tone = Literal["plain", "primary", "shadow", "good", "bad", "open", "soft"]


class Cell(NamedTuple):
    """Text of a table with the colour that it has where there are colours; it must say the same without."""

    text: str
    tone: Tone = "plain"


PRIMARY, SHADOW = Cell("primary", "primary"), Cell("shadow", "shadow")


class Column(NamedTuple):
    """A column: `right` for numbers, `whole` for what is never broken (ids), `data` for text from data."""

    name: str
    kind: Kind = "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of cells; a table that stands `behind` a picture is shown only where there is room for it."""

    title: str = ""
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    behind: bool = False
    brief: bool = False  # also on a page that must be short
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page under a title; `key` names it for pictures and links."""

    key: str
    title: str
    lead: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    brief: bool = False  # also on a page that must be short


def table(
    columns: Sequence[Column | str],
    rows: Sequence[Sequence[Cell | str]],
    *,
    title: str = "",
    behind: bool = False,
    brief: bool = False,
    note: str = "",
) -> Table:
    """A table of cells or plain text. The columns that say nothing in any row are left out."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    heads = [each if isinstance(each, Column) else Column(each) for each in columns]
    kept = [
        place
        for place in range(len(heads))
        if place == 0 or not cells or any(row[place].text not in ("", "—") for row in cells)
    ]
    return Table(
        title=title,
        columns=tuple(heads[place] for place in kept),
        rows=tuple(tuple(row[place] for place in kept) for row in cells),
        behind=behind,
        brief=brief,
        note=note,
    )


def right(*names: str) -> tuple[Column | str, ...]:
    """Columns of numbers."""
    return tuple(Column(name, "right") for name in names)
