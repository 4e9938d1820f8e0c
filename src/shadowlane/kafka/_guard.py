"""Runs a command and ends it when the process that asked for it is gone, however it went.

Run as a script: `python -I -S _guard.py OWNER_PID COMMAND...`. It watches its parent's id rather than
asking for PR_SET_PDEATHSIG itself, because that signal comes when the *thread* that started
a process ends; and not a pipe, because the owner's forked children would hold it open.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from typing import Any

PACE = 0.2
PATIENCE = 15.0
PR_SET_PDEATHSIG = 1


def main(owner: int, command: list[str]) -> int:
    """Run the command; pass SIGTERM on to it; end it when the owner is gone."""
    # The lock on the data folder is an open file that the command must inherit.
    child = subprocess.Popen(command, close_fds=False, preexec_fn=_die_with_the_guard)  # noqa: PLW1509  # one thread

    def stop(*_: Any) -> None:
        child.terminate()

    signal.signal(signal.SIGTERM, stop)
    while True:
        try:
            return child.wait(timeout=PACE)
        except subprocess.TimeoutExpired:
            if os.getppid() != owner:
                return _end(child)


def _end(child: subprocess.Popen[bytes]) -> int:
    child.terminate()
    try:
        return child.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def _die_with_the_guard() -> None:
    """Linux only: elsewhere a guard that is killed -9 leaves its command behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
