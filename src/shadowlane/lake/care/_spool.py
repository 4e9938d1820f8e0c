"""Files of a table fetched to this machine, each seen to be what its name and the log say it is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from shadowlane.errors import DamagedLakeError, LakeError
from shadowlane.lake._parts import sha256_of
from shadowlane.lake.care._opened import KeptTable, Listed

_CHUNK = 1 << 20


class Spool:
    """Copies, so that what was looked at and what is read are the same bytes; one file holds them all."""

    def __init__(self, table: KeptTable, files: Sequence[Listed], path: Path) -> None:
        self.files = files
        self._uri = table.uri
        self._ends = [0]
        with path.open("wb") as sink:
            for file in files:
                self._ends.append(self._ends[-1] + _fetch(table, file, sink))
        self._bytes = pa.memory_map(str(path)).read_buffer() if self._ends[-1] else pa.py_buffer(b"")

    def place(self, number: int) -> str:
        """Where a file came from."""
        return f"{self._uri}/{self.files[number].path}"

    def opened(self, number: int) -> pq.ParquetFile:
        """One of the files. It is not kept open: what is known of a thousand columns takes memory."""
        start, end = self._ends[number], self._ends[number + 1]
        file = self.files[number]
        try:
            opened = pq.ParquetFile(pa.BufferReader(self._bytes.slice(start, end - start)))
        except (pa.ArrowException, OSError) as error:
            raise DamagedLakeError(f"{self.place(number)} is damaged: {error}") from error
        if file.rows not in (None, opened.metadata.num_rows):
            raise DamagedLakeError(
                f"{self.place(number)} has {opened.metadata.num_rows:,} rows where its table's log says "
                f"{file.rows:,}: it was altered; restore it"
            )
        return opened


def _fetch(table: KeptTable, file: Listed, sink: BinaryIO) -> int:
    """Copy a file; its length."""
    digest, size = hashlib.sha256(), 0
    place = f"{table.uri}/{file.path}"
    try:
        with table.store.open(unquote(file.path)) as source:
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
            f"{place} is cut or altered: its bytes are not those that its table's log and its name promise; "
            "restore it"
        )
    return size
