"""What every long-running command needs: a flag that signals set, and a heartbeat that others can see."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread, main_thread
from typing import Any

log = logging.getLogger(__name__)

_BEAT_SECONDS = 1.0
_PARENT_SECONDS = 0.5
# Longer than a fleet gives its workers: it must get to end them before it is ended itself.
_ALONE_SECONDS = 40.0
_STDERR = 2
_SIGNAL_AT_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG
_OBJECTS = 50_000


class Heartbeat:
    """Touches the file named by SHADOWLANE_HEARTBEAT while the loop moves; its age tells a health check."""

    def __init__(self, path: str | None = None) -> None:
        given = path or os.environ.get("SHADOWLANE_HEARTBEAT")
        self._path = Path(given) if given else None
        self._last = -_BEAT_SECONDS

    def beat(self) -> None:
        """Touch the file, once a second at most."""
        now = time.monotonic()
        if self._path and now - self._last >= _BEAT_SECONDS:
            with suppress(OSError):  # a full disk must not end what works
                self._path.touch()
            self._last = now


@contextmanager
def rare_collections() -> Iterator[None]:
    """Let Python look for circular garbage seldom, for a loop that holds thousands of objects and makes none.

    By default it looks each 700 objects, which over batches of messages takes a tenth of the loop's time.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@contextmanager
def stopped_by_signals(*signals: signal.Signals) -> Iterator[Event]:
    """A flag that SIGTERM and Ctrl-C set: finish what is under way, then leave.

    A second Ctrl-C ends the process at once.
    """
    stop = Event()

    def on_signal(number: int, _frame: Any) -> None:
        if stop.is_set() and number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        stop.set()

    parent = os.environ.pop("SHADOWLANE_LEAVE_WITH_PARENT", "")  # not meant for our own children
    if parent.isdecimal():
        leave_with_parent(int(parent))
    before = {
        number: signal.signal(number, on_signal) for number in signals or (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def die_with_parent(parent: int) -> None:
    """Have the system kill this process when its parent is gone, where it can (Linux).

    For who cannot be told to leave: foreign code may hold the interpreter.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SIGNAL_AT_PARENTS_DEATH, signal.SIGKILL)
    if os.getppid() != parent:  # gone already
        os._exit(1)


def leave_with_parent(parent: int, grace: float = _ALONE_SECONDS) -> None:
    """Send this process a SIGTERM when its parent is gone, however that went (kill -9 too).

    One that has not ended within the grace then says on stderr where each thread is, and is ended by
    force. The parent's id is given, not asked for: it may be gone before this process gets to ask.
    """
    main = main_thread().ident or 0  # it has one, as it runs

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_SECONDS)
        # A timer in C: neither a thread that holds the interpreter nor the interpreter's end stops it.
        faulthandler.dump_traceback_later(grace, exit=True, file=_STDERR)
        # Sent to the process, the timer's thread may take it, and a main thread that waits would not wake.
        signal.pthread_kill(main, signal.SIGTERM)
        log.warning("process %d, which this one belongs to, is gone; ending within %.0f s", parent, grace)

    Thread(target=watch, name="shadowlane-parent", daemon=True).start()
