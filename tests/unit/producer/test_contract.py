"""What holds for a hook holds for the one in memory; and what it has besides."""

from __future__ import annotations

import gc
import inspect
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from hook_contract import COMPARISON, ERROR, Held, HookContract, MakeHook
from shadowlane.producer import Hook, Limits, Results, testing
from shadowlane.producer._encode import Result
from shadowlane.producer.testing import MemoryHook, Published


class TestMemoryHook(HookContract):
    """The hook for users' tests."""

    @pytest.fixture
    def make_hook(self) -> Iterator[MakeHook]:
        """Hooks that keep what they publish."""
        with ExitStack() as stack:

            def make(**settings: Any) -> Hook:
                return stack.enter_context(MemoryHook(model="ranker", model_version="7", **settings))

            yield make

    @pytest.fixture
    def held(self) -> Held:
        """What a hook kept."""

        def read(hook: Hook, topic: str) -> list[Published]:
            assert isinstance(hook, MemoryHook)
            return [message for message in hook.messages if message.topic == topic]

        return read


@pytest.fixture
def hook() -> Iterator[MemoryHook]:
    """A hook that keeps what it publishes."""
    with MemoryHook(model="ranker") as hook:
        yield hook


def publish(hook: Hook, requests: int = 1) -> None:
    """Publish so many requests."""
    for number in range(requests):
        hook.publish(features={"number": number}, prediction=0.5)


def test_it_takes_what_a_hook_takes() -> None:
    """So that a test may put it in the place of Hook."""
    real, memory = (inspect.signature(kind).parameters for kind in (Hook, MemoryHook))
    assert {name: each.kind for name, each in real.items()} == {
        name: each.kind for name, each in memory.items()
    }
    assert [each.default for each in real.values()] == [each.default for each in memory.values()]


def test_nothing_of_how_to_reach_kafka_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be wrong, or is not there, on the machine that runs the tests, does not matter."""
    monkeypatch.chdir(tmp_path)
    Path("shadowlane.toml").write_text('[kafka]\nssl_ca_location = "not-here.pem"\nwrong = 1\n')
    monkeypatch.setenv("SHADOWLANE_BOOTSTRAP_SERVERS", "no address at all")
    with MemoryHook(model="ranker", bootstrap_servers="kafka.example:9092") as hook:
        publish(hook)
        assert len(hook.requests) == 1
        assert hook._courier.clients == []


def test_the_redaction_of_the_folder_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service's tests show what its shadowlane.toml leaves of a request."""
    monkeypatch.chdir(tmp_path)
    rule = '[[hook.redaction.rules]]\nfield = "features.number"\naction = "drop"\n'
    Path("shadowlane.toml").write_text(rule)
    for given, left in ((None, {}), ({}, {"number": 0})):
        with MemoryHook(model="ranker", redaction=given) as hook:
            publish(hook)
            assert hook.requests[0].features.to_dict() == left


def test_a_kafka_that_is_gone_and_comes_back(hook: MemoryHook) -> None:
    """Nothing is delivered meanwhile, and all of it afterwards."""
    publish(hook)
    assert len(hook.requests) == 1
    hook.down = True
    publish(hook, 3)
    assert not hook.flush(timeout=0.1)
    assert (len(hook.requests), hook.stats().delivered) == (1, 1)
    hook.down = False
    assert [event.sequence for event in hook.requests] == [0, 1, 2, 3]


def test_a_kafka_that_stays_away(hook: MemoryHook) -> None:
    """What it has not answered at the end is counted as failed."""
    hook.down = True
    publish(hook, 3)
    hook._courier.intake.put_result(Result(COMPARISON, "user-1"))
    hook.close()
    assert (hook.stats().observed, hook.stats().failed, hook.stats().queued) == (3, 3, 0)
    assert hook.stats().results == Results(published=1, failed=1)
    assert hook.messages == []


def test_a_kafka_that_stays_away_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queues fill up, and what has no room is dropped: the service goes on."""
    monkeypatch.setattr(testing, "_MOST", 5)
    with MemoryHook(model="ranker", limits=Limits(queue_size=10)) as hook:
        hook.down = True
        publish(hook, 100)
        hook.flush(timeout=0.1)
        publish(hook, 100)
        assert hook.stats().dropped["queue_full"] > 100
        assert hook.stats().published < 5  # an entry of the ledger waits with them
        hook.down = False
        assert hook.flush()
        assert hook.stats().delivered == len(hook.requests)


def test_clear_forgets_what_was_delivered(hook: MemoryHook) -> None:
    """One test may look at what each of its steps published."""
    publish(hook, 3)
    hook.clear()
    assert hook.messages == []
    publish(hook)
    assert [event.sequence for event in hook.requests] == [3]
    assert hook.stats().delivered == 4


def test_events_are_there_by_kind(hook: MemoryHook) -> None:
    """Requests, comparisons and errors, and the ledger's entries."""
    publish(hook)
    for result in (COMPARISON, ERROR):
        hook._courier.intake.put_result(Result(result, "user-1"))
    hook.close()
    assert (hook.comparisons, hook.errors) == ([COMPARISON], [ERROR])
    assert [entry.final for entry in hook.ledger][-1]
    assert len(hook.messages) == len(hook.ledger) + 3


def test_what_is_not_there_in_time_is_an_error(hook: MemoryHook, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test is not shown a part for the whole."""
    goes_on = Event()
    monkeypatch.setattr(testing, "_PATIENCE", 0.1)
    hook.defer(lambda: {"features": {}, "prediction": goes_on.wait()}, size=10)
    with pytest.raises(TimeoutError, match="still has work"):
        _ = hook.requests
    goes_on.set()
    monkeypatch.undo()
    assert len(hook.requests) == 1


def test_a_hook_that_nobody_holds_ends() -> None:
    """As the real one does: what it shares with its background thread does not keep it."""
    hook = MemoryHook(model="ranker")
    publish(hook)
    thread, gone = hook._courier._thread, weakref.ref(hook)
    del hook
    gc.collect()
    assert gone() is None
    assert thread is not None
    thread.join(10)
    assert not thread.is_alive()
