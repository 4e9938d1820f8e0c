"""A file of labels: what it is by its first bytes, unpacked as it is read, and known by its hash."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from shadowlane.aggregator.labels._records import Tick
from shadowlane.errors import LabelFileError

_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_BOM = b"\xef\xbb\xbf"
_PARQUET = b"PAR1"
_ZIP = b"PK\x03\x04"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_CHUNK = 4 * 2**20


class LabelFile:
    """One that lies on this machine and does not change while it is read."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        with self.errors():
            self._before = path.stat()
            if stat.S_ISDIR(self._before.st_mode):
                raise LabelFileError(f"{name} is a folder; name a file in it")
            with path.open("rb") as file:
                start = file.read(4)
        self.packing = next((packing for magic, packing in _PACKED.items() if start.startswith(magic)), None)
        self.size = self._before.st_size

    @contextmanager
    def errors(self) -> Iterator[None]:
        """What goes wrong while it is read, in a sentence with its name."""
        try:
            yield
        except OSError as error:
            raise LabelFileError(f"cannot read {self.name}: {error.strerror or error}") from error

    def format(self) -> str:
        """`csv`, `jsonl` or `parquet`."""
        with self.errors(), self._open() as stream:
            start = stream.read(_CHUNK).removeprefix(_BOM)
        if start.startswith(_PARQUET):
            if self.packing:
                raise LabelFileError(f"{self.name} is a Parquet file within {self.packing}: unpack it first")
            return "parquet"
        if start.startswith(_ZIP):
            raise LabelFileError(f"{self.name} is a ZIP file or a spreadsheet: save it as CSV first")
        if start.startswith(_UTF16) or b"\0" in start[:4]:
            raise LabelFileError(f"{self.name} is no text in UTF-8; it looks like UTF-16: convert it first")
        return "jsonl" if start.lstrip()[:1] in (b"{", b"[") else "csv"

    def sha256(self) -> str:
        """The hash of its bytes as they lie there."""
        with self.errors(), self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def chunks(self, tick: Tick) -> Iterator[bytes]:
        """Its bytes, unpacked, without a byte order mark."""
        with self.errors(), self.path.open("rb") as raw:
            stream = self._unpacked(raw)
            start = b"\0"
            while chunk := stream.read(_CHUNK):
                yield chunk.removeprefix(_BOM) if start == b"\0" else chunk
                start = b""
                if raw.tell() > self.size:  # one that grows as fast as it is read has no end
                    self.check_unchanged()
                tick(raw.tell(), self.size)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        with self.path.open("rb") as raw:
            yield self._unpacked(raw)

    def _unpacked(self, raw: IO[bytes]) -> Any:
        return (
            raw if self.packing is None else pa.CompressedInputStream(pa.PythonFile(raw, "r"), self.packing)
        )

    def check_unchanged(self) -> None:
        """See that what was read is what was hashed.

        Raises:
            LabelFileError: somebody has written to it meanwhile.
        """
        with self.errors():
            now = self.path.stat()
        if (now.st_size, now.st_mtime_ns, now.st_ino) != _identity(self._before):
            raise LabelFileError(f"{self.name} was changed while it was read: import it once it is complete")


def _identity(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ino


@contextmanager
def opened(name: str, folder: Path) -> Iterator[LabelFile]:
    """A file by its name. Standard input (`-`) and pipes are copied first: they are read more than once."""
    path = Path(name)
    if name == "-" or path.is_fifo():
        copy = folder / "input"
        with copy.open("wb") as target:
            if name == "-":
                shutil.copyfileobj(sys.stdin.buffer, target, _CHUNK)
            else:
                with path.open("rb") as source:
                    shutil.copyfileobj(source, target, _CHUNK)
        yield LabelFile(copy, "standard input" if name == "-" else name)
        return
    yield LabelFile(path, name)
