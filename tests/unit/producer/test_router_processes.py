"""Forks, exits, signals: a router and the life of its process."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from typing import Any

import pytest

from shadowlane.producer import RouterStats, SyncModelRouter
from shadowlane.producer.testing import MemoryHook

from .conftest import run
from .test_never_hurts import GENEROUS, until
from .test_processes import forking, in_fork

#: A script that ends without closing anything, and says afterwards what became of its requests.
SCRIPT = """
import asyncio, atexit, threading, time

@atexit.register  # first in, last out
def say():
    results = hook.stats().results
    print(time.monotonic() - begun < 15, hook.stats().delivered, results.delivered, results.dropped)
    print(*sorted({{(each.stage, each.error_type) for each in hook.errors}}))

from shadowlane.producer import Limits, SyncModelRouter
from shadowlane.producer.testing import MemoryHook

def hangs(features):
    threading.Event().wait()

async def hangs_in_a_thread(features):
    await asyncio.to_thread(hangs, features)

async def blocks(features):
    hangs(features)

async def shrugs(features):
    while True:
        try:
            await asyncio.sleep(60)
        except BaseException:
            continue

def answers(features):
    time.sleep(0.001)
    return 0.5

hook = MemoryHook(model="ranker", limits=Limits(exit_seconds={seconds}))
router = SyncModelRouter(lambda _: 0.5, {shadow}, hook=hook, shadow_name="s", timeout={timeout})
for _ in range(20):
    router.predict({{"a": 1.0}})
begun = time.monotonic()
"""


@pytest.mark.parametrize("shadow", ["hangs", "hangs_in_a_thread", "blocks", "shrugs"])
@pytest.mark.parametrize("timeout", [0.05, 60])
def test_a_shadow_that_hangs_holds_up_no_exit(shadow: str, timeout: float) -> None:
    """The process ends within its budget, and what did not finish is an error all the same."""
    first, second = run(SCRIPT.format(shadow=shadow, timeout=timeout, seconds=1)).splitlines()
    assert first == "True 20 20 0"
    expected = {"RouterClosed" if timeout == 60 else "ShadowTimeout"}
    if shadow == "hangs_in_a_thread":  # Python 3.12 starts no thread any more when its end has begun
        expected.add("RuntimeError")
    assert any(error in second for error in expected)


def test_a_short_script_loses_no_comparison() -> None:
    """What the shadow can still answer within the budget, it does."""
    assert run(SCRIPT.format(shadow="answers", timeout=60, seconds=20)).splitlines() == ["True 20 20 0", ""]


@pytest.fixture
def hook() -> Iterator[MemoryHook]:
    """A hook that keeps what it would send."""
    with MemoryHook(model="ranker") as hook:
        yield hook


def answers(features: Mapping[str, Any]) -> float:
    """A model."""
    return float(features["a"])


async def answers_later(features: Mapping[str, Any]) -> float:
    """An async model."""
    return float(features["a"])


@pytest.mark.parametrize("shadow", [answers, answers_later])
def test_a_forked_child_goes_on_with_its_parents_router(hook: MemoryHook, shadow: Callable[..., Any]) -> None:
    """It has counts and threads of its own; the parent goes on with its own."""
    router = SyncModelRouter(answers, shadow, hook=hook, shadow_name="s", timeout=GENEROUS)
    router.predict({"a": 0.5})
    until(lambda: router.stats() == RouterStats(taken=1, compared=1))

    def child() -> None:
        hook.clear()
        assert router.stats() == RouterStats()
        for _ in range(3):
            router.predict({"a": 0.5})
        router.close(timeout=GENEROUS)
        assert router.stats() == RouterStats(taken=3, compared=3)
        assert {each.source_topic for each in hook.comparisons} == {f"in-process:{hook.stats().producer_id}"}
        hook.close()

    assert in_fork(child) == 0
    router.predict({"a": 0.5})
    router.close(timeout=GENEROUS)
    assert router.stats() == RouterStats(taken=2, compared=2)
    assert len(hook.comparisons) == 2


@pytest.mark.parametrize("shadow", ["sync", "async"])
def test_a_fork_with_shadows_under_way(hook: MemoryHook, shadow: str) -> None:
    """What the parent's shadow is busy with, and a lock that is held, are the parent's alone."""
    let_go = threading.Event()

    def waits(features: Mapping[str, Any]) -> float:
        let_go.wait(3 * GENEROUS)
        return 0.5

    async def waits_async(features: Mapping[str, Any]) -> float:
        return waits(features)

    router = SyncModelRouter(
        answers, waits if shadow == "sync" else waits_async, hook=hook, shadow_name="s", timeout=3 * GENEROUS
    )
    for _ in range(10):
        router.predict({"a": 0.5})
    until(lambda: router._pool._running)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with router._pool._change:
            held.set()
            done.wait(GENEROUS)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(GENEROUS)

    def child() -> None:
        assert router.stats() == RouterStats()
        let_go.set()
        router.predict({"a": 0.5})
        router.close(timeout=GENEROUS)
        assert router.stats() == RouterStats(taken=1, compared=1)

    try:
        assert in_fork(child) == 0
    finally:
        done.set()
        holder.join()
        let_go.set()
    router.close(timeout=GENEROUS)
    assert router.stats() == RouterStats(taken=10, compared=10)


def test_a_router_closed_before_the_fork_stays_closed(hook: MemoryHook) -> None:
    """The child's requests are answered, and not shadowed, as the parent's would be."""
    router = SyncModelRouter(answers, answers, hook=hook, shadow_name="s")
    router.close()

    def child() -> None:
        router.predict({"a": 0.5})
        assert router.stats() == RouterStats(not_run=1)

    assert in_fork(child) == 0


def test_a_child_of_multiprocessing_loses_nothing(hook: MemoryHook) -> None:
    """Such children leave without running atexit; what their shadow was asked is settled all the same."""
    router = SyncModelRouter(answers, _slowly, hook=hook, shadow_name="s", timeout=GENEROUS)
    router.predict({"a": 0.5})
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_serve, args=(hook, router, theirs))
    with forking():
        child.start()
    assert ours.poll(GENEROUS)
    assert ours.recv() == (4, 0, RouterStats(taken=4, compared=4))
    child.join(GENEROUS)
    assert child.exitcode == 0
    router.close(timeout=GENEROUS)


def _slowly(features: Mapping[str, Any]) -> float:
    time.sleep(0.05)
    return answers(features)


def _serve(hook: MemoryHook, router: SyncModelRouter, told: Connection) -> None:
    def tell() -> None:
        results = hook.stats().results
        told.send((results.delivered, results.dropped, router.stats()))

    Finalize(None, tell, exitpriority=-1)  # after the hook's own, whose priority is higher
    for _ in range(4):
        router.predict({"a": 0.5})


def test_a_process_that_is_terminated_loses_nothing() -> None:
    """A SIGTERM that nobody handles: the last requests are settled, and then the process dies of it."""
    script = (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_DFL)\n"  # whoever measures coverage sets one
    )
    script += SCRIPT.format(shadow="answers", timeout=60, seconds=20)
    script += "atexit.unregister(say)\n"
    script += "from shadowlane.producer import _lifetime\n"
    script += "close_all = _lifetime.close_all\n"
    script += "_lifetime.close_all = lambda: (close_all(), say())\n"
    script += "import os\npid = os.fork()\n"
    script += "if pid == 0:\n    for _ in range(20): router.predict({'a': 1.0})\n"
    script += "    signal.raise_signal(signal.SIGTERM)\n    time.sleep(60)\n"
    script += "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    said = run(script).splitlines()
    assert said[0] == "True 20 20 0"
    assert said[-1] == str(-signal.SIGTERM)
