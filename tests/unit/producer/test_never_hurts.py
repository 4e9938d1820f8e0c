"""The promise: the hook never raises into its caller, blocks it or grows it."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from shadowlane.errors import SettingsError
from shadowlane.kafka import KafkaSettings, Tls
from shadowlane.producer import Hook, Limits
from shadowlane.producer._courier import Courier
from shadowlane.producer._log import DropWatch, Log
from shadowlane.producer._outbox import CONFIG, KafkaOutbox

from .conftest import MOCK, UNREACHABLE, Taken, run

#: Far more than anything here should take, and far less than a hang.
GENEROUS = 20.0


#: A service that goes on without a broker, and says by how many KiB it has grown at most.
LARGE_REQUESTS = """
from pathlib import Path
from shadowlane.kafka import KafkaSettings
from shadowlane.producer import Hook, Limits
kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1")
def most():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
hook = Hook(model="ranker", kafka=kafka, limits=Limits(exit_seconds=0))
hook.publish(features={"vector": [0.5]}, prediction=0.5)
before = most()
for number in range(4000):
    hook.publish(features={"vector": [number + i / 7 for i in range(4000)]}, prediction=0.5)
print(most() - before)
assert hook.stats().dropped["queue_full"] > 1000
"""


def publish(hook: Hook, requests: int = 1, **given: Any) -> None:
    """Publish so many requests."""
    arguments: dict[str, Any] = {"features": {"a": 1.0}, "prediction": 0.5, **given}
    for _ in range(requests):
        hook.publish(**arguments)


def adds_up(hook: Hook) -> bool:
    """Whether a closed hook can say what became of each request."""
    stats = hook.stats()
    return stats.queued == 0 and stats.published == stats.delivered + stats.failed


def test_all_is_delivered(delivering: Hook) -> None:
    """After a flush each request was answered for; after close, nothing is left."""
    publish(delivering, 500)
    assert delivering.flush(timeout=GENEROUS)
    assert delivering.stats().delivered == 500
    publish(delivering, 10)
    delivering.close(timeout=GENEROUS)
    assert delivering.stats().delivered == 510
    assert adds_up(delivering)


def test_a_full_queue_drops_and_counts(still: None) -> None:
    """One request more than the queue holds is dropped, and the queue grows no more."""
    hook = Hook(model="ranker", limits=Limits(queue_size=5))
    publish(hook, 8)
    stats = hook.stats()
    assert (stats.queued, stats.dropped) == (5, {"queue_full": 3})


def test_a_queue_full_of_bytes_drops_and_counts(still: None, taken: Taken) -> None:
    """Few but large requests fill it, too; where some are taken out, there is room again."""
    hook = Hook(model="ranker", limits=Limits(queue_bytes=1_000_000))
    publish(hook, 20, features={"vector": [0.5] * 4000})  # 128 kB each
    hook._courier.intake.weigh(all_of_it=True)
    assert (hook.stats().queued, hook.stats().dropped) == (7, {"queue_full": 13})
    publish(hook, 10)  # small ones still find room
    assert hook.stats().queued == 17
    assert len(taken(hook)) == 17
    publish(hook, 20, features={"vector": [0.5] * 4000})
    hook._courier.intake.weigh(all_of_it=True)
    assert len(taken(hook)) == 7


@pytest.mark.parametrize(
    "large",
    [
        {"features": {"text": "x" * 100_000}},
        {"features": {"a": {"b": {"c": "x" * 100_000}}}},
        {"features": {}, "prediction": [0.5] * 4000},
        {"features": {}, "segments": {"country": "x" * 100_000}},
        {"features": {}, "context": {"trace": "x" * 100_000}},
        {"features": {}, "entity_id": "x" * 100_000},
        {"features": {}, "request_id": "x" * 100_000},
    ],
    ids=["text", "nested", "prediction", "segments", "context", "entity_id", "request_id"],
)
def test_wherever_the_bytes_are_they_count(still: None, large: dict[str, Any]) -> None:
    """No argument of `publish` gets past the budget."""
    hook = Hook(model="ranker", limits=Limits(queue_bytes=250_000))
    publish(hook, 5, **large)
    hook._courier.intake.weigh(all_of_it=True)
    assert hook.stats().dropped["queue_full"] >= 3


class PanicException(BaseException):
    """What a panic of a native library looks like."""


class NoSize:
    """An object that cannot say what it takes."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __sizeof__(self) -> int:
        raise self.error


@pytest.mark.parametrize(
    "odd",
    [MagicMock(), NoSize(ValueError("own")), NoSize(PanicException())],
    ids=["a mock", "no size", "a panic"],
)
def test_what_cannot_be_weighed_is_counted_once(odd: object) -> None:
    """Each request with an object that has no form and no size is dropped once, and none waits for ever."""
    hook = Hook(model="ranker", kafka=UNREACHABLE, limits=Limits(exit_seconds=0.2))
    publish(hook, 500, features={"odd": odd})
    hook.close()
    stats = hook.stats()
    assert (stats.observed, stats.queued) == (500, 0)
    assert sum(stats.dropped.values()) == 500


def test_what_observe_waits_for_counts_with_its_prediction(still: None) -> None:
    """The features' bytes and the answer's are one request's."""
    hook = Hook(model="ranker", limits=Limits(queue_bytes=300_000))
    for _ in range(3):
        with hook.observe({"vector": [0.5] * 4000}) as call:
            call.prediction = [0.5] * 4000
    hook._courier.intake.weigh(all_of_it=True)
    assert (hook.stats().queued, hook.stats().dropped) == (1, {"queue_full": 2})


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_requests_without_a_broker_do_not_fill_the_memory() -> None:
    """4,000 requests of 4,000 floats: the process grows by its two budgets and little more, not by 500 MB."""
    grown_kib = int(run(LARGE_REQUESTS))
    budgets_kib = Limits().queue_bytes // 1024 + int(str(CONFIG["queue.buffering.max.kbytes"]))
    assert grown_kib < 1.5 * budgets_kib


def test_no_broker_from_the_start() -> None:
    """Publish returns, nothing raises, close keeps to its time, and each request is accounted for."""
    hook = Hook(model="ranker", kafka=UNREACHABLE)
    publish(hook, 200)
    assert not hook.flush(timeout=0.2)
    started = time.monotonic()
    hook.close(timeout=0.5)
    assert time.monotonic() - started < GENEROUS
    stats = hook.stats()
    assert (stats.observed, stats.delivered, stats.failed) == (200, 0, 200)
    assert adds_up(hook)


def test_a_full_librdkafka_drops_in_our_queue() -> None:
    """Where librdkafka takes no more, requests wait, then are dropped; close gives up on what waits."""
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1", client={"queue.buffering.max.messages": "10"})
    hook = Hook(model="ranker", kafka=kafka, limits=Limits(queue_size=20))
    publish(hook, 100)
    hook.close(timeout=0.5)
    stats = hook.stats()
    assert 0 < stats.published == stats.failed <= 10
    assert stats.dropped.keys() == {"queue_full", "closed"}
    assert adds_up(hook)


def test_a_request_that_is_too_large() -> None:
    """It is counted under that name, and the next one goes on."""
    with Hook(model="ranker", kafka=MOCK) as hook:
        publish(hook, features={"text": "x" * 5_000_000})
        publish(hook)
        hook.close(timeout=GENEROUS)
    assert (hook.stats().dropped, hook.stats().delivered) == ({"too_large": 1}, 1)


def test_close_with_no_time_at_all() -> None:
    """Nothing waits, nothing raises, all is accounted for once the thread is gone."""
    hook = Hook(model="ranker", kafka=MOCK)
    publish(hook, 50)
    hook.close(timeout=0)
    assert until(lambda: adds_up(hook))
    assert hook.stats().observed == 50


def test_close_before_the_background_thread_begins(still: None) -> None:
    """A script that ends at once is no exception: what it published is delivered."""
    hook = Hook(model="ranker", kafka=MOCK)
    publish(hook, 3)
    hook._courier.begin_close(GENEROUS)
    hook._courier._run()
    assert hook.stats().delivered == 3


def test_a_wait_without_end(delivering: Hook) -> None:
    """Whoever gives all the time that there is gets his answer as soon as there is one."""
    publish(delivering, 3)
    assert delivering.flush(timeout=float("inf"))
    delivering.close(timeout=float("inf"))
    assert delivering.stats().delivered == 3


def test_publish_after_close(delivering: Hook) -> None:
    """It is counted, and no more; closing again is nothing new."""
    delivering.close()
    publish(delivering)
    with delivering.observe({}) as call:
        call.prediction = 1.0
    delivering.close()
    assert delivering.flush()
    assert delivering.stats().dropped == {"closed": 2}


def test_many_threads(delivering: Hook) -> None:
    """Threads share a hook: no request is lost or counted twice."""
    threads = [threading.Thread(target=publish, args=(delivering, 500)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert delivering.flush(timeout=GENEROUS)
    stats = delivering.stats()
    assert (stats.observed, stats.delivered) == (4000, 4000)


def test_where_the_callers_stack_ends_nothing_is_counted_twice() -> None:
    """A caller with no frame to spare may get Python's own RecursionError; no request waits for ever."""
    hook = Hook(model="ranker", kafka=UNREACHABLE, limits=Limits(exit_seconds=0.2))
    publish(hook)

    def at_the_end(frames: int) -> None:
        if frames:
            at_the_end(frames - 1)
        else:
            publish(hook)

    limit = sys.getrecursionlimit()
    for frames in range(limit - 120, limit):
        with suppress(RecursionError):
            at_the_end(frames)
    hook.close()
    assert hook.stats().observed > 1
    assert hook.stats().queued == 0


def test_a_signal_handler_may_publish(hook: Hook) -> None:
    """Also one that interrupts publish where it holds the lock: it does not wait for itself."""
    previous = signal.signal(signal.SIGUSR1, lambda *_: publish(hook))
    try:
        with hook._courier.counts.lock:
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert hook.stats().observed == 1


def no_thread(_thread: threading.Thread) -> None:
    """What `Thread.start` does in a process that may have no more threads."""
    raise RuntimeError("can't start new thread")


def test_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that can start no thread serves on; at the end its requests are counted as dropped."""
    hook = Hook(model="ranker", kafka=UNREACHABLE)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        publish(hook, 3)
    assert hook.stats().queued == 3
    assert not hook.flush(timeout=0)
    hook.close()
    assert hook.stats().dropped == {"closed": 3}


def test_no_more_threads_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A hook that got no thread at its first request gets one later, and says so."""
    monkeypatch.setattr("shadowlane.producer._courier._NO_THREAD", 0.0)
    with Hook(model="ranker", kafka=MOCK) as hook:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            publish(hook, 3)
        publish(hook)
        assert hook.flush(timeout=GENEROUS)
        assert hook.stats().delivered == 4
    assert "the hook had no thread for a while" in caplog.text


@pytest.mark.parametrize("failure", [MemoryError, RecursionError, KeyboardInterrupt])
def test_a_start_that_is_interrupted(
    failure: type[BaseException], monkeypatch: pytest.MonkeyPatch, delivering: Hook
) -> None:
    """An exception out of the thread's start ends no hook; of two threads one alone goes on."""
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise failure

    monkeypatch.setattr("shadowlane.producer._courier._NO_THREAD", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with suppress(KeyboardInterrupt):
            delivering.publish(features={}, prediction=0.5)
    publish(delivering, 5)
    assert delivering.flush(timeout=GENEROUS)
    delivering.close(timeout=GENEROUS)
    assert delivering.stats().delivered == 6
    assert adds_up(delivering)


def test_a_background_thread_that_panics(delivering: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are still taken and counted; the log says what happened."""

    def panic(*_args: object) -> None:
        raise SystemExit("from a native library")

    monkeypatch.setattr(Courier, "_serve", panic)
    publish(delivering)
    assert until(lambda: sum(delivering.stats().dropped.values()) == 1)
    publish(delivering)
    assert delivering.stats().dropped == {"closed": 2}


def test_an_error_in_the_background_thread_is_survived(
    delivering: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong once is said, and the next requests are delivered."""
    first = iter([True])

    def keep_books(courier: Courier, outbox: Any) -> None:
        if next(first, False):
            raise ValueError("no books")
        original(courier, outbox)

    original = Courier._keep_books
    monkeypatch.setattr(Courier, "_keep_books", keep_books)
    publish(delivering, 5)
    assert delivering.flush(timeout=GENEROUS)
    assert delivering.stats().delivered == 5
    assert "the hook goes on after ValueError" in caplog.text


@pytest.mark.parametrize("error", [ValueError("no"), PanicException("no"), SystemExit("no")])
@pytest.mark.parametrize("step", ["_send_slice", "_keep_books", "_say_what_was_dropped", "_send_ledger"])
def test_whatever_a_step_raises_the_background_thread_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step: str, error: BaseException
) -> None:
    """Be it the very first: it is said, and the requests are delivered."""
    failing_once(monkeypatch, Courier, step, error)
    with Hook(model="ranker", kafka=MOCK) as hook:
        publish(hook, 5)
        assert hook.flush(timeout=GENEROUS)
        assert hook.stats().delivered == 5
        publish(hook, 5)
        hook.close(timeout=GENEROUS)
    assert hook.stats().delivered == 10
    assert f"the hook goes on after {type(error).__name__} in " in caplog.text


@pytest.mark.parametrize("step", ["_send_slice", "_say_what_was_dropped", "_send_ledger"])
def test_whatever_a_step_raises_at_the_end_each_request_is_accounted_for(
    monkeypatch: pytest.MonkeyPatch, still: None, step: str
) -> None:
    """Closing goes on, too: what waits is delivered or given up, and counted."""
    failing_once(monkeypatch, Courier, step, PanicException("no"))
    hook = Hook(model="ranker", kafka=MOCK)
    publish(hook, 5)
    hook._courier.begin_close(GENEROUS)
    hook._courier._run()
    assert hook.stats().delivered + hook.stats().dropped.get("closed", 0) == 5
    assert adds_up(hook)


def test_a_request_that_librdkafka_chokes_on_is_counted(
    delivering: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It was taken from the queue and is in no other: it must not be counted as waiting for ever."""
    failing_once(monkeypatch, KafkaOutbox, "_send", TypeError("no"))
    publish(delivering, 5)
    delivering.close(timeout=GENEROUS)
    assert (delivering.stats().dropped, delivering.stats().delivered) == ({"refused": 1}, 4)
    assert adds_up(delivering)
    assert "a request was not published: TypeError in " in caplog.text


def test_a_log_handler_that_raises_ends_nothing(delivering: Hook) -> None:
    """What the hook has to say meets a handler of the service's that raises: the thread goes on."""

    class Broken(logging.Handler):
        def emit(self, _record: logging.LogRecord) -> None:
            raise OSError("no space left")

    logger, handler = logging.getLogger("shadowlane.producer"), Broken()
    logger.addHandler(handler)
    try:
        publish(delivering, features={"a": object()})
        publish(delivering)
        assert delivering.flush(timeout=GENEROUS)
    finally:
        logger.removeHandler(handler)
    assert (delivering.stats().dropped, delivering.stats().delivered) == ({"not_encodable": 1}, 1)


def test_a_client_whose_making_panics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the first try raises, there is a second."""
    monkeypatch.setattr("shadowlane.producer._courier._NO_PRODUCER", 0.01)
    failing_once(monkeypatch, KafkaOutbox, "__init__", PanicException("no"))
    with Hook(model="ranker", kafka=MOCK) as hook:
        publish(hook, 3)
        assert hook.flush(timeout=GENEROUS)
        assert hook.stats().delivered == 3


def test_a_client_that_cannot_be_made_yet(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A certificate that is not there when the thread starts: it says so, and tries again."""
    monkeypatch.setattr("shadowlane.producer._courier._NO_PRODUCER", 0.01)
    hook = Hook(model="ranker", kafka=UNREACHABLE)
    hook._courier._plan = replace(hook._plan, settings=KafkaSettings(tls=Tls(ca_location="nowhere.pem")))
    publish(hook, 3)
    assert until(lambda: "nowhere.pem does not exist" in caplog.text)
    hook._courier._plan = replace(hook._plan, settings=MOCK)
    assert hook.flush(timeout=GENEROUS)
    assert hook.stats().delivered == 3
    hook.close()


def test_a_hook_nobody_holds_any_more_ends() -> None:
    """Its thread delivers what waits and goes; a service that makes hooks again and again does not grow."""
    hook = Hook(model="ranker", kafka=MOCK)
    publish(hook)
    courier = hook._courier
    assert until(lambda: courier.outbox is not None)
    del hook
    gc.collect()
    assert courier._thread is not None
    courier._thread.join(GENEROUS)
    assert not courier._thread.is_alive()
    assert courier.counts.delivered == 1


def test_a_hook_that_served_nothing_started_nothing() -> None:
    """No thread and no connection before the first request: a master that only forks has neither."""
    before = tasks()
    with Hook(model="ranker", kafka=UNREACHABLE) as hook:
        assert not tasks() - before
        publish(hook)
        assert until(lambda: hook._courier.outbox is not None)
        assert len(tasks() - before) >= 2  # the look itself: ours, and librdkafka's own
        hook.close(timeout=0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"model": "a/b"}, "model name 'a/b'"),
        ({"model": ""}, "model name ''"),
        ({"model": None}, "model None"),
        ({"model_version": 7}, "model_version 7"),
        ({"bootstrap_servers": "not an address"}, "bootstrap_servers"),
        ({"kafka": KafkaSettings(client={"acks": "perhaps"})}, "acks"),
        ({"kafka": KafkaSettings(client={"no.such": "1"})}, "no.such"),
        ({"kafka": KafkaSettings(tls=Tls(ca_location="nowhere.pem"))}, "nowhere.pem"),
    ],
)
def test_wrong_settings_are_said_at_once(wrong: dict[str, Any], said: str) -> None:
    """They are the programmer's: the constructor raises, and names the setting."""
    with pytest.raises(SettingsError, match=said):
        Hook(**({"model": "ranker"} | wrong))


@pytest.mark.parametrize(
    "wrong",
    [{"queue_size": 0}, {"queue_size": "10"}, {"queue_bytes": 0}, {"queue_bytes": "64 MB"},
     {"exit_seconds": -1}, {"exit_seconds": float("nan")},
     {"ledger_seconds": 0}, {"ledger_seconds": float("inf")}],
)  # fmt: skip
def test_wrong_limits_are_said_at_once(wrong: dict[str, Any]) -> None:
    """The sentence names the limit."""
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Limits(**wrong)


def test_the_brokers_may_be_given_apart() -> None:
    """`bootstrap_servers` is stronger than those of `kafka`; the other settings stay."""
    kafka = KafkaSettings(bootstrap_servers="one:1", topic_prefix="p-")
    hook = Hook(model="ranker", kafka=kafka, bootstrap_servers="two:2")
    settings = hook._plan.settings
    assert (settings.bootstrap_servers, settings.topic_prefix) == ("two:2", "p-")


def test_a_full_queue_is_said_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    """One line each, however long it lasts and however often one looks."""
    watch = DropWatch(queue_size=10, queue_bytes=64 * 2**20)
    for second, dropped in enumerate([0, 5, 5.1, 90, 200, 200, 200, 200]):
        watch.look(int(dropped), now=float(second + 1))
        watch.look(int(dropped) + 1000, now=second + 1.5)  # within the same second: not looked at
    full = "the hook's queue of 10 requests or 64 MiB is full: it drops requests"
    assert [record.message for record in caplog.records] == [
        full,
        "the hook's queue has room again; 5 requests were dropped so far",
        full,
        "the hook's queue has room again; 200 requests were dropped so far",
    ]


def test_the_log_does_not_flood(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand different warnings are not a thousand lines."""
    log = Log()
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            log.once(f"warning {number}")
    assert len(caplog.records) == 51


def tasks() -> set[str]:
    """This process's threads: native ones, too, where the system tells them."""
    if sys.platform == "linux":
        return {task.name for task in Path("/proc/self/task").iterdir()}
    return {str(thread.native_id) for thread in threading.enumerate()}


def failing_once(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, error: BaseException) -> None:
    """Have a method's first call raise, and each later one do as ever."""
    original, first = getattr(owner, method), iter([True])

    def failing(*args: Any, **kwargs: Any) -> Any:
        if next(first, False):
            raise error
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, method, failing)


def until(condition: Any) -> bool:
    """Wait for a condition, for as long as is generous."""
    end = time.monotonic() + GENEROUS
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(condition())
