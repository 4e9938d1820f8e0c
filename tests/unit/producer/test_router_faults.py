"""What a shadow in the service's process may do: hang, raise anything, block its loop. No caller notices."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pyruhvro
import pytest

from shadowlane.producer import Limits, ModelRouter, RouterStats, SyncModelRouter, _lifetime
from shadowlane.producer.testing import MemoryHook

GENEROUS = 20.0
#: Long enough for a shadow that answers at once, whatever else this machine does.
SOON = 0.5


class PanicException(BaseException):
    """What a panic of a native library looks like."""


class Unspeakable(Exception):  # noqa: N818 (its name says what it is)
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise self


RAISED = [
    ValueError("no"),
    KeyError("no"),
    Unspeakable(),
    MemoryError(),
    RecursionError(),
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
    TimeoutError("its own"),
    StopIteration(),
    StopAsyncIteration(),
    PanicException("unwrap on None"),
]


@pytest.fixture
def hook() -> Iterator[MemoryHook]:
    """A hook that keeps what it would send."""
    with MemoryHook(model="ranker") as hook:
        yield hook


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    """What hanging shadows wait for; at the end they go on, and their threads end."""
    let_go = threading.Event()
    yield let_go
    let_go.set()


def until(condition: Callable[[], object]) -> None:
    """Wait, but not for ever, until it is so."""
    end = time.monotonic() + GENEROUS
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    assert condition()


def primary(features: Mapping[str, Any]) -> float:
    """A primary."""
    return float(features["a"])


def errors_of(hook: MemoryHook) -> list[tuple[str, str]]:
    """The stage and type of each error."""
    return [(error.stage, error.error_type) for error in hook.errors]


def hanging(let_go: threading.Event, features: Mapping[str, Any]) -> float:
    """Hangs below 0.5, in C and without the interpreter's lock, as a lost connection would have it."""
    if features["a"] < 0.5:
        let_go.wait(3 * GENEROUS)
    return 0.5


async def hanging_async(let_go: threading.Event, features: Mapping[str, Any]) -> float:
    """Awaits what never comes below 0.5, and shrugs off being cancelled."""
    while features["a"] < 0.5 and not let_go.is_set():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            continue
    return 0.5


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_the_shadow_raises(hook: MemoryHook, error: BaseException) -> None:
    """It is an error of stage `predict` under its own name; the caller has its answer; the next is asked."""

    def raises(features: Mapping[str, Any]) -> float:
        if features["a"] < 0.5:
            raise error
        return 0.5

    with SyncModelRouter(
        primary, raises, hook=hook, shadow_name="s", concurrency=1, timeout=GENEROUS
    ) as router:
        assert [router.predict({"a": a}) for a in (0.1, 0.5, 0.2, 0.5)] == [0.1, 0.5, 0.2, 0.5]
        router.close(timeout=GENEROUS)
        assert router.stats() == RouterStats(taken=4, compared=2, errors={"predict": 2})
    assert errors_of(hook) == [("predict", type(error).__name__)] * 2


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("awaits", [False, True], ids=["at once", "later"])
def test_whatever_an_async_shadow_raises(hook: MemoryHook, error: BaseException, awaits: bool) -> None:
    """The same in a loop, which SystemExit and KeyboardInterrupt would end."""

    async def raises(features: Mapping[str, Any]) -> float:
        if awaits:
            await asyncio.sleep(0)
        if features["a"] < 0.5:
            raise error
        return 0.5

    # A coroutine cannot raise this one; Python makes it a RuntimeError.
    name = "RuntimeError" if isinstance(error, StopIteration) else type(error).__name__

    async def serve() -> None:
        async with ModelRouter(primary, raises, hook=hook, shadow_name="s", timeout=GENEROUS) as router:
            assert [await router.predict({"a": a}) for a in (0.1, 0.5, 0.2, 0.5)] == [0.1, 0.5, 0.2, 0.5]
            await router.aclose(timeout=GENEROUS)
            assert router.stats() == RouterStats(taken=4, compared=2, errors={"predict": 2})

    asyncio.run(serve())
    assert errors_of(hook) == [("predict", name)] * 2


def test_a_real_panic_of_native_code(hook: MemoryHook) -> None:
    """A library written in Rust gives up; Python's `except Exception` would not see it."""
    schema = '{"type": "record", "name": "r", "fields": [{"name": "b", "type": "bytes"}]}'

    def panics(_features: Any) -> Any:
        return pyruhvro.deserialize_array([b"\x02x"], schema)

    # A panic prints its stack first, which takes a busy machine seconds.
    with SyncModelRouter(primary, panics, hook=hook, shadow_name="s", timeout=GENEROUS) as router:
        assert router.predict({"a": 0.1}) == 0.1
        router.close(timeout=GENEROUS)
    assert errors_of(hook) == [("predict", "PanicException")]


@pytest.mark.parametrize("shadow", [hanging, hanging_async])
def test_a_shadow_that_hangs_is_out_of_time(
    hook: MemoryHook, let_go: threading.Event, shadow: Callable[..., Any]
) -> None:
    """Its error comes when its time is over; what it says later is ignored, and its slot is free again."""
    router = _sync(hook, shadow, let_go, concurrency=2, timeout=SOON)
    router.predict({"a": 0.1})
    until(lambda: router.stats().errors == {"timeout": 1})
    assert router.stats().hung == 1
    assert errors_of(hook) == [("timeout", "ShadowTimeout")]
    router.predict({"a": 0.7})  # the other slot
    until(lambda: router.stats().compared == 1)
    let_go.set()
    until(lambda: router.stats().hung == 0)
    assert router.stats() == RouterStats(taken=2, compared=1, errors={"timeout": 1})
    assert len(hook.comparisons) + len(hook.errors) == 2
    router.close()


@pytest.mark.parametrize("shadow", [hanging, hanging_async])
def test_a_shadow_that_hangs_everywhere_is_busy(
    hook: MemoryHook,
    let_go: threading.Event,
    shadow: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What waits and what comes then finds no room, and the log says so once; and once when it is over."""
    router = _sync(hook, shadow, let_go, concurrency=2, timeout=SOON)
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            assert router.predict({"a": 0.1}) == 0.1
        until(lambda: router.stats().errors == {"timeout": 2, "predict": 8})
        assert router.predict({"a": 0.7}) == 0.7
        until(lambda: router.stats().busy == 9)
        assert router.stats().hung == 2
        until(lambda: len(caplog.messages) == 1)
        assert "hangs in 2 of its 2 slots" in caplog.messages[0]
        let_go.set()
        until(lambda: router.stats().hung == 0)
        router.predict({"a": 0.7})
        until(lambda: router.stats().compared == 1)
        until(lambda: len(caplog.messages) == 2)
        assert "9 requests missed it so far" in caplog.messages[1]
    assert errors_of(hook).count(("predict", "ShadowBusy")) == 9
    assert len(hook.requests) == len(hook.comparisons) + len(hook.errors) == 12
    router.close()


def test_a_full_queue_is_busy(hook: MemoryHook, let_go: threading.Event) -> None:
    """So many wait; one more is an error at once, and the caller has its answer."""
    router = _sync(hook, hanging, let_go, concurrency=1, queue_size=3, timeout=3 * GENEROUS)
    router.predict({"a": 0.1})
    until(lambda: router._pool._running)
    for _ in range(5):
        router.predict({"a": 0.1})
    until(lambda: router.stats().busy == 2)
    assert router.stats().waiting == 4
    let_go.set()
    router.close(timeout=GENEROUS)
    assert router.stats() == RouterStats(taken=6, compared=4, errors={"predict": 2}, busy=2)
    assert errors_of(hook) == [("predict", "ShadowBusy")] * 2


def test_a_queue_full_of_bytes_is_busy(let_go: threading.Event) -> None:
    """Requests that wait for a shadow take no more memory than those that wait for the hook may."""
    with MemoryHook(model="ranker", limits=Limits(queue_bytes=1024 * 1024)) as hook:
        router = _sync(hook, hanging, let_go, concurrency=1, timeout=3 * GENEROUS)
        for _ in range(200):
            router.predict({"a": 0.1, "text": "x" * 50_000})
        until(lambda: router.stats().waiting <= 22)
        let_go.set()
        router.close(timeout=float("inf"))
        stats = router.stats()
        assert (stats.waiting, stats.busy > 0) == (0, True)
        assert stats.taken == stats.compared + stats.busy + stats.lost


def test_an_async_shadow_that_blocks_stops_no_service(hook: MemoryHook, let_go: threading.Event) -> None:
    """Its loop is its own: the service's goes on, and the clock of the shadow's requests, too."""

    async def blocks(_features: Any) -> float:
        let_go.wait(3 * GENEROUS)
        return 0.5

    async def serve() -> None:
        router = ModelRouter(primary, blocks, hook=hook, shadow_name="s", concurrency=3, timeout=SOON)
        assert [await router.predict({"a": n / 10}) for n in range(5)] == [n / 10 for n in range(5)]
        while router.stats().waiting:  # noqa: ASYNC110 (it is counts that are waited for)
            await asyncio.sleep(0.01)
        assert router.stats() == RouterStats(taken=5, errors={"timeout": 3, "predict": 2}, busy=2, hung=3)

    asyncio.run(serve())
    let_go.set()


def test_an_async_shadow_out_of_time_is_cancelled(hook: MemoryHook) -> None:
    """It can clean up, and its slot is free at once; a timeout of its own is an exception as any other."""
    cleaned = threading.Event()

    async def waits(features: Mapping[str, Any]) -> float:
        if features["a"] < 0.5:
            raise TimeoutError("its own")
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()
        return 0.5

    with SyncModelRouter(primary, waits, hook=hook, shadow_name="s", timeout=SOON) as router:
        router.predict({"a": 0.1})
        router.predict({"a": 0.7})
        assert cleaned.wait(GENEROUS)
        until(lambda: router.stats() == RouterStats(taken=2, errors={"timeout": 1, "predict": 1}))
    assert sorted(errors_of(hook)) == [("predict", "TimeoutError"), ("timeout", "ShadowTimeout")]


def test_what_an_async_shadow_leaves_behind(hook: MemoryHook, caplog: pytest.LogCaptureFixture) -> None:
    """A task of its own that exits, or fails unseen: the loop goes on, and the log holds no value."""

    async def exits() -> None:
        raise SystemExit(3)

    async def fails() -> None:
        raise ValueError("canary-5f1c")

    async def leaves(features: Mapping[str, Any]) -> float:
        stray = asyncio.get_running_loop().create_task(exits() if features["a"] < 0.5 else fails())
        await asyncio.sleep(0.01)
        del stray
        return 0.5

    with SyncModelRouter(primary, leaves, hook=hook, shadow_name="s", timeout=GENEROUS) as router:
        for _ in range(3):
            router.predict({"a": 0.1})
            router.predict({"a": 0.7})
        router.close(timeout=GENEROUS)
        assert router.stats() == RouterStats(taken=6, compared=6)
    assert "goes on after SystemExit" in caplog.text
    until(lambda: gc.collect() >= 0 and "left behind ValueError" in caplog.text)
    assert "canary" not in caplog.text


def test_threads_of_an_async_shadow_are_daemons(hook: MemoryHook) -> None:
    """What it hands to `to_thread`, or a look-up of a name that hangs, holds up no exit."""

    def inside(value: float) -> tuple[float, bool]:
        return value, threading.current_thread().daemon

    async def elsewhere(features: Mapping[str, Any]) -> float:
        value, is_daemon = await asyncio.to_thread(inside, features["a"])
        assert is_daemon
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        return value

    with SyncModelRouter(primary, elsewhere, hook=hook, shadow_name="s", timeout=GENEROUS) as router:
        router.predict({"a": 0.1})
        router.close(timeout=GENEROUS)
        assert router.stats() == RouterStats(taken=1, compared=1)


@pytest.mark.parametrize("shadow", [hanging, hanging_async])
def test_close_settles_what_is_not_finished(
    hook: MemoryHook, let_go: threading.Event, shadow: Callable[..., Any]
) -> None:
    """What runs and what waits becomes an error of stage `timeout`; the hook sends it."""
    router = _sync(hook, shadow, let_go, concurrency=2, timeout=3 * GENEROUS)
    for _ in range(5):
        router.predict({"a": 0.1})
    router.close(timeout=0.1)
    assert errors_of(hook) == [("timeout", "RouterClosed")] * 5
    let_go.set()
    until(lambda: router.stats() == RouterStats(taken=5, errors={"timeout": 5}))


@pytest.mark.parametrize("shadow", [hanging, hanging_async])
def test_what_a_thread_takes_as_the_router_closes(
    hook: MemoryHook, let_go: threading.Event, shadow: Callable[..., Any]
) -> None:
    """Neither waiting any more nor running yet when all was settled: it is settled then, not asked."""
    router = _sync(hook, shadow, let_go, timeout=3 * GENEROUS)
    with router._pool._change:
        router.predict({"a": 0.7})
        until(lambda: not router._pool._waiting.qsize())
        router._pool._over = True
    until(lambda: router.stats() == RouterStats(taken=1, errors={"timeout": 1}))
    router.close(timeout=GENEROUS)
    assert errors_of(hook) == [("timeout", "RouterClosed")]


def test_far_too_many_at_once(
    hook: MemoryHook, let_go: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of requests that find no room, so many wait for their errors; the rest is only counted."""
    monkeypatch.setattr("shadowlane.producer._shadow_pool._MOST_REFUSED", 5)
    router = _sync(hook, hanging, let_go, queue_size=1, concurrency=1, timeout=3 * GENEROUS)
    with router._pool._change:  # so that nobody takes any away
        for _ in range(10):
            router.predict({"a": 0.7})
        assert router.stats().lost >= 3
        assert router.stats().waiting + router.stats().lost == 10
    router.close(timeout=GENEROUS)
    stats = router.stats()
    assert stats.taken == stats.compared + stats.busy + stats.lost == 10


def test_close_waits_for_what_can_be_finished(hook: MemoryHook, let_go: threading.Event) -> None:
    """Within its time, whatever is still in the queue."""
    router = _sync(hook, hanging, let_go, concurrency=1, timeout=3 * GENEROUS)
    for _ in range(20):
        router.predict({"a": 0.1})
    threading.Timer(0.1, let_go.set).start()
    router.close(timeout=GENEROUS)
    assert router.stats() == RouterStats(taken=20, compared=20)


def test_many_threads_and_each_request_once(hook: MemoryHook) -> None:
    """Fast and slow, good and bad, with too little room: each that was taken is one row, none is two."""

    def mixed(features: Mapping[str, Any]) -> float:
        kind = features["n"] % 4
        if kind == 0:
            raise ValueError
        if kind == 1:
            threading.Event().wait(0.002)
        return 0.5

    router = SyncModelRouter(
        primary, mixed, hook=hook, shadow_name="s", concurrency=3, queue_size=20, timeout=0.001
    )

    def call(first: int) -> None:
        for n in range(first, first + 500):
            assert router.predict({"a": 0.5, "n": n}, request_id=str(n)) == 0.5

    threads = [threading.Thread(target=call, args=(500 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GENEROUS)
    router.close(timeout=GENEROUS)
    stats = router.stats()
    assert stats.taken == stats.compared + sum(stats.errors.values()) == 2000
    rows = [*(each.request_id for each in hook.comparisons), *(str(each.request_id) for each in hook.errors)]
    assert sorted(rows, key=int) == [str(n) for n in range(2000)]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="POSIX timers")
def test_a_signal_handler_may_predict_too(hook: MemoryHook) -> None:
    """Also one that comes while its thread is in the middle of a request."""
    router = SyncModelRouter(primary, lambda f: float(f["a"]), hook=hook, shadow_name="s", queue_size=100_000)
    calls = list[float]()
    before = signal.signal(signal.SIGALRM, lambda *_: calls.append(router.predict({"a": 0.7})))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        while len(calls) < 50:
            router.predict({"a": 0.5})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    router.close(timeout=GENEROUS)
    assert router.stats().compared == router.stats().taken == hook.stats().observed


def test_no_more_threads_to_be_had(hook: MemoryHook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are answered and published; as soon as there are threads, they are shadowed, too."""

    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    hook.publish(features={"a": 0.5}, prediction=0.5)  # its own thread runs
    router = SyncModelRouter(primary, primary, hook=hook, shadow_name="s")
    with monkeypatch.context() as patch:
        patch.setattr("shadowlane.producer._shadow_pool.Thread.start", no_thread)
        assert router.predict({"a": 0.5}) == 0.5
    assert router.stats() == RouterStats(not_run=1)
    router.predict({"a": 0.5})
    router.close(timeout=GENEROUS)
    assert router.stats() == RouterStats(taken=1, compared=1, not_run=1)
    assert len(hook.requests) == 3


def test_no_event_loop_to_be_had(
    hook: MemoryHook,
    let_go: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No file descriptors are left: callers have their answers, the log says it, and requests are errors."""

    def no_loop() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(asyncio, "Runner", no_loop)
    router = _sync(hook, hanging_async, let_go, queue_size=2)
    for _ in range(3):
        assert router.predict({"a": 0.7}) == 0.7
    until(lambda: router.stats().busy == 1 and "ended with OSError" in caplog.text)
    router.close(timeout=0)
    assert sorted(errors_of(hook)) == [("predict", "ShadowBusy"), *[("timeout", "RouterClosed")] * 2]


@pytest.mark.parametrize("shadow", ["sync", "async"])
def test_a_router_that_nobody_holds_ends_by_itself(shadow: str) -> None:
    """It finishes what it took, and its threads end."""

    async def primary_async(features: Mapping[str, Any]) -> float:
        return primary(features)

    before = set(threading.enumerate())
    hook = MemoryHook(model="ranker")
    router = SyncModelRouter(
        primary, primary if shadow == "sync" else primary_async, hook=hook, shadow_name="s", timeout=GENEROUS
    )
    for _ in range(20):
        router.predict({"a": 0.5})
    pool = weakref.ref(router._pool)
    assert len(set(threading.enumerate()) - before) > 1
    del router
    until(lambda: gc.collect() >= 0 and pool() is None)
    assert len(hook.comparisons) == 20
    hook.close()
    until(lambda: not set(threading.enumerate()) - before)
    assert not [each for each in _lifetime._running if type(each).__name__ != "Courier"]


def test_a_shadow_error_from_deep_recursion(hook: MemoryHook) -> None:
    """Where the interpreter's stack is at its end, the error is told all the same."""

    def deep(features: Mapping[str, Any]) -> float:
        return deep(features)

    with SyncModelRouter(primary, deep, hook=hook, shadow_name="s", timeout=GENEROUS) as router:
        router.predict({"a": 0.1})
        router.close(timeout=GENEROUS)
    assert errors_of(hook) == [("predict", "RecursionError")]
    assert sys.getrecursionlimit() > 100


def _sync(
    hook: MemoryHook, shadow: Callable[..., Any], let_go: threading.Event, **given: Any
) -> SyncModelRouter:
    return SyncModelRouter(primary, partial(shadow, let_go), hook=hook, shadow_name="s", **given)
