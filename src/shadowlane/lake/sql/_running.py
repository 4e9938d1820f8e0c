"""A query as it runs: its rows a batch at a time, its end when time is up, and its errors in one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from time import monotonic
from typing import Any, NoReturn, Self, TypeVar

import duckdb
import pyarrow as pa

from shadowlane.errors import LakeError, SettingsError
from shadowlane.lake._engine import MEMORY
from shadowlane.lake._faults import is_outage, to_lake_error
from shadowlane.lake._listing import TableFiles
from shadowlane.lake._location import Location
from shadowlane.lake._reader import blame
from shadowlane.lake.sql._gate import QueryError
from shadowlane.lake.sql._plain import plain_rows
from shadowlane.visible import visible

_MEMORY = re.compile(r"[0-9]{1,6}(\.[0-9]+)? ?[KMGT]i?B", re.IGNORECASE)
_BATCH = 2_048
_LONGEST = 600
_PATIENCE = 0.05
_PLACE = re.compile(r"\n\s*LINE (?P<line>\d+): (?P<text>.*)\n(?P<indent> *)(?P<mark>\^+)")
# What the engine raises, and what its errors become on their way through Arrow.
_ERRORS = (duckdb.Error, pa.ArrowException, OSError, RuntimeError)

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a query may take.

    Raises:
        SettingsError: the memory is no size, or the time is none.
    """

    memory: str = MEMORY
    seconds: float | None = None

    def __post_init__(self) -> None:
        if not _MEMORY.fullmatch(self.memory):
            raise SettingsError(f"memory {self.memory[:40]!r}: write a number and its unit, as 512MB or 4GB")
        if self.seconds is not None and not self.seconds > 0:
            raise SettingsError("a query needs more than no time")


@dataclass(frozen=True, slots=True)
class Answer:
    """A query's columns and, once, its rows, in values that JSON knows."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]
    #: The tables that are read, each at its version; None: there is no such table yet.
    versions: Mapping[str, int | None]


class Running:
    """An engine at work for one query.

    It works in a thread of its own: waiting for it can be ended at any time, by Ctrl-C too, which the engine
    itself notices now and then only (tried: one of ten was lost).
    """

    def __init__(
        self,
        location: Location,
        connection: duckdb.DuckDBPyConnection,
        tables: Sequence[TableFiles],
        limits: Limits,
    ) -> None:
        self._location = location
        self._connection = connection
        self._tables = tables
        self._limits = limits
        self._deadline = None if limits.seconds is None else monotonic() + limits.seconds
        self._thread = ThreadPoolExecutor(1, "shadowlane-query")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def do(self, work: Callable[[], Done]) -> Done:
        """Have the engine do something, while there is time.

        Raises:
            QueryError: the query cannot be run as it is written.
            DamagedLakeError: a file of the lake cannot be read.
            LakeError: it takes too much memory or time.
        """
        future = self._thread.submit(work)
        try:
            # In slices: a signal that comes just before a wait begins is only seen when that wait ends.
            while not future.done() and (self._deadline is None or monotonic() < self._deadline):
                wait([future], _PATIENCE)
            return future.result(0)
        except TimeoutError as error:
            raise LakeError(f"the query was stopped after {self._limits.seconds:g} s") from error
        except _ERRORS as error:
            self._fail(error)
        finally:
            while not future.done():
                self._connection.interrupt()
                wait([future], _PATIENCE)

    def answer(self, text: str) -> Answer:
        """Run the query."""

        def start() -> pa.RecordBatchReader:
            try:
                return _reader(self._connection.sql(text))
            except duckdb.Error as error:
                raise _located(error, self._connection, text) from error

        reader = self.do(start)
        versions = {table.name: table.version for table in self._tables}
        return Answer(_apart(reader.schema.names), self._rows(reader), versions)

    def _rows(self, reader: pa.RecordBatchReader) -> Iterator[tuple[Any, ...]]:
        with closing(reader):
            while (batch := self.do(lambda: next(reader, None))) is not None:
                yield from plain_rows(batch)

    def _fail(self, error: Exception) -> NoReturn:
        text = str(error)
        if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in text:
            raise LakeError(
                f"the query takes more than {self._limits.memory}: give it more (--memory), or ask for less"
            ) from error
        if ".parquet" in text:
            for table in self._tables:
                blame(self._location, self._connection, table)
        if is_outage(error, self._location):
            raise to_lake_error(error, "read", self._location) from error
        raise QueryError(f"the query cannot be run: {sentence(text)}") from error


def _reader(relation: Any) -> pa.RecordBatchReader:
    """The rows as Arrow; what gives them has another name before DuckDB 1.4."""
    make = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader
    return make(_BATCH)


def _located(error: Exception, connection: duckdb.DuckDBPyConnection, text: str) -> Exception:
    """The error with its place in the query: asked for a plan of it, the engine says that, too."""
    try:
        connection.execute(f"EXPLAIN {text}")
    except duckdb.Error as again:
        if str(again).startswith(str(error)):
            return again
    return error


def _apart(names: Sequence[str]) -> tuple[str, ...]:
    """The columns' names, each another: JSON has no two alike."""
    taken: list[str] = []
    for name in names:
        free, count = name, 0
        while free in taken:
            count += 1
            free = f"{name}_{count}"
        taken.append(free)
    return tuple(taken)


def sentence(text: str) -> str:
    """An error of the engine in one line, with its place in the query."""
    found = _PLACE.search(text)
    said = text[: found.start()] if found else text
    words = " ".join(said.split())
    kind, _, rest = words.partition(" Error: ")
    words = visible(rest if rest and kind.isalpha() else words, _LONGEST)
    if found is None:
        return words
    start = len(found["indent"]) - len(f"LINE {found['line']}: ")
    marked = found["text"][start : start + max(len(found["mark"]), 1)]
    if len(marked) == 1:
        marked = re.split(r"\s", found["text"][start:], maxsplit=1)[0]
    return f"{words} (line {found['line']}, at {visible(marked, 60)})"
