"""Files at a lake's location: written whole and durably or not at all, listed, measured and removed.

Delta's own log is Delta's to write; this is for the data files beside it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from shadowlane.errors import MissingExtraError
from shadowlane.lake._location import Location


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, by its path below the store's root."""

    path: str
    size: int
    modified: datetime


class Store(Protocol):
    """Where files are put; errors are OSError (a folder's) or LakeError (an object store's)."""

    def put(self, path: str, data: bytes | memoryview) -> None:
        """Write a whole file, durably: after a crash it is there as it should be, or not at all."""

    def sync(self, path: str) -> None:
        """See that a file which Delta has written outlives a loss of power."""

    def size(self, path: str) -> int | None:
        """How long a file is; None where there is none."""

    def measure(self, paths: Sequence[str]) -> Callable[[str], int | None]:
        """What tells of each of these files how long it is; None where there is none."""

    def open(self, path: str) -> BinaryIO:
        """A file's bytes, to be read from its start; FileNotFoundError where there is none."""

    def walk(self, prefix: str = "") -> Iterator[Entry]:
        """The files below a folder."""

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is fine."""


class FolderStore:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._doubtful: set[str] = set()

    def put(self, path: str, data: bytes | memoryview) -> None:
        """Under another name first, and that one moved: no reader and no crash meets half a file."""
        target = self._root / path
        _make(target.parent)
        draft = target.with_name(f".{secrets.token_hex(8)}.draft")
        try:
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise
        _sync(target.parent)

    def sync(self, path: str) -> None:
        """See that a file which Delta has written outlives a loss of power."""
        target = self._root / path
        if not target.exists():
            return  # a checkpoint stands for it by now, and the log has let go of it
        if path in self._doubtful:
            # After a failure the system takes the lost pages for written: only another copy can be synced.
            self.put(path, target.read_bytes())
        else:
            self._doubtful.add(path)
            _sync(target)
            _sync(target.parent)
        self._doubtful.discard(path)

    def size(self, path: str) -> int | None:
        """How long a file is; None where there is none."""
        try:
            return (self._root / path).stat().st_size
        except FileNotFoundError:
            return None

    def measure(self, paths: Sequence[str]) -> Callable[[str], int | None]:  # noqa: ARG002 - one by one
        """What tells of each of these files how long it is."""
        return self.size

    def open(self, path: str) -> BinaryIO:
        """A file's bytes, to be read from its start."""
        return (self._root / path).open("rb")

    def walk(self, prefix: str = "") -> Iterator[Entry]:
        """The files below a folder; what goes away meanwhile is not there."""
        for folder, _, names in os.walk(self._root / prefix, onerror=_raise_unless_gone):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):
                    found = path.stat()
                    moment = datetime.fromtimestamp(found.st_mtime, UTC)
                    yield Entry(path.relative_to(self._root).as_posix(), found.st_size, moment)

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is fine."""
        (self._root / path).unlink(missing_ok=True)


def _raise_unless_gone(error: OSError) -> None:
    """A folder that may not be listed is not an empty one."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _make(folder: Path) -> None:
    """A folder with those above it, each durably in the list of names of the one that it lies in."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(path: Path) -> None:
    """A file's bytes, or a folder's list of names, made durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_store(location: Location) -> Store:
    """The files at a location.

    Raises:
        MissingExtraError: the location is an object store's, and `[cloud]` is not installed.
    """
    if location.folder is not None:
        return FolderStore(location.folder)
    return cast("Store", _cloud(location).ObjectStore(location))


def prove_create_only(location: Location) -> None:
    """See that of two who commit the same version one is refused: a folder does, a store is asked to.

    Raises:
        LakeError: the store does not refuse, or cannot be used.
    """
    if location.folder is None:
        _cloud(location).prove_create_only(location)


def open_filesystem(location: Location) -> Any:
    """An object store as the query engine takes it, with nothing to download; None for a folder."""
    return None if location.folder is not None else _cloud(location).make_filesystem(location)


def _cloud(location: Location) -> Any:
    try:
        from shadowlane.lake import _object_store  # noqa: PLC0415 - an extra brings it
    except ModuleNotFoundError as error:
        raise MissingExtraError("cloud", f"The lake {location}") from error
    return _object_store
