"""Many files into one, sorted over all their rows, in as little memory as a slice of it takes.

The columns that rows are sorted by are read whole, and say where each row goes. Then the new file is
written a slice at a time, each from the row groups that its rows lie in: nothing is computed with the
values, so they are the same to the bit.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shadowlane.errors import DamagedLakeError, LakeError
from shadowlane.lake._parts import _ROW_GROUP, _stats, _texts
from shadowlane.lake._tables import TableSpec
from shadowlane.lake.care._spool import Spool

# What a slice may take in memory; being put in order, it is there three times.
_SLICE = 48 * 2**20
_FIRST_ROWS = 8 * 1024
_MOST_ROWS = 1024 * 1024

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Merged:
    """The new file, still on this machine, and what Delta's log is to say of it."""

    path: Path
    size: int
    sha256: str
    rows: int
    stats: str

    def mapped(self) -> memoryview:
        """Its bytes, which do not have to be in memory."""
        with self.path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def merge(spool: Spool, schema: pa.Schema, spec: TableSpec, path: Path) -> Merged:
    """Write all rows of the files as one file of these columns; what a file does not have is null there.

    Raises:
        DamagedLakeError: a file cannot be read.
        LakeError: a file has columns or types that the table does not.
    """
    keys, places = _look(spool, schema, spec)
    order = pc.sort_indices(keys, [(name, "ascending") for name in spec.sorted_by]).to_numpy()
    layout = {"compression": "zstd", "use_dictionary": _texts(schema), "coerce_timestamps": "us"}
    with pq.ParquetWriter(path, schema, **layout) as writer:
        for rows in _slices(spool, schema, places, order.astype(np.int64)):
            writer.write_table(rows, row_group_size=_ROW_GROUP)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Merged(path, path.stat().st_size, sha256, keys.num_rows, json.dumps(_stats(keys, spec)))


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the rows of the files lie, when all are counted through."""

    starts: Rows  # of each file, and the end of the last
    groups: list[Rows]  # of each file's row groups, counted within the file, and the end of the last


def _look(spool: Spool, schema: pa.Schema, spec: TableSpec) -> tuple[pa.Table, _Places]:
    """The columns that rows are sorted by, of all files, and where the rows lie."""
    wanted = pa.schema([schema.field(name) for name in spec.sorted_by])
    found, groups, ends = [], [], [0]
    for number in range(len(spool.files)):
        file = spool.opened(number)
        found.append(_read(spool, number, file, wanted, range(file.num_row_groups)))
        sizes = [file.metadata.row_group(each).num_rows for each in range(file.num_row_groups)]
        groups.append(np.cumsum([0, *sizes], dtype=np.int64))
        ends.append(ends[-1] + found[-1].num_rows)
        _check_columns(spool, number, file, schema, spec)
    return pa.concat_tables(found).combine_chunks(), _Places(np.array(ends, dtype=np.int64), groups)


def _check_columns(
    spool: Spool, number: int, file: pq.ParquetFile, schema: pa.Schema, spec: TableSpec
) -> None:
    unknown = set(file.schema_arrow.names) - set(schema.names) - set(spec.partition_by)
    if unknown:
        raise LakeError(
            f"{spool.place(number)} has columns that its table does not know: {', '.join(sorted(unknown))}; "
            "joining it with others would lose them"
        )


def _slices(spool: Spool, schema: pa.Schema, places: _Places, order: Rows) -> Iterator[pa.Table]:
    """All rows in order, as many at once as fit the memory: how large rows are, the last slice tells."""
    start, count = 0, _FIRST_ROWS
    while start < len(order):
        rows = _rows(spool, schema, places, order[start : start + count])
        yield rows
        start += rows.num_rows
        count = _fitting(rows)


def _fitting(rows: pa.Table) -> int:
    """How many rows of this size fit; whole row groups, where it is more than one."""
    fitting: int = max(1, _SLICE * rows.num_rows // max(rows.nbytes, 1))
    return fitting if fitting < _ROW_GROUP else min(fitting, _MOST_ROWS) // _ROW_GROUP * _ROW_GROUP


def _rows(spool: Spool, schema: pa.Schema, places: _Places, wanted: Rows) -> pa.Table:
    """These rows, in this order."""
    ascending = np.sort(wanted)
    files, firsts = np.unique(np.searchsorted(places.starts, ascending, "right") - 1, return_index=True)
    parts = [
        _rows_of(spool, schema, places, int(file), rows - places.starts[file])
        for file, rows in zip(files, np.split(ascending, firsts[1:]), strict=True)
    ]
    return pa.concat_tables(parts).combine_chunks().take(np.searchsorted(ascending, wanted))


def _rows_of(spool: Spool, schema: pa.Schema, places: _Places, number: int, wanted: Rows) -> pa.Table:
    """These rows of one file, from the row groups that they lie in."""
    starts = places.groups[number]
    groups, firsts = np.unique(np.searchsorted(starts, wanted, "right") - 1, return_index=True)
    file = spool.opened(number)
    parts = [
        _read(spool, number, file, schema, [int(group)]).take(rows - starts[group])
        for group, rows in zip(groups, np.split(wanted, firsts[1:]), strict=True)
    ]
    return pa.concat_tables(parts)


def _read(
    spool: Spool, number: int, file: pq.ParquetFile, schema: pa.Schema, groups: Sequence[int]
) -> pa.Table:
    """Row groups of a file, with these columns and types."""
    there = [name for name in schema.names if name in file.schema_arrow.names]
    try:
        rows = file.read_row_groups(list(groups), columns=there, use_threads=False)
        columns = [
            rows.column(field.name).cast(field.type)
            if field.name in there
            else pa.chunked_array([pa.nulls(rows.num_rows, field.type)])
            for field in schema
        ]
    except (pa.ArrowException, OSError) as error:
        raise DamagedLakeError(f"{spool.place(number)} is damaged: {error}") from error
    return pa.Table.from_arrays(columns, schema=schema)
