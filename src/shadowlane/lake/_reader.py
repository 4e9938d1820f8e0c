"""Opens the lake for reading: each table at one version, exactly the files that version lists.

The files come from the table's log, never from a glob: a glob meets files half written, and those of
commits that lost. What the log lists must be there, as long as the log says; else nothing is read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from shadowlane.errors import DamagedLakeError, LakeError
from shadowlane.lake._location import Lake, Location
from shadowlane.lake._tables import LEDGER, TableSpec

# No downloads, and enough memory for ten million comparisons; what does not fit goes to the work folder.
_ENGINE: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "memory_limit": "2GB",
    "preserve_insertion_order": False,
}


class Extent(Protocol):
    """Which files are read: those of a model, and of the days from start to end; None: all."""

    @property
    def model(self) -> str | None:
        """The model."""

    @property
    def start(self) -> datetime | None:
        """From when on."""

    @property
    def end(self) -> datetime | None:
        """Until when."""


@dataclass(frozen=True, slots=True)
class TableFiles:
    """One version of a table, and its files that the scope needs. No version: there is no such table yet."""

    name: str
    version: int | None
    files: tuple[str, ...]
    by_model: Mapping[str, tuple[str, ...]]  # the files of every model, not looked at


class OpenLake:
    """The lake's tables, held at one version each, and the engine that reads them."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        tables: Mapping[str, TableFiles],
        columns: Mapping[str, str],
    ) -> None:
        self.tables = tables
        self._connection = connection
        self._columns = columns

    @property
    def versions(self) -> dict[str, int | None]:
        """Which version of each table is read."""
        return {name: table.version for name, table in self.tables.items()}

    def load(self, table: str, statement: str, values: Mapping[str, Any]) -> None:
        """Run a statement that reads a table's files (its parameter `$files`).

        Raises:
            DamagedLakeError: a file cannot be read; it says which.
        """
        # The first file has the table's columns and no rows: a table without files, and files from
        # before a column was added, then read like any other.
        files = [self._columns[table], *self.tables[table].files]
        try:
            self._connection.execute(statement, {**values, "files": [_literal(file) for file in files]})
        except duckdb.OutOfMemoryException as error:
            raise LakeError(f"table {table}: too little memory to read it: {error}") from error
        except duckdb.Error as error:
            self._blame(table)
            raise LakeError(f"table {table} cannot be read: {error}") from error

    def rows(self, statement: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query over what was loaded."""
        try:
            return self._connection.execute(statement, dict(values or {})).fetchall()
        except duckdb.OutOfMemoryException as error:
            raise LakeError(f"too little memory for this report: {error}") from error

    def peek(self, statement: str, files: Sequence[str]) -> list[tuple[Any, ...]]:
        """The rows of a query over files that no figure rests on: none where they cannot be read."""
        try:
            return self._connection.execute(
                statement, {"files": [_literal(file) for file in files]}
            ).fetchall()
        except duckdb.Error:
            return []

    def _blame(self, table: str) -> None:
        """Find the file that cannot be read, by reading each alone and whole."""
        for file in self.tables[table].files:
            try:
                self._connection.execute(
                    "SELECT max(hash(each)) FROM read_parquet($file, hive_partitioning = false) each",
                    {"file": _literal(file)},
                ).fetchall()
            except duckdb.Error as error:
                raise DamagedLakeError(f"{file} is damaged, no figures are drawn from it: {error}") from error


@contextmanager
def open_lake(lake: Lake, scope: Extent, specs: Sequence[TableSpec]) -> Iterator[OpenLake]:
    """Hold the lake's tables at their present versions, with the files that this scope needs.

    Raises:
        DamagedLakeError: a file that a table lists is gone, cut or altered.
    """
    root = Location.parse(lake).folder
    if root is None:
        raise LakeError(f"{lake}: only a local folder can be read as a lake yet")
    tables = {spec.name: _table_files(root / spec.name, spec, scope) for spec in specs}
    with tempfile.TemporaryDirectory(prefix="shadowlane-report-") as folder:
        columns = {spec.name: _columns_file(Path(folder), spec) for spec in specs}
        with duckdb.connect(":memory:", config={**_ENGINE, "temp_directory": folder}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield OpenLake(connection, tables, columns)


def _columns_file(folder: Path, spec: TableSpec) -> str:
    path = folder / f"{spec.name}.parquet"
    pq.write_table(spec.schema.empty_table(), path)
    return str(path)


def _table_files(path: Path, spec: TableSpec, scope: Extent) -> TableFiles:
    try:
        table = DeltaTable(str(path))
        listed = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    except TableNotFoundError:
        if path.is_dir() and any(path.rglob("*.parquet")):
            raise DamagedLakeError(f"{path} has files and no readable _delta_log: not a table") from None
        return TableFiles(spec.name, None, (), {})
    except Exception as error:  # old releases of the library raise bare ones
        raise DamagedLakeError(f"the log of {path} cannot be read: {error}") from error
    if listed and not {"partition.model", "partition.date"} <= listed[0].keys():
        raise DamagedLakeError(f"{path} is not partitioned by model and date: another program's table?")
    wanted = [entry for entry in listed if _is_wanted(entry, spec, scope)]
    files = tuple(sorted(_checked(path, entry) for entry in wanted))
    return TableFiles(spec.name, table.version(), files, _by_model(path, listed))


def _by_model(path: Path, listed: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    models = {entry["partition.model"] for entry in listed} - {None}
    return {
        model: tuple(str(path / entry["path"]) for entry in listed if entry["partition.model"] == model)
        for model in models
    }


def _is_wanted(entry: Mapping[str, Any], spec: TableSpec, scope: Extent) -> bool:
    if scope.model is not None and entry["partition.model"] != scope.model:
        return False
    # The ledger counts since a process began: no window cuts it.
    day = entry["partition.date"]
    if spec is LEDGER or day is None:
        return True
    after = scope.start is None or day >= scope.start.date()
    return after and (scope.end is None or day <= scope.end.date())


def _checked(path: Path, entry: Mapping[str, Any]) -> str:
    """The file's path, when it is there and as long as the log says."""
    file, size = path / entry["path"], entry["size_bytes"]
    try:
        actual = file.stat().st_size
    except OSError as error:
        raise DamagedLakeError(
            f"{file} is listed by its table and cannot be found ({error.strerror}): "
            "no figures without it; restore it, or restore the table to an earlier version"
        ) from error
    if actual != size:
        raise DamagedLakeError(
            f"{file} is cut or altered: {actual:,} bytes where its table's log says {size:,}; restore it"
        )
    return str(file)


def _literal(path: str) -> str:
    """A path that the engine takes letter for letter: it reads `*`, `?` and `[` as patterns."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)
