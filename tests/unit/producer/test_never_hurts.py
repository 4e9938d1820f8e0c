"""The promise: the hook never raises into its caller, blocks it or grows it."""

from __future__ import annotations

import gc
import logging
import signal
import threading
import time
from typing import Any

import pytest

from shadowlane.errors import SettingsError
from shadowlane.kafka import KafkaSettings, Tls
from shadowlane.producer import Hook, Limits
from shadowlane.producer._courier import Courier
from shadowlane.producer._log import DropWatch, Log

from .conftest import MOCK, UNREACHABLE

#: Far more than anything here should take, and far less than a hang.
GENEROUS = 20.0


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


def test_a_signal_handler_may_publish(hook: Hook) -> None:
    """Also one that interrupts publish where it holds the lock: it does not wait for itself."""
    previous = signal.signal(signal.SIGUSR1, lambda *_: publish(hook))
    try:
        with hook._courier.counts.lock:
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert hook.stats().observed == 1


def test_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that can start no thread serves on; its requests are counted as dropped."""

    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    hook = Hook(model="ranker", kafka=UNREACHABLE)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        publish(hook, 3)
    assert hook.stats().dropped == {"closed": 3}
    hook.close()


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
    assert "the hook goes on after ValueError: no books" in caplog.text


def test_a_client_that_cannot_be_made_yet(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A certificate that is not there when the thread starts: it says so, and tries again."""
    monkeypatch.setattr("shadowlane.producer._courier._NO_PRODUCER", 0.01)
    hook = Hook(model="ranker", kafka=UNREACHABLE)
    hook._courier._settings = KafkaSettings(tls=Tls(ca_location="nowhere.pem"))
    publish(hook, 3)
    assert until(lambda: "nowhere.pem does not exist" in caplog.text)
    hook._courier._settings = MOCK
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
    before = threading.active_count()
    with Hook(model="ranker", kafka=UNREACHABLE):
        assert threading.active_count() == before


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
    [{"queue_size": 0}, {"queue_size": "10"}, {"exit_seconds": -1}, {"exit_seconds": float("nan")},
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
    settings = hook._courier._settings
    assert (settings.bootstrap_servers, settings.topic_prefix) == ("two:2", "p-")


def test_a_full_queue_is_said_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    """One line each, however long it lasts and however often one looks."""
    watch = DropWatch(queue_size=10)
    for second, dropped in enumerate([0, 5, 5.1, 90, 200, 200, 200, 200]):
        watch.look(int(dropped), now=float(second + 1))
        watch.look(int(dropped) + 1000, now=second + 1.5)  # within the same second: not looked at
    assert [record.message for record in caplog.records] == [
        "the hook's queue of 10 requests is full: it drops requests",
        "the hook's queue has room again; 5 requests were dropped so far",
        "the hook's queue of 10 requests is full: it drops requests",
        "the hook's queue has room again; 200 requests were dropped so far",
    ]


def test_the_log_does_not_flood(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand different warnings are not a thousand lines."""
    log = Log()
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            log.once(f"warning {number}")
    assert len(caplog.records) == 51


def until(condition: Any) -> bool:
    """Wait for a condition, for as long as is generous."""
    end = time.monotonic() + GENEROUS
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(condition())
