"""Files in an object store, reached as Delta reaches its log: the same crate, environment and options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, cast

import obstore
from obstore.store import from_url

from shadowlane.lake._location import Location
from shadowlane.lake._store import Entry


class ObjectStore:
    """A bucket, below a prefix."""

    def __init__(self, location: Location) -> None:
        self._store = from_url(location.url, config=dict(location.options))  # type: ignore[call-overload]

    def put(self, path: str, data: bytes | memoryview) -> None:
        """One request: an object store shows an object whole or not at all."""
        obstore.put(self._store, path, bytes(data), use_multipart=False)

    def sync(self, path: str) -> None:
        """An object store answers only once an object is safe."""

    def size(self, path: str) -> int | None:
        """How long an object is; None where there is none."""
        try:
            return int(obstore.head(self._store, path)["size"])
        except FileNotFoundError:
            return None

    def open(self, path: str) -> BinaryIO:
        """An object's bytes, to be read from its start."""
        return cast("BinaryIO", obstore.open_reader(self._store, path))

    def walk(self, prefix: str = "") -> Iterator[Entry]:
        """The objects below a prefix."""
        for page in obstore.list(self._store, prefix or None):
            for each in page:
                yield Entry(each["path"], each["size"], each["last_modified"])

    def remove(self, path: str) -> None:
        """Remove an object; one that is not there is fine."""
        obstore.delete(self._store, path)
