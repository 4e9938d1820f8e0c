"""CSV in columns, each row with its line.

The columns are pyarrow's; but it does not say where a row began. So the bytes are cut into records here
first (RFC 4180, and what it leaves open as pyarrow and Python's `csv` do: a quote within a cell that
began without one is a letter), which also makes each block end with a record.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from shadowlane.aggregator.labels._file import LabelFile
from shadowlane.aggregator.labels._records import Bad, Column, Records, Tick, one
from shadowlane.errors import LabelFileError

_LONGEST_RECORD = 64 * 2**20
_BLOCK = 4 * 2**20
_CR, _LF = 13, 10
_OPEN = "a quoted cell begins in this row and never ends"
_LONG = f"this row is longer than {_LONGEST_RECORD // 2**20} MiB; does a quoted cell in it never end?"

Places = np.ndarray[Any, np.dtype[np.int64]]


class Block(NamedTuple):
    """Some whole records: where each starts, and in which line."""

    data: bytes
    starts: Places
    lines: Places


class CsvReader:
    """A CSV file with a header."""

    place = "line"

    def __init__(self, file: LabelFile, delimiter: str, tick: Tick) -> None:
        self._file, self._delimiter, self._tick = file, delimiter, tick
        first = next(self._blocks(), None)
        rows = (
            []
            if first is None
            else list(csv.reader(io.StringIO(_text(first), newline=""), delimiter=delimiter))
        )
        self._header: list[str] = [name.strip() for name in rows[0]] if rows else []
        if first is None:
            raise LabelFileError(f"{file.name} is empty: not even a line with the names of its columns")

    @property
    def there(self) -> Sequence[str]:
        """The names in the header."""
        return self._header

    def read(self, roles: Mapping[str, str], bad: Bad) -> Iterator[Records]:
        """The rows below the header."""
        blocks = self._blocks()
        next(blocks)  # the header
        for block in blocks:
            yield self._parse(block, {role: self._header.index(name) for role, name in roles.items()}, bad)

    def _blocks(self) -> Iterator[Block]:
        """The header alone, then the other records that are not blank lines."""
        with self._file.errors():
            yield from cut(self._file.chunks(self._tick), self._delimiter, self._file.name)

    def _parse(self, block: Block, columns: Mapping[str, int], bad: Bad) -> Records:
        ragged: list[int] = []

        def skip(row: pa_csv.InvalidRow) -> str:
            ragged.append(row.number - 1)
            return "skip"

        names = [str(index) for index in range(len(self._header))]
        table = pa_csv.read_csv(
            pa.BufferReader(block.data),
            # Only alone does it say where a row is that has too few cells, or too many.
            pa_csv.ReadOptions(use_threads=False, column_names=names, block_size=len(block.data) + 1),
            pa_csv.ParseOptions(
                delimiter=self._delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=skip,
            ),
            pa_csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(names, pa.binary()),
                include_columns=[names[index] for index in dict.fromkeys(columns.values())],
                strings_can_be_null=False,
            ),
        )
        if table.num_rows + len(ragged) != len(block.starts):
            at = f"lines {block.lines[0]} to {block.lines[-1]}"
            raise LabelFileError(f"{self._file.name}, {at}: the quotes in them leave open where a row ends")
        bad.add(
            None, f"{len(names)} cells, as the header has", block.lines[ragged].tolist()
        ) if ragged else None
        whole = np.ones(len(block.starts), bool)
        whole[ragged] = False
        first = np.frombuffer(block.data, np.uint8)[block.starts]
        filled = ((first != _CR) & (first != _LF))[whole]
        table = table if filled.all() else table.filter(pa.array(filled))
        cells = {role: Column(one(table.column(names[index]))) for role, index in columns.items()}
        return Records(block.lines[whole][filled], cells)


def cut(chunks: Iterable[bytes], delimiter: str, file: str) -> Iterator[Block]:
    """The header's record, and then blocks of whole records."""
    record = _record(delimiter)
    held, line, header = b"", 1, True
    for chunk in _with_end(chunks):
        held += chunk or b""
        if chunk is None and held and held[-1] not in (_CR, _LF):
            held += b"\n"
        ends = _ends(held, record, final=chunk is None)
        left = len(held) - (int(ends[-1]) if ends.size else 0)
        if left and (chunk is None or left > _LONGEST_RECORD):
            line += _breaks(held[: len(held) - left]).size
            raise LabelFileError(f"{file}, line {line}: {_OPEN if chunk is None else _LONG}")
        if not ends.size:
            continue
        starts = np.concatenate([[0], ends[:-1]])
        data, held = held[: ends[-1]], held[ends[-1] :]
        breaks = _breaks(data)
        lines = line + np.searchsorted(breaks, starts, side="right")
        line += breaks.size
        if header:
            while starts.size and data[starts[0]] in (_CR, _LF):  # blank lines before the header
                starts, ends, lines = starts[1:], ends[1:], lines[1:]
            if not starts.size:
                continue
            yield Block(data[starts[0] : ends[0]], np.zeros(1, np.int64), lines[:1])
            header, data = False, data[ends[0] :]
            starts, lines = starts[1:] - ends[0], lines[1:]
        if starts.size:
            yield Block(data, starts, lines)


def _with_end(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    yield from chunks
    yield None


def _ends(data: bytes, record: re.Pattern[bytes], *, final: bool) -> Places:
    """Where each whole record ends."""
    if b'"' not in data and data.count(b"\r") == data.count(b"\r\n"):
        return np.flatnonzero(np.frombuffer(data, np.uint8) == _LF) + 1
    # A carriage return at the end may be the first half of a line's end.
    until = len(data) - (not final and data.endswith(b"\r"))
    ends, at = [], 0
    while found := record.match(data, at, until):
        at = found.end()
        ends.append(at)
    return np.array(ends, np.int64)


def _breaks(data: bytes) -> Places:
    """Where each line ends, within quotes too."""
    letters = np.frombuffer(data, np.uint8)
    feeds = letters == _LF
    returns = letters == _CR
    if returns.any():
        returns[:-1] &= ~feeds[1:]
        feeds |= returns
    return np.flatnonzero(feeds) + 1


def _record(delimiter: str) -> re.Pattern[bytes]:
    mark = re.escape(delimiter.encode())
    rest = rb"[^\r\n" + mark + rb"]*+"
    cell = rb'(?:"(?:[^"]++|"")*+"' + rest + rb'|(?!")' + rest + rb")"
    return re.compile(cell + rb"(?:" + mark + cell + rb")*+(?:\r\n|\n|\r)")


def _text(block: Block) -> str:
    return block.data.decode("utf-8", "replace")
