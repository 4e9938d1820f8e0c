"""The couriers of this process: what becomes of them when it ends, and in a child that it forks."""

from __future__ import annotations

import _thread
import atexit
import ctypes
import os
import signal
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import RLock, local
from typing import Any, Protocol


class ForkAware(Protocol):
    """What starts anew in a forked child."""

    def forked(self) -> None:
        """Called in the child, before anything else."""


class Courier(Protocol):
    """A background thread with the producer that it sends through."""

    @property
    def clients(self) -> list[object]:
        """Kafka clients with threads of their own."""

    def begin_close(self) -> None:
        """Take nothing more."""

    def join(self) -> None:
        """Wait for its end, within its budget."""


# In the order of their starts.
_running: dict[Courier, None] = {}
_finalizer: Any = None
_handles_sigterm = False
_making = RLock()
_forking = local()
# A fork is put off for so long at most: making a client takes milliseconds.
_FORK_SECONDS = 1.0
# A young client's threads connect, and hold more locks than ever after.
_YOUNG_SECONDS = 0.25
_made_at = -_YOUNG_SECONDS
_fork_aware: weakref.WeakSet[ForkAware] = weakref.WeakSet()


def started(courier: Courier) -> None:
    """A background thread runs: see that it ends in good order when the process does."""
    global _finalizer  # noqa: PLW0603 (one for each process)
    # A child of multiprocessing leaves without atexit; it has this instead. It forgets, as it begins,
    # what was registered before.
    if "multiprocessing.util" in sys.modules and not (_finalizer and _finalizer.still_active()):
        from multiprocessing.util import Finalize  # noqa: PLC0415 (only where it is loaded anyway)

        _finalizer = Finalize(None, close_all, exitpriority=0)
    _running[courier] = None


def ended(courier: Courier) -> None:
    """A background thread is done."""
    _running.pop(courier, None)


def at_fork(thing: ForkAware) -> None:
    """Have a thing told when it finds itself in a forked child."""
    _fork_aware.add(thing)


def on_terminate() -> None:
    """See that a SIGTERM ends this process in good order, where nobody else sees to it.

    By default it ends a process without atexit. A handler that is there stays, and whoever sets one
    later replaces this one; only the main thread can set it, so that a hook made elsewhere does without.
    """
    global _handles_sigterm  # noqa: PLW0603 (one for each process)
    # Once: the default that `_on_sigterm` brings back, or the service, is there to stay.
    if not _handles_sigterm and _is_default(signal.SIGTERM):
        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, _on_sigterm)
            _handles_sigterm = True


@contextmanager
def no_fork() -> Iterator[None]:
    """Put off forks, for as long as a Kafka client is made or let go.

    librdkafka holds a lock of the whole process meanwhile. A child that was forked then would wait for it
    without end, and for ever with the interpreter in its hands, as soon as it makes a client of its own.
    """
    global _made_at  # noqa: PLW0603
    with _making:
        try:
            yield
        finally:
            _made_at = time.monotonic()


def close_all() -> None:
    """Close what still runs: all at once, so that several take no longer than one.

    The last first: a router's pool starts after the courier that its results go to.
    """
    couriers = list(reversed(_running))
    for courier in couriers:
        courier.begin_close()
    for courier in couriers:
        courier.join()


def _is_default(number: int) -> bool:
    """Python's own word, `signal.getsignal`, knows no handler of a server that is written in C (uWSGI)."""
    handler_of = ctypes.pythonapi.PyOS_getsig
    handler_of.restype = ctypes.c_void_p
    return handler_of(number) is None


def _on_sigterm(number: int, _frame: object) -> None:
    if os.getpid() == 1:
        return  # the default, which we stand for: the kernel ignores it for process 1 (of a container)
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    try:
        # The main thread, which this interrupts, may hold a lock that closing needs, or one of `threading`.
        _thread.start_new_thread(_close_and_die, ())
    except RuntimeError:  # no more threads to be had, or the interpreter is about to end
        _close_and_die()


def _close_and_die() -> None:
    try:
        close_all()
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


def _before_fork() -> None:
    _forking.waits = _making.acquire(timeout=_FORK_SECONDS)
    time.sleep(max(0.0, _made_at + _YOUNG_SECONDS - time.monotonic()))


def _in_parent() -> None:
    if _forking.waits:
        _making.release()


def _in_child() -> None:
    global _finalizer, _handles_sigterm, _making  # noqa: PLW0603
    _making = RLock()
    _finalizer = None  # a parent's does nothing in a child
    _handles_sigterm = False  # a child has its parent's handler, until it sets the default itself
    inherited = list(_running)
    _running.clear()
    for courier in inherited:
        for client in courier.clients:
            _never_destroy(client)
    for thing in list(_fork_aware):
        thing.forked()


def _never_destroy(client: object) -> None:
    """A parent's client has no threads in the child, and its destructor would wait for them."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))


atexit.register(close_all)
os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
