"""What the readers of the three formats give: columns of cells, and where each row stands in its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

Mask = np.ndarray[Any, np.dtype[np.bool_]]

#: How many lines of the rows with one fault are named.
_LINES_NAMED = 5


class Column(NamedTuple):
    """One column's cells: text (or what Parquet has typed), and which of them said that they are text.

    A JSON string is text, whatever is in it. In CSV nothing says so (`quoted` is None).
    """

    values: pa.Array
    quoted: Mask | None = None


class Records(NamedTuple):
    """Some rows: where each stands, and the columns that were asked for, by what they say of a label."""

    lines: np.ndarray[Any, np.dtype[np.int64]]
    columns: Mapping[str, Column]


class Reader(Protocol):
    """A file of one format, open."""

    #: What a row's place in it is called.
    place: str

    @property
    def there(self) -> Sequence[str]:
        """The names of its columns."""

    def read(self, roles: Mapping[str, str], bad: Bad) -> Iterator[Records]:
        """Its rows, a few megabytes at a time; what is no row goes to the bad ones."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with some rows. No value is ever part of it."""

    column: str | None
    expected: str
    rows: int
    first: tuple[int, ...]


@dataclass(slots=True)
class Bad:
    """The rows that cannot be labels, counted by what is wrong with them."""

    _found: dict[tuple[str | None, str], tuple[int, tuple[int, ...]]] = field(default_factory=dict)

    def add(self, column: str | None, expected: str, lines: Sequence[int]) -> None:
        """Count these."""
        rows, first = self._found.get((column, expected), (0, ()))
        more = tuple(int(line) for line in lines[: _LINES_NAMED - len(first)])
        self._found[column, expected] = (rows + len(lines), first + more)

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(rows for rows, _ in self._found.values())

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong, that of the first line first."""
        found = [Fault(*what, rows, first) for what, (rows, first) in self._found.items()]
        return tuple(sorted(found, key=lambda each: each.first))


#: Hears how far a file was read: bytes or rows, and of how many.
Tick = Callable[[int, int], None]


def one(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    )


def mask(column: pa.Array | pa.ChunkedArray) -> Mask:
    """Where a column is true; null is not."""
    found: Mask = one(column).fill_null(False).to_numpy(zero_copy_only=False)
    return found
