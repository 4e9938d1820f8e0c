"""Sees that files are what their table's log and their own names say: whole, unaltered to the last bit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from shadowlane.errors import DamagedLakeError, LakeError
from shadowlane.lake._listing import ListedFile, TableFiles, missing
from shadowlane.lake._location import Location
from shadowlane.lake._parts import sha256_of
from shadowlane.lake._store import Store

# hashlib lets go of the interpreter: a core hashes some 1.5 GB a second. Sizes wait for the store.
_HASHING = min(4, os.cpu_count() or 1)
_ASKING = 16
_CHUNK = 1 << 20


def check_files(location: Location, store: Store, table: TableFiles, *, hashes: bool = True) -> int:
    """See that the files are there, as long as listed and, if asked, what their names promise.

    Returns:
        How many have been seen to be long enough and no more: their names, of other engines, promise nothing.

    Raises:
        DamagedLakeError: a file is not; it says which.
        MovedOnError: a file is gone, and the table's present version does without it.
        LakeError: a file cannot be read.
    """
    size = store.measure([file.path for file in table.listed])
    _each(table.listed, lambda file: _check_size(location, size, table, file), _ASKING)
    promising = [file for file in table.listed if sha256_of(file.path)] if hashes else []
    _each(promising, lambda file: _check_hash(location, store, table, file), _HASHING)
    return len(table.listed) - len(promising)


def _each(
    files: tuple[ListedFile, ...] | list[ListedFile], check: Callable[[ListedFile], None], most: int
) -> None:
    with ThreadPoolExecutor(most, "shadowlane-check") as pool:
        try:
            for _ in pool.map(check, files):
                pass
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _check_size(
    location: Location, size: Callable[[str], int | None], table: TableFiles, file: ListedFile
) -> None:
    try:
        actual = size(file.path)
    except Exception as error:
        raise _unreadable(location, file, error) from error
    if actual is None:
        raise missing(location, table, file)
    if actual != file.size:
        raise DamagedLakeError(
            f"{file.uri} is cut or altered: {actual:,} bytes where its table's log says {file.size:,}; "
            "restore it"
        )


def _check_hash(location: Location, store: Store, table: TableFiles, file: ListedFile) -> None:
    digest = hashlib.sha256()
    try:
        with store.open(file.path) as content:
            while chunk := content.read(_CHUNK):
                digest.update(chunk)
    except FileNotFoundError:
        raise missing(location, table, file) from None
    except Exception as error:
        raise _unreadable(location, file, error) from error
    if digest.hexdigest() != sha256_of(file.path):
        raise DamagedLakeError(
            f"{file.uri} is altered: its bytes are not those that it is named after; restore it"
        )


def _unreadable(location: Location, file: ListedFile, error: Exception) -> LakeError:
    if isinstance(error, LakeError):
        return error
    reason = (isinstance(error, OSError) and error.strerror) or location.scrub(str(error))
    return LakeError(f"{file.uri} cannot be read: {reason}")
