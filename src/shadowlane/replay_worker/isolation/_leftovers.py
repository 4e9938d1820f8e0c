"""Processes that a model started and left behind, also those that left its process group."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# Whoever is found may have started another in the meantime.
_ROUNDS = 5


def end_marked(mark: str) -> None:
    """End by force whoever has this in the environment that it was started with.

    A process that was started with another environment is not found, nor is any where there is no /proc.
    """
    for _ in range(_ROUNDS):
        found = list(_marked(mark.encode()))
        if not found:
            return
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _marked(mark: bytes) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # another user's, or gone
            if mark in entry.read_bytes().split(b"\0"):
                yield int(entry.parent.name)
