"""Packages that only some kinds of model need, and files that a user vouches for."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from types import ModuleType

from shadowlane.errors import ModelError
from shadowlane.replay_worker._plan import ModelSource


def imported(name: str, extra: str) -> ModuleType:
    """A package that comes with an extra.

    Raises:
        ModelError: it is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not error.name or error.name.split(".")[0] != name.split(".", maxsplit=1)[0]:
            raise  # it is there, and something that it needs is not
        missing = name.partition(".")[0]
        raise ModelError(
            f"the model needs {missing}, which is not installed: pip install 'shadowlane[{extra}]'"
        ) from None


def read_pinned(source: ModelSource, path: Path) -> tuple[bytes, str]:
    """The file's bytes and their sha256, read once: what is checked is what is loaded.

    Raises:
        ModelError: it is not there, or is another file than the one that its user pinned.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"model file {str(path)!r} cannot be read: {error.strerror}") from None
    digest = hashlib.sha256(data).hexdigest()
    check_pin(source, str(path), digest)
    return data, digest


def check_pin(source: ModelSource, name: str, digest: str) -> None:
    """Whether it is what its user pinned, if he did.

    Raises:
        ModelError: it is not.
    """
    if source.sha256 and source.sha256.lower() != digest:
        raise ModelError(f"{name!r} has the sha256 {digest}, not the pinned {source.sha256}")


def check_trust(source: ModelSource, name: str, what: str, digest: str) -> None:
    """Whether the user takes the blame for code that runs when the model is loaded.

    Raises:
        ModelError: he does not; the message says how he would.
    """
    if not (source.allow_pickle and source.sha256):
        raise ModelError(
            f"{name!r} is {what}, which runs code when it is loaded. If you trust it: "
            f"--allow-pickle --sha256 {digest}"
        )
