"""Files in an object store, reached as Delta reaches its log: the same store, environment and options."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from posixpath import commonpath, dirname
from typing import Any, BinaryIO, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.fsspec import FsspecStore
from obstore.store import from_url

from shadowlane.errors import LakeError
from shadowlane.lake._faults import to_lake_error
from shadowlane.lake._location import Location
from shadowlane.lake._store import Entry

_PREFIXES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_STORAGE_"}
_NOT_OURS = {"AWS_S3_ALLOW_UNSAFE_RENAME"}
_PROOF = "_shadowlane/create-only"
_MULTIPART_FROM = 32 * 2**20
_WHOLE_UP_TO = 16 * 2**20
_PART = 8 * 2**20


class ObjectStore:
    """A bucket, below a prefix."""

    def __init__(self, location: Location) -> None:
        self._location = location
        with self._errors("open"):
            self._store = from_url(location.url, **_arguments(location))

    def put(self, path: str, data: bytes | memoryview) -> None:
        """An object store shows an object whole or not at all."""
        with self._errors(f"write {path} to"):
            obstore.put(self._store, path, bytes(data), use_multipart=len(data) >= _MULTIPART_FROM)

    def create(self, path: str, data: bytes) -> bool:
        """Write an object unless there is one of that name; whether it was written."""
        with self._errors(f"create {path} in"):
            try:
                obstore.put(self._store, path, data, use_multipart=False, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def sync(self, path: str) -> None:
        """An object store answers only once an object is safe."""

    def size(self, path: str) -> int | None:
        """How long an object is; None where there is none."""
        with self._errors(f"look for {path} in"):
            try:
                return int(obstore.head(self._store, path)["size"])
            except FileNotFoundError:
                return None

    def measure(self, paths: Sequence[str]) -> Callable[[str], int | None]:
        """How long each of these is, by one list of the folder that holds them all."""
        found = self.walk(commonpath(map(dirname, paths))) if paths else ()
        sizes: dict[str, int | None] = {each.path: each.size for each in found}
        return sizes.get

    def open(self, path: str) -> BinaryIO:
        """An object's bytes: a small one in one request, a large one in parts, as they are read."""
        with self._errors(f"read {path} of", missing=FileNotFoundError):
            found = obstore.get(self._store, path)
            size = found.meta["size"]
            if size <= _WHOLE_UP_TO:
                return io.BytesIO(found.bytes().to_bytes())
        return io.BufferedReader(_Parts(lambda start, length: self._part(path, start, length), size), _PART)

    def _part(self, path: str, start: int, length: int) -> bytes:
        with self._errors(f"read {path} of"):
            return obstore.get_range(self._store, path, start=start, length=length).to_bytes()

    def walk(self, prefix: str = "") -> Iterator[Entry]:
        """The objects below a prefix."""
        with self._errors("list"):
            for page in obstore.list(self._store, prefix or None):
                for each in page:
                    yield Entry(each["path"], each["size"], each["last_modified"])

    def remove(self, path: str) -> None:
        """Remove an object; one that is not there is fine."""
        with self._errors(f"remove {path} from"):
            try:
                obstore.delete(self._store, path)
            except FileNotFoundError:
                return

    @contextmanager
    def _errors(self, doing: str, missing: type[Exception] = LakeError) -> Iterator[None]:
        """The store's errors as ours; an object that is not there may be an error of its own."""
        try:
            yield
        except missing:
            raise
        except (BaseError, FileNotFoundError) as error:
            raise to_lake_error(error, doing, self._location) from error


class _Parts(io.RawIOBase):
    """An object that is read in parts, for which its own client's files are not always fit."""

    def __init__(self, part: Callable[[int, int], bytes], size: int) -> None:
        self._part = part
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go on reading elsewhere."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read what comes next."""
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        buffer[:wanted] = self._part(self._at, wanted)
        self._at += wanted
        return wanted

    def readall(self) -> bytes:
        """The rest, in parts: left to itself, Python asks for 8 KB at a time."""
        return b"".join(iter(lambda: self.read(_PART) or b"", b""))


@cache
def prove_create_only(location: Location) -> None:
    """See that of two who create the same object one is refused, once for each lake of a process.

    A commit is such an object. A store that lets the second overwrite the first would lose commits
    without anybody noticing.

    Raises:
        LakeError: the store does not refuse, or cannot be reached.
    """
    store = ObjectStore(location)
    # The object stays: the next process is refused at its first try, which is proof enough.
    if store.create(_PROOF, b"first") and store.create(_PROOF, b"second"):
        raise LakeError(
            f"lake {location}: this store overwrites an object that it was asked only to create "
            "(If-None-Match is ignored), so that two writers would undo each other's commits unseen. "
            "Use a store, or a version of it, with conditional writes"
        )


def make_filesystem(location: Location) -> FsspecStore:
    """The store as a filesystem that the query engine takes, in place of an extension to download."""
    arguments = _arguments(location)
    kind: Any = FsspecStore  # one overload a store, where the store is known only here
    return cast("FsspecStore", kind(location.url.partition("://")[0], skip_instance_cache=True, **arguments))


def _arguments(location: Location) -> dict[str, Any]:
    """Delta's options as this client takes them: the store's, the connection's and those of trying again.

    They are three arguments here, and one in the wrong place ends the interpreter's thread in a panic.
    """
    prefix = _PREFIXES[location.url.partition("://")[0]]
    options = {name: value for name, value in location.options.items() if name not in _NOT_OURS}
    config = {
        name.removeprefix(prefix).lower(): value for name, value in options.items() if name.startswith(prefix)
    }
    client: dict[str, Any] = {
        name: options[name] for name in ("timeout", "connect_timeout") if name in options
    }
    # Given any option of the connection, this client no longer looks for this one in the environment.
    variable = os.environ.get(f"{prefix.partition('_')[0]}_ALLOW_HTTP", "")
    client["allow_http"] = options.get("allow_http", variable).lower() in ("true", "1")
    return {"config": config, "client_options": client, "retry_config": _retrying(options)}


def _retrying(options: dict[str, str]) -> dict[str, Any]:
    if "max_retries" not in options:
        return {}
    return {
        "max_retries": int(options["max_retries"]),
        "retry_timeout": _time(options["retry_timeout"]),
        "backoff": {
            "init_backoff": _time(options["backoff_config.init_backoff"]),
            "max_backoff": _time(options["backoff_config.max_backoff"]),
            "base": 2,
        },
    }


def _time(text: str) -> timedelta:
    return timedelta(milliseconds=int(text.removesuffix("ms")))
