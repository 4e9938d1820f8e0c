"""Runs a query in an engine that reaches the lake's files, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from shadowlane.lake._engine import columns_file, engine, literal
from shadowlane.lake._listing import Everything, MovedOnError, TableFiles, list_files
from shadowlane.lake._location import Lake, Location
from shadowlane.lake._reader import table_store
from shadowlane.lake._tables import TABLES, TableSpec
from shadowlane.lake._witness import check_files
from shadowlane.lake.sql._gate import let_through
from shadowlane.lake.sql._running import Answer, Limits, Running
from shadowlane.lake.sql._views import definitions, quoted, specs_of


@contextmanager
def open_query(
    lake: Lake, text: str, limits: Limits | None = None, *, verify: bool = True
) -> Iterator[Answer]:
    """Run a query over the lake, with one version of each table that it names.

    Args:
        lake: Where the lake is.
        text: One statement that only reads.
        limits: What it may take.
        verify: Whether the files it reads are first seen to be unaltered; their length always is.

    Raises:
        QueryError: the query cannot be run as it is written.
        DamagedLakeError: a file is gone, cut or altered.
        LakeError: it took too much memory or time.
    """
    query, limits = let_through(text), limits or Limits()
    location = Location.parse(lake)
    specs = specs_of(query.tables)
    try:
        tables = [_table(location, spec, verify=verify) for spec in specs]
    except MovedOnError:
        tables = [_table(location, spec, verify=verify) for spec in specs]
    with (
        engine(location, limits.memory) as (connection, folder),
        Running(location, connection, tables, limits) as running,
    ):
        running.do(lambda: _furnish(connection, folder, tables))
        yield running.answer(query.text)


def _table(location: Location, spec: TableSpec, *, verify: bool) -> TableFiles:
    store = table_store(location, spec)
    table = list_files(location, store, spec, Everything())
    check_files(location, store, table, hashes=verify)
    return table


def _furnish(connection: duckdb.DuckDBPyConnection, folder: Path, tables: Sequence[TableFiles]) -> None:
    """Make the views, and then shut all doors: first what may be read, then the rest, then the lock.

    A table that the query does not name is there with its columns, for SHOW and the like; to read it fails.
    """
    known = {table.name: table.files for table in tables}
    allowed: list[str] = []
    for spec in TABLES:
        files = [columns_file(folder, spec), *known.get(spec.name, ())]
        for statement in definitions(spec, files):
            connection.execute(statement)
        if spec.name in known:
            allowed += {*files, *map(literal, files)}
        else:
            Path(files[0]).unlink()
    connection.execute("SET python_enable_replacements = false")
    connection.execute(f"SET allowed_paths = [{', '.join(map(quoted, allowed))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
