"""Checked rows on disk, in groups that are landed one commit each.

Nothing lands before the last row is checked, and a file may be larger than the memory. The groups of one
file are the same each time, so that an import which goes on after a crash writes the same files again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shadowlane.aggregator.labels._checking import CHECKED

_GROUP_BYTES = 64 * 2**20


class Spool:
    """A file of checked rows."""

    def __init__(self, path: Path, group_rows: int) -> None:
        self.path, self.rows = path, 0
        self._group_rows = group_rows
        self._held: list[pa.Table] = []
        self._writer = pq.ParquetWriter(path, CHECKED, compression="lz4", use_dictionary=False)

    def add(self, rows: pa.Table) -> None:
        """Keep these."""
        self.rows += rows.num_rows
        while rows.num_rows:
            room = self._group_rows - sum(each.num_rows for each in self._held)
            self._held.append(rows[:room])
            rows = rows[room:]
            if rows.num_rows or sum(each.nbytes for each in self._held) > _GROUP_BYTES:
                self._write()

    def _write(self) -> None:
        if self._held:
            table = pa.concat_tables(self._held)
            self._writer.write_table(table, row_group_size=self._group_rows)
            self._held = []

    def close(self) -> None:
        """No more are coming."""
        self._write()
        self._writer.close()

    def groups(self) -> Iterator[pa.Table]:
        """What was kept, a group at a time."""
        with pq.ParquetFile(self.path) as file:
            for index in range(file.num_row_groups):
                yield file.read_row_group(index)

    def from_line(self, position: int) -> int:
        """How many rows stand at this line or below."""
        return sum(
            int(pc.sum(pc.greater_equal(rows.column("line"), position)).as_py()) for rows in self.groups()
        )
