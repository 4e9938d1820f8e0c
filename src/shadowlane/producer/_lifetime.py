"""The couriers of this process: what becomes of them when it ends, and in a child that it forks."""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import weakref
from typing import Any, Protocol


class ForkAware(Protocol):
    """What starts anew in a forked child."""

    def forked(self) -> None:
        """Called in the child, before anything else."""


class Courier(Protocol):
    """A background thread with the producer that it sends through."""

    outbox: Any

    def begin_close(self) -> None:
        """Take nothing more."""

    def join(self) -> None:
        """Wait for its end, within its budget."""


_running: set[Courier] = set()
_finalizer: Any = None
_fork_aware: weakref.WeakSet[ForkAware] = weakref.WeakSet()


def started(courier: Courier) -> None:
    """A background thread runs: see that it ends in good order when the process does."""
    global _finalizer  # noqa: PLW0603 (one for each process)
    # A child of multiprocessing leaves without atexit; it has this instead. It forgets, as it begins,
    # what was registered before.
    if "multiprocessing.util" in sys.modules and not (_finalizer and _finalizer.still_active()):
        from multiprocessing.util import Finalize  # noqa: PLC0415 (only where it is loaded anyway)

        _finalizer = Finalize(None, close_all, exitpriority=0)
    _running.add(courier)


def ended(courier: Courier) -> None:
    """A background thread is done."""
    _running.discard(courier)


def at_fork(thing: ForkAware) -> None:
    """Have a thing told when it finds itself in a forked child."""
    _fork_aware.add(thing)


def close_all() -> None:
    """Close what still runs: all at once, so that several take no longer than one."""
    couriers = list(_running)
    for courier in couriers:
        courier.begin_close()
    for courier in couriers:
        courier.join()


def _in_child() -> None:
    global _finalizer  # noqa: PLW0603
    _finalizer = None  # a parent's does nothing in a child
    inherited = list(_running)
    _running.clear()
    for courier in inherited:
        if courier.outbox is not None:
            _never_destroy(courier.outbox.producer)
    for thing in list(_fork_aware):
        thing.forked()


def _never_destroy(producer: object) -> None:
    """A parent's producer has no threads in the child, and its destructor would wait for them."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(producer))


atexit.register(close_all)
os.register_at_fork(after_in_child=_in_child)
