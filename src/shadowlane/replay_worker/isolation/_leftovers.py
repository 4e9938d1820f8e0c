"""Processes that a model started and left behind, also those that left its process group."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

# Whoever is found may have started another in the meantime.
_ROUNDS = 5
# Whoever was ended by force is gone in no time, unless the kernel is at work for it.
_BURY_SECONDS, _LOOK_SECONDS = 1.0, 0.005


def end_marked(mark: str) -> list[int]:
    """End by force whoever has this in the environment that it was started with, and say who that was.

    A process that was started with another environment is not found, nor is any where there is no /proc.
    """
    ended: list[int] = []
    for _ in range(_ROUNDS):
        found = list(_marked(mark.encode()))
        if not found:
            break
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        ended += found
    return ended


def bury(ids: Sequence[int]) -> None:
    """Take note of the end of those processes and groups (-id) that have become ours by their parents' end.

    They do where this process is the first of a container: without an init nobody else would, and the dead
    would fill the container's table of processes.
    """
    until = monotonic() + _BURY_SECONDS
    while True:
        states = [_waited(each) for each in ids]
        if any(states):  # whose end may have made others ours
            continue
        if False not in states or monotonic() > until:
            return
        sleep(_LOOK_SECONDS)


def _waited(process: int) -> bool | None:
    """Whether it (one of the group) has ended and is noted now; None: it is not ours."""
    try:
        return os.waitpid(process, os.WNOHANG)[0] != 0
    except OSError:
        return None


def _marked(mark: bytes) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # another user's, or gone
            if mark in entry.read_bytes().split(b"\0"):
                yield int(entry.parent.name)
