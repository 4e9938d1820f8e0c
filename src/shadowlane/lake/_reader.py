"""Opens the lake for reading: each table at one version, exactly the files that version lists.

What the log lists must be there, as long as the log says and to the last bit what its name says; else
nothing is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
from numpy.typing import NDArray

from shadowlane.errors import DamagedLakeError, LakeError
from shadowlane.lake._engine import columns_file, engine, literal
from shadowlane.lake._faults import explain, is_outage, to_lake_error
from shadowlane.lake._listing import (
    Extent,
    MovedOnError,
    TableFiles,
    VersionGoneError,
    list_files,
    missing,
)
from shadowlane.lake._location import Lake, Location
from shadowlane.lake._store import Store, open_store
from shadowlane.lake._tables import TableSpec
from shadowlane.lake._witness import check_files

Read = TypeVar("Read")

#: A version of each table; None: there was no such table.
Versions = Mapping[str, int | None]


class OpenLake:
    """The lake's tables, held at one version each, and the engine that reads them."""

    def __init__(
        self,
        location: Location,
        connection: duckdb.DuckDBPyConnection,
        tables: Mapping[str, TableFiles],
        columns: Mapping[str, str],
        unverified: int,
    ) -> None:
        self.tables = tables
        #: Files that other engines wrote: their length is checked, their bytes promise nothing.
        self.unverified = unverified
        self._location = location
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
            MovedOnError: a file was removed meanwhile; `read_lake` then reads again.
        """
        files = [self._columns[table], *self.tables[table].files]
        try:
            self._connection.execute(statement, {**values, "files": [literal(file) for file in files]})
        except duckdb.OutOfMemoryException as error:
            raise LakeError(f"table {table}: too little memory to read it: {error}") from error
        except duckdb.Error as error:
            blame(self._location, self._connection, self.tables[table])
            if is_outage(error, self._location):  # which has passed by now
                raise to_lake_error(error, f"read the table {table} of", self._location) from error
            raise LakeError(f"table {table} cannot be read: {explain(error, self._location)}") from error

    def let(self, **values: Any) -> None:
        """Name values that the statements of views can use: `getvariable('name')`."""
        for name, value in values.items():
            self._connection.execute(f'SET VARIABLE "{name}" = $value', {"value": value})

    def give(self, name: str, **columns: NDArray[Any]) -> None:
        """Let statements read these columns as a table."""
        self._connection.register(name, pa.table(columns))

    def hold(self, table: str) -> None:
        """Name a table's files for views, which read them when they are asked: `getvariable('<table>')`."""
        files = [self._columns[table], *self.tables[table].files]
        self.let(**{table: [literal(file) for file in files]})

    def define(self, table: str, statement: str) -> None:
        """Make a view that reads a table's files."""
        self.hold(table)
        self.rows(statement)

    def rows(self, statement: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query over what was loaded or defined.

        Raises:
            DamagedLakeError: a file cannot be read; it says which.
            MovedOnError: a file was removed meanwhile; `read_lake` then reads again.
        """
        with self._blaming():
            return self._connection.execute(statement, dict(values or {})).fetchall()

    def arrays(self, statement: str, values: Mapping[str, Any] | None = None) -> dict[str, NDArray[Any]]:
        """The columns of a query over what was loaded or defined; a null of a column of numbers is NaN.

        Raises:
            DamagedLakeError: a file cannot be read; it says which.
            MovedOnError: a file was removed meanwhile; `read_lake` then reads again.
        """
        table = self.columns(statement, values)
        return {name: table[name].to_numpy() for name in table.column_names}

    def columns(self, statement: str, values: Mapping[str, Any] | None = None) -> pa.Table:
        """The columns of a query over what was loaded or defined, maps and lists among them.

        Raises:
            DamagedLakeError: a file cannot be read; it says which.
            MovedOnError: a file was removed meanwhile; `read_lake` then reads again.
        """
        with self._blaming():
            found: Any = self._connection.sql(statement, params=dict(values or {}))
            return found.to_arrow_table()

    @contextmanager
    def _blaming(self) -> Iterator[None]:
        """An error of the engine says which file is to blame, where one is."""
        try:
            yield
        except duckdb.OutOfMemoryException as error:
            raise LakeError(f"too little memory for this report: {error}") from error
        except duckdb.Error as error:
            for table in self.tables.values():
                blame(self._location, self._connection, table)
            if is_outage(error, self._location):  # which has passed by now
                raise to_lake_error(error, "read", self._location) from error
            raise LakeError(f"the lake cannot be read: {explain(error, self._location)}") from error

    def peek(self, statement: str, files: Sequence[str]) -> list[tuple[Any, ...]]:
        """The rows of a query over files that no figure rests on: none where they cannot be read."""
        try:
            return self._connection.execute(
                statement, {"files": [literal(file) for file in files]}
            ).fetchall()
        except duckdb.Error:
            return []


def read_lake(
    lake: Lake,
    scope: Extent,
    specs: Sequence[TableSpec],
    read: Callable[[OpenLake], Read],
    at: Versions | None = None,
) -> Read:
    """What `read` makes of the tables; done anew, once, where files were removed while it read.

    Raises:
        DamagedLakeError: a file that a table lists is gone, cut or altered.
        MovedOnError: files were removed again.
        VersionGoneError: what was asked for `at` a version is no longer there.
    """
    try:
        with open_lake(lake, scope, specs, at) as tables:
            return read(tables)
    except MovedOnError as error:
        if at is not None:
            versions = ", ".join(f"{name} @{version}" for name, version in at.items() if version is not None)
            raise VersionGoneError(
                f"files that {versions} listed were removed since, by a vacuum: a lake keeps those of old "
                "versions for a week or so"
            ) from error
        with open_lake(lake, scope, specs) as tables:
            return read(tables)


@contextmanager
def open_lake(
    lake: Lake, scope: Extent, specs: Sequence[TableSpec], at: Versions | None = None
) -> Iterator[OpenLake]:
    """Hold the lake's tables at one version each, with the files that this scope needs.

    Args:
        lake: Where the lake is.
        scope: Which files are read.
        specs: Which tables.
        at: Their versions; None: the present ones. A table that has none there was not there then.

    Raises:
        DamagedLakeError: a file that a table lists is gone, cut or altered.
        MovedOnError: a file was removed meanwhile; `read_lake` then reads again.
        VersionGoneError: a version cannot be had any more.
    """
    location = Location.parse(lake)
    stores = {spec.name: table_store(location, spec) for spec in specs}
    tables = {spec.name: _listed(location, stores[spec.name], spec, scope, at) for spec in specs}
    unverified = sum(check_files(location, stores[name], table) for name, table in tables.items())
    with engine(location) as (connection, folder):
        columns = {spec.name: columns_file(folder, spec) for spec in specs}
        yield OpenLake(location, connection, tables, columns, unverified)


def _listed(
    location: Location, store: Store, spec: TableSpec, scope: Extent, at: Versions | None
) -> TableFiles:
    version = None if at is None else at.get(spec.name)
    if at is not None and version is None:
        return TableFiles(spec.name, None, (), {})
    return list_files(location, store, spec, scope, version)


def table_store(location: Location, spec: TableSpec) -> Store:
    """The files of one table."""
    return open_store(Location(location.table(spec.name), location.options))


def blame(location: Location, connection: duckdb.DuckDBPyConnection, table: TableFiles) -> None:
    """Find the file that cannot be read, by reading each alone and whole; return where all can.

    Raises:
        DamagedLakeError: it is this one.
        MovedOnError: it was removed meanwhile.
        LakeError: the store does not hand it out: no damage.
    """
    store = open_store(Location(location.table(table.name), location.options))
    for file in table.listed:
        if store.size(file.path) is None:
            raise missing(location, table, file)
        try:
            connection.execute(
                "SELECT max(hash(each)) FROM read_parquet($file, hive_partitioning = false) each",
                {"file": literal(file.uri)},
            ).fetchall()
        except duckdb.Error as error:
            if is_outage(error, location):
                raise to_lake_error(error, f"read {file.path} of", location) from error
            reason = explain(error, location)
            raise DamagedLakeError(
                f"{file.uri} is damaged, no figures are drawn from it: {reason}"
            ) from error
