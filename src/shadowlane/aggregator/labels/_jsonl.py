"""JSON lines in columns: an object a line, of which only what is asked for is taken out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shadowlane.aggregator.labels._cells import as_text
from shadowlane.aggregator.labels._file import LabelFile
from shadowlane.aggregator.labels._records import Bad, Column, Records, Tick, mask, one
from shadowlane.errors import LabelFileError

_LONGEST_LINE = 64 * 2**20
_LF = 10
#: The columns that there are, for whoever names a wrong one, are those of so many lines.
_LOOKED_AT = 100

_VALUES = """
SELECT is_object, {values} FROM (
  SELECT is_object, json_extract(CASE WHEN is_object THEN line ELSE '{{}}' END, {paths}) AS found
  FROM (
    SELECT line, CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END AS is_object
    FROM lines)
)
"""
_VALUE = (
    "CASE WHEN starts_with(found[{n}]::VARCHAR, '\"') THEN json_extract_string(found[{n}], '$') "
    "ELSE nullif(found[{n}]::VARCHAR, 'null') END AS text{n}, "
    "starts_with(found[{n}]::VARCHAR, '\"') AS quoted{n}"
)


class JsonLinesReader:
    """A file with an object a line."""

    place = "line"

    def __init__(self, file: LabelFile, tick: Tick) -> None:
        self._file, self._tick = file, tick
        self._there = self._look()

    @property
    def there(self) -> Sequence[str]:
        """The names in its first lines."""
        return self._there

    def _look(self) -> list[str]:
        names: dict[str, None] = {}
        with self._file.errors():
            first = next(iter(self._file.chunks(self._tick)), b"")
        for line in first.split(b"\n")[:_LOOKED_AT]:
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                names.update(dict.fromkeys(found))
        if not names:
            raise LabelFileError(
                f"{self._file.name}: no JSON object in its first lines; JSON lines have one in each line"
            )
        return list(names)

    def read(self, roles: Mapping[str, str], bad: Bad) -> Iterator[Records]:
        """The lines that are not blank."""
        statement = _statement(list(roles.values()))
        config: dict[str, bool | str | int | float | list[str]] = {"autoload_known_extensions": False}
        with duckdb.connect(":memory:", config=config) as engine, self._file.errors():
            for lines, number in _lines(self._file.chunks(self._tick), self._file.name):
                yield _parse(engine, statement, lines, number, list(roles), bad)


def _statement(columns: Sequence[str]) -> str:
    pointers = ["/" + name.replace("~", "~0").replace("/", "~1").replace("'", "''") for name in columns]
    paths = "[" + ", ".join(f"'{pointer}'" for pointer in pointers) + "]"
    values = ", ".join(_VALUE.format(n=n) for n in range(1, len(columns) + 1))
    return _VALUES.format(values=values, paths=paths)


def _lines(chunks: Iterable[bytes], file: str) -> Iterator[tuple[pa.Array, int]]:
    """Whole lines, and the number of the first."""
    held, number = b"", 1
    for chunk in chunks:
        held += chunk
        end = held.rfind(b"\n") + 1
        if end:
            lines = _array(held[:end])
            yield lines, number
            number, held = number + len(lines), held[end:]
        elif len(held) > _LONGEST_LINE:
            raise LabelFileError(f"{file}, line {number}: it is longer than {_LONGEST_LINE // 2**20} MiB")
    if held:
        yield _array(held + b"\n"), number


def _array(data: bytes) -> pa.Array:
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _LF) + 1
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    return pa.Array.from_buffers(pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def _parse(
    engine: duckdb.DuckDBPyConnection,
    statement: str,
    lines: pa.Array,
    first: int,
    roles: Sequence[str],
    bad: Bad,
) -> Records:
    numbers = np.arange(first, first + len(lines), dtype=np.int64)
    text, unreadable = as_text(lines)
    filled = mask(pc.fill_null(pc.match_substring_regex(text, r"\S"), True))
    text = pc.fill_null(text, "")
    engine.register("lines", pa.table({"line": text}))
    found = engine.sql(statement).to_arrow_table()
    good = mask(found.column("is_object")) & ~unreadable
    wrong = numbers[~good & filled]
    if wrong.size:
        bad.add(None, "a JSON object, in UTF-8", wrong.tolist())
    if not good.all():
        found, numbers = found.filter(pa.array(good)), numbers[good]
    columns = {
        role: Column(one(found.column(f"text{n}")), mask(found.column(f"quoted{n}")))
        for n, role in enumerate(roles, 1)
    }
    return Records(numbers, columns)
