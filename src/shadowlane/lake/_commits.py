"""Sees that the log's latest commits are whole.

Delta finds a commit that is gone, and one that is cut within a line. It reads over one that is empty, as
a loss of power leaves a file, and one that lost whole lines: their rows would be missing without a word.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from shadowlane.errors import DamagedLakeError
from shadowlane.lake._store import Store

_AT_ONCE = 16
# Without a hint where the last checkpoint is: more than are ever written between two.
_MOST = 1_000


def check_commits(store: Store, uri: str, version: int) -> None:
    """See that each commit since the last checkpoint is whole.

    Raises:
        DamagedLakeError: one is not; it says which.
    """
    first = max(_checkpoint(store) + 1, version - _MOST + 1)
    names = [f"_delta_log/{number:020d}.json" for number in range(first, version + 1)]
    with ThreadPoolExecutor(_AT_ONCE, "shadowlane-log") as pool:
        for name, content in zip(names, pool.map(lambda name: _read(store, name), names), strict=True):
            if content is not None and not is_whole(content):
                raise DamagedLakeError(
                    f"{uri}/{name} is cut or altered: rows would be missing without a word; restore it"
                )


def is_whole(content: bytes) -> bool:
    """Whether a commit says what was done and, if it is ours, how far it read or what it replaced."""
    try:
        actions = [json.loads(line) for line in content.splitlines() if line.strip()]
    except ValueError:
        return False
    said = {name for action in actions for name in action}
    return bool(said) and ("txn" in said or not any(map(_is_ours, actions)))


def _is_ours(action: dict[str, Any]) -> bool:
    """Whether this begins a commit of rows or of care, which ends with a transaction's id.

    What the same library writes by itself has metrics.
    """
    info = action.get("commitInfo", {})
    engine = str(info.get("engineInfo", ""))
    return (
        info.get("operation") == "WRITE" and engine.startswith("delta-rs") and "operationMetrics" not in info
    )


def _checkpoint(store: Store) -> int:
    """The version of the last checkpoint; -1 where there is none. What is before it is not read."""
    try:
        return int(json.loads(_read(store, "_delta_log/_last_checkpoint") or b"{}").get("version", -1))
    except ValueError:
        return -1


def _read(store: Store, path: str) -> bytes | None:
    """A file of the log; None where it is gone, as old ones go once there is a checkpoint."""
    try:
        with store.open(path) as file:
            return bytes(file.read())
    except FileNotFoundError:
        return None
