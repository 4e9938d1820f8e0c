"""Lakes for the tests of care: tables of many small commits, and every value of them to the bit."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from shadowlane.lake import LEDGER, LakeTable, TableSpec

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
APP = "shadow-ledger-0"


def entries(*numbers: int, model: str | None = "fraud", **given: Sequence[Any]) -> pa.Table:
    """Ledger entries, a microsecond apart, each with its number as offset; columns may be given."""
    times = [NOON + timedelta(microseconds=number) for number in numbers]
    columns: dict[str, Sequence[Any]] = {
        "model": [model] * len(numbers),
        "date": [moment.date() for moment in times],
        "recorded_at": times,
        "landed_partition": [0] * len(numbers),
        "landed_offset": numbers,
        **given,
    }
    return rows_of(LEDGER, len(numbers), columns)


def rows_of(spec: TableSpec, count: int, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Rows of a table; what is not given is null."""
    arrays = [pa.array(columns.get(each.name, [None] * count), each.type) for each in spec.schema]
    return pa.Table.from_arrays(arrays, schema=spec.schema)


def fill(lake: Path, commits: Iterable[pa.Table], spec: TableSpec = LEDGER, app_id: str = APP) -> LakeTable:
    """Land each of these in a commit of its own."""
    table = LakeTable(lake, spec)
    table.resume(app_id)
    position = table.position(app_id) or 0
    for rows in commits:
        position += rows.num_rows
        table.append(rows, {app_id: position})
    return table


def small_commits(lake: Path, count: int, model: str | None = "fraud", first: int = 0) -> LakeTable:
    """So many ledger entries, each in a commit of its own."""
    return fill(lake, (entries(number, model=model) for number in range(first, first + count)))


def files(lake: Path, table: str = "ledger") -> list[Path]:
    """The files that the table lists."""
    return sorted(Path(uri) for uri in DeltaTable(str(lake / table)).file_uris())


def numbers(lake: Path) -> list[int]:
    """The offsets of all ledger entries that are listed, in order."""
    return sorted(row["landed_offset"] for file in files(lake) for row in read(file))


def read(file: Path) -> list[dict[str, Any]]:
    """A file's rows, in its order."""
    rows: list[dict[str, Any]] = pq.ParquetFile(file).read().to_pylist()
    return rows


def to_the_bit(value: Any) -> Any:
    """A value such that what is not the same to the bit is not equal."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, dict):
        return {name: to_the_bit(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_the_bit(each) for each in value]
    return value
