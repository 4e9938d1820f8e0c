"""Files of a table fetched to this machine, each seen to be what its name and the log say it is.

They are kept as many small batches, each of which is read alone: files that overlap in time are then
read once, and not again for each slice of the new file. One file holds them all, as there may be
thousands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shadowlane.errors import DamagedLakeError, LakeError
from shadowlane.lake._parts import sha256_of
from shadowlane.lake.care._opened import KeptTable, Listed

_CHUNK = 1 << 20
_BATCH = 4 * 1024

Rows = NDArray[np.int64]


class Spool:
    """The rows of some files, counted through."""

    def __init__(self, table: KeptTable, files: Sequence[Listed], schema: pa.Schema, folder: Path) -> None:
        self._table = table
        self._schema = schema
        self._copy = folder / "copy"
        path = folder / "rows"
        keys, starts = [], [0]
        with pa.ipc.new_file(path, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as sink:
            for batch in _in_batches(rows for file in files for rows in self._read(file)):
                sink.write_batch(batch)
                keys.append(batch.select(list(table.spec.sorted_by)))
                starts.append(starts[-1] + batch.num_rows)
        self.keys = pa.Table.from_batches(keys, _of(schema, table.spec.sorted_by)).combine_chunks()
        self._starts = np.array(starts, dtype=np.int64)
        self._rows = pa.ipc.open_file(pa.OSFile(str(path)))

    def take(self, wanted: Rows) -> pa.Table:
        """These rows, in this order."""
        ascending = np.sort(wanted)
        batches, firsts = np.unique(np.searchsorted(self._starts, ascending, "right") - 1, return_index=True)
        parts = [
            self._rows.get_batch(int(batch)).take(pa.array(rows - self._starts[batch]))
            for batch, rows in zip(batches, np.split(ascending, firsts[1:]), strict=True)
        ]
        return (
            pa.Table.from_batches(parts, self._schema)
            .combine_chunks()
            .take(np.searchsorted(ascending, wanted))
        )

    def _read(self, file: Listed) -> Iterator[pa.RecordBatch]:
        """A file's rows, with the table's columns and types; what it does not have is null."""
        self._fetch(file)
        place, schema = f"{self._table.uri}/{file.path}", self._schema
        try:
            with pq.ParquetFile(self._copy) as opened:
                self._check(file, opened)
                there = set(opened.schema_arrow.names)
                names = [name for name in schema.names if name in there]
                for batch in opened.iter_batches(_BATCH, columns=names, use_threads=False):
                    columns = [
                        batch.column(each.name).cast(each.type)
                        if each.name in there
                        else pa.nulls(batch.num_rows, each.type)
                        for each in schema
                    ]
                    yield pa.RecordBatch.from_arrays(columns, schema=schema)
        except (pa.ArrowException, OSError) as error:
            raise DamagedLakeError(f"{place} is damaged: {error}") from error

    def _check(self, file: Listed, opened: pq.ParquetFile) -> None:
        place, rows = f"{self._table.uri}/{file.path}", opened.metadata.num_rows
        if file.rows not in (None, rows):
            raise DamagedLakeError(
                f"{place} has {rows:,} rows where its table's log says {file.rows:,}: restore it"
            )
        unknown = {*opened.schema_arrow.names} - {*self._schema.names, *self._table.spec.partition_by}
        if unknown:
            raise LakeError(
                f"{place} has columns that its table does not know: {', '.join(sorted(unknown))}; "
                "joining it with others would lose them"
            )

    def _fetch(self, file: Listed) -> None:
        """Copy a file: what was looked at and what is read are then the same bytes."""
        digest, size = hashlib.sha256(), 0
        place = f"{self._table.uri}/{file.path}"
        try:
            with self._table.store.open(unquote(file.path)) as source, self._copy.open("wb") as sink:
                while chunk := source.read(_CHUNK):
                    data = bytes(chunk)
                    digest.update(data)
                    size += sink.write(data)
        except FileNotFoundError as error:
            raise DamagedLakeError(
                f"{place} is listed by its table and cannot be found; restore it, or restore the table to an "
                "earlier version"
            ) from error
        except OSError as error:
            raise LakeError(f"{place} cannot be copied: {error}") from error
        if size != file.size or sha256_of(file.path) not in (None, digest.hexdigest()):
            raise DamagedLakeError(
                f"{place} is cut or altered: its bytes are not those that its table's log and its name "
                "promise; restore it"
            )


def _in_batches(rows: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows, no less than a batch of them at once: a file may have but a few."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in rows:
        held.append(batch)
        count += batch.num_rows
        if count >= _BATCH:
            yield from _joined(held)
            held, count = [], 0
    yield from _joined(held)


def _joined(batches: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
    return pa.Table.from_batches(batches).combine_chunks().to_batches() if batches else []


def _of(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in names])
