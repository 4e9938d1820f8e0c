"""DuckDB as the lake is read with: in memory, in UTC, downloading nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from shadowlane.lake._listing import NO_VALUE
from shadowlane.lake._location import Location
from shadowlane.lake._store import open_filesystem
from shadowlane.lake._tables import TableSpec

# Enough memory for ten million comparisons; what does not fit goes to the work folder.
MEMORY = "2GB"


@contextmanager
def engine(location: Location, memory: str = MEMORY) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """An engine that reads a lake's files where they are, and its work folder."""
    with tempfile.TemporaryDirectory(prefix="shadowlane-report-") as folder:
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "memory_limit": memory,
            "preserve_insertion_order": False,
            "temp_directory": folder,
        }
        with duckdb.connect(":memory:", config=config) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            _reach(connection, location)
            yield connection, Path(folder)


def _reach(connection: duckdb.DuckDBPyConnection, location: Location) -> None:
    """Let the engine read an object store; a folder it reads by itself."""
    if location.folder is None:
        connection.register_filesystem(open_filesystem(location))


def columns_file(folder: Path, spec: TableSpec) -> str:
    """A file with a table's columns and no rows.

    First among those that are read, it makes a table without files, and files from before a column was
    added, read like any other.
    """
    path = folder.joinpath(spec.name, *(f"{name}={NO_VALUE}" for name in spec.partition_by), "none.parquet")
    path.parent.mkdir(parents=True)
    pq.write_table(spec.schema.empty_table(), path)
    return str(path)


def literal(path: str) -> str:
    """A path that the engine takes letter for letter: it reads `*`, `?` and `[` as patterns."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)
