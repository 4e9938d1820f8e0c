"""Rows in order into one file, in as little memory as a slice of it takes.

The columns that rows are sorted by are held whole, and say where each row goes. Nothing is computed with
the values, so they are the same to the bit.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shadowlane.errors import LakeError
from shadowlane.lake._parts import ROW_GROUP, layout, stats
from shadowlane.lake._tables import TableSpec
from shadowlane.lake.care._spool import Rows, Spool

# What a slice may take in memory; being put in order, it is there three times.
_SLICE = 32 * 2**20
_FIRST_ROWS = 8 * 1024
_MOST_ROWS = 1024 * 1024


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
    """Write all rows as one file.

    Raises:
        LakeError: there is no room for it, or another engine's rows do not fit the table's columns.
    """
    keys = spool.keys
    order = pc.sort_indices(keys, [(name, "ascending") for name in spec.sorted_by]).to_numpy()
    try:
        with pq.ParquetWriter(path, schema, **layout(schema, spec)) as writer:
            for rows in _slices(spool, order.astype(np.int64)):
                writer.write_table(rows, row_group_size=ROW_GROUP)
    except (pa.ArrowException, OSError) as error:
        raise LakeError(f"table {spec.name}: its files cannot be joined: {error}") from error
    pa.default_memory_pool().release_unused()
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Merged(path, path.stat().st_size, sha256, keys.num_rows, stats(keys, spec))


def _slices(spool: Spool, order: Rows) -> Iterator[pa.Table]:
    """All rows in order, as many at once as fit the memory: how large rows are, the last slice tells."""
    start, count = 0, _FIRST_ROWS
    while start < len(order):
        rows = spool.take(order[start : start + count])
        yield rows
        start += rows.num_rows
        count = _fitting(rows)


def _fitting(rows: pa.Table) -> int:
    """How many rows of this size fit; whole row groups, where it is more than one."""
    fitting: int = max(1, _SLICE * rows.num_rows // max(rows.nbytes, 1))
    return fitting if fitting < ROW_GROUP else min(fitting, _MOST_ROWS) // ROW_GROUP * ROW_GROUP
