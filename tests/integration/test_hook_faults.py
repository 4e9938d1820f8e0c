"""The hook while Kafka is away, suspended, slow or refusing: callers go on, each request is accounted for."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from math import sin
from threading import Event, Thread
from types import TracebackType
from typing import Self

import pytest
from confluent_kafka.admin import AclOperation  # type: ignore[attr-defined]  # exported, but not declared so

from accounting import GENEROUS, assert_accounted
from faulty_kafka import FaultyKafka, wait_until
from shadowlane.kafka import TopicNames, create_topics, default_specs
from shadowlane.producer import Hook, Limits

#: No call may take so long, on a machine however busy; one that waits for Kafka takes longer.
LONGEST = 1.0
QUEUE = 500
#: What the background thread takes from the queue at once.
IN_HAND = 32
MEBIBYTE = 1024 * 1024
LIMITS = Limits(queue_size=QUEUE, exit_seconds=GENEROUS)
#: Clients that give up soon.
IMPATIENT = {"message.timeout.ms": "1500", "socket.timeout.ms": "1000"}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyKafka]:
    """One such Kafka for all tests of this file; each leaves it running."""
    kafka = FaultyKafka(tmp_path_factory.mktemp("faulty") / "kafka")
    kafka.start()
    yield kafka
    kafka.stop()


@pytest.fixture(autouse=True)
def _clusters_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier test's client lost is not what this test's log is about."""
    monkeypatch.setattr("shadowlane.kafka._log._clusters", {})


class Caller:
    """A service's thread: it publishes one request after another, and looks at how the hook takes it."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook
        self._over = Event()
        self._thread = Thread(target=self._run)
        self.calls, self.longest, self.most_queued = 0, 0.0, 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def wait_for(self, more: int = 50) -> None:
        """Until it has made so many more calls."""
        then = self.calls + more
        wait_until(lambda: self.calls >= then)

    def _run(self) -> None:
        while not self._over.wait(0.001):
            begun = time.perf_counter()
            self._hook.publish(features={"a": 1.0}, prediction=0.5)
            self.longest = max(self.longest, time.perf_counter() - begun)
            self.calls += 1
            self.most_queued = max(self.most_queued, self._hook.stats().queued)


def assert_unhurt(caller: Caller) -> None:
    """No call waited, and the queue kept to its bound."""
    assert caller.longest < LONGEST
    assert caller.most_queued <= QUEUE + IN_HAND


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a person who reads the log sees."""
    return [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG]


def delivers(hook: Hook) -> Callable[[], bool]:
    """Whether more has been delivered since now."""
    before = hook.stats().delivered
    return lambda: hook.stats().delivered > before


def test_unreachable_from_the_start(faulty: FaultyKafka, caplog: pytest.LogCaptureFixture) -> None:
    """What was published before Kafka ever answered is delivered once it does."""
    settings = faulty.settings(faulty.topics())
    faulty.stop()
    hook = Hook(model="ranker", kafka=settings, limits=LIMITS)
    with Caller(hook) as caller:
        wait_until(lambda: "is lost" in caplog.text)
        caller.wait_for(200)
        faulty.start()
        wait_until(lambda: "is back" in caplog.text)
    hook.close()
    assert hook.stats().delivered == hook.stats().observed == caller.calls
    assert_accounted(settings, hook.stats())
    assert_unhurt(caller)
    assert [line.split(": ")[0] for line in said(caplog)] == [
        f"Kafka at {settings.bootstrap_servers} is lost",
        f"Kafka at {settings.bootstrap_servers} is back",
    ]


def test_killed_and_restarted(faulty: FaultyKafka, caplog: pytest.LogCaptureFixture) -> None:
    """A crash in mid-run costs nothing that fits the queues: what waited is delivered afterwards."""
    settings = faulty.settings(faulty.topics())
    hook = Hook(model="ranker", kafka=settings, limits=LIMITS)
    with Caller(hook) as caller:
        wait_until(delivers(hook))
        faulty.kill()
        wait_until(lambda: "is lost" in caplog.text)
        caller.wait_for(200)
        faulty.start()
        wait_until(lambda: "is back" in caplog.text)
    hook.close()
    assert hook.stats().delivered == hook.stats().observed == caller.calls
    assert_accounted(settings, hook.stats())
    assert_unhurt(caller)
    assert [line.split(": ")[0].split(" is ")[1] for line in said(caplog)] == ["lost", "back"]


def test_away_for_longer_than_the_queues_hold(faulty: FaultyKafka, caplog: pytest.LogCaptureFixture) -> None:
    """They keep to their bounds; what does not fit is dropped, what waits too long fails, and is counted."""
    settings = faulty.settings(faulty.topics(), **IMPATIENT, **{"queue.buffering.max.messages": "100"})
    hook = Hook(model="ranker", kafka=settings, limits=LIMITS)
    with Caller(hook) as caller:
        wait_until(delivers(hook))
        faulty.kill()
        wait_until(lambda: hook.stats().dropped.get("queue_full") and hook.stats().failed)
        faulty.start()
        wait_until(lambda: "has room again" in caplog.text)
    hook.close()
    assert hook.stats().observed == caller.calls
    assert_accounted(settings, hook.stats())
    assert_unhurt(caller)
    for state in ("is lost", "is full", "no broker answered", "is back", "has room again"):
        assert sum(state in line and "ledger" not in line for line in said(caplog)) == 1, state


def test_suspended_for_a_moment(faulty: FaultyKafka, caplog: pytest.LogCaptureFixture) -> None:
    """A broker that stands still for a second or two loses nothing, and is not worth a line."""
    settings = faulty.settings(faulty.topics())
    hook = Hook(model="ranker", kafka=settings, limits=LIMITS)
    with Caller(hook) as caller:
        wait_until(delivers(hook))
        with faulty.suspended():
            caller.wait_for(1000)
        wait_until(delivers(hook))
    hook.close()
    assert hook.stats().delivered == hook.stats().observed == caller.calls
    assert_accounted(settings, hook.stats())
    assert_unhurt(caller)
    assert said(caplog) == []


def test_suspended_for_longer_than_a_request_may_wait(
    faulty: FaultyKafka, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker takes connections and does not answer: what waits too long fails, what follows does not."""
    settings = faulty.settings(faulty.topics(), **IMPATIENT)
    hook = Hook(model="ranker", kafka=settings, limits=LIMITS)
    with Caller(hook) as caller:
        wait_until(delivers(hook))
        with faulty.suspended():
            wait_until(lambda: hook.stats().failed > 100)
        wait_until(delivers(hook))
    hook.close()
    assert hook.stats().observed == caller.calls
    assert_accounted(settings, hook.stats())
    assert_unhurt(caller)
    assert sum("no broker answered" in line and "ledger" not in line for line in said(caplog)) == 1


def test_slow(faulty: FaultyKafka, caplog: pytest.LogCaptureFixture) -> None:
    """A broker too slow for the traffic: what neither it nor the queues take is dropped and counted."""
    settings = faulty.settings(faulty.topics(), **{"queue.buffering.max.messages": "20"})
    hook = Hook(model="ranker", kafka=settings, limits=LIMITS)
    with Caller(hook) as caller, faulty.slow():
        wait_until(lambda: hook.stats().dropped.get("queue_full", 0) > 100)
    hook.close()
    stats = hook.stats()
    assert (stats.observed, stats.failed) == (caller.calls, 0)
    assert 0 < stats.delivered < stats.observed
    assert_accounted(settings, stats)
    assert_unhurt(caller)
    assert sum("is full" in line for line in said(caplog)) == 1


@pytest.mark.parametrize("rights", [[], [AclOperation.DESCRIBE]], ids=["none", "describe"])
def test_not_allowed_to_write(
    faulty: FaultyKafka, caplog: pytest.LogCaptureFixture, rights: list[AclOperation]
) -> None:
    """Refused requests are counted, the log says why, and an ACL is all it takes to be heard again."""
    topics = faulty.topics()
    faulty.grant(topics.ledger, AclOperation.WRITE)
    for right in rights:
        faulty.grant(topics.requests, right)
    hook = Hook(model="ranker", kafka=faulty.named_settings(topics), limits=LIMITS)
    with Caller(hook) as caller:
        wait_until(lambda: refused(hook) > 100)
        faulty.grant(topics.requests, AclOperation.WRITE)
        wait_until(delivers(hook))
    hook.close()
    assert hook.stats().observed == caller.calls
    assert_accounted(faulty.settings(topics), hook.stats())
    assert_unhurt(caller)
    assert said(caplog)
    assert all("Kafka refused; check" in line and "the ACLs" in line for line in said(caplog))


def test_a_refusal_is_one_line_and_so_is_its_end(
    faulty: FaultyKafka, caplog: pytest.LogCaptureFixture
) -> None:
    """The first says which topic may not be written, the second that requests are delivered again."""
    topics = faulty.topics()
    faulty.grant(topics.ledger, AclOperation.WRITE)
    hook = Hook(model="ranker", kafka=faulty.named_settings(topics), limits=LIMITS)
    with Caller(hook):
        wait_until(lambda: refused(hook) > 100)
        faulty.grant(topics.requests, AclOperation.WRITE)
        wait_until(lambda: any("delivered again" in line for line in said(caplog)))
    hook.close()
    begins, ends = (line for line in said(caplog) if "ledger" not in line)
    assert topics.requests in begins
    assert "delivered again" in ends


def test_a_topic_that_comes_late(faulty: FaultyKafka, caplog: pytest.LogCaptureFixture) -> None:
    """Until it is there its requests fail, and the log says what to do; then they are delivered."""
    topics = TopicNames(f"{uuid.uuid4().hex[:12]}-")
    settings = faulty.settings(topics, **{"topic.metadata.propagation.max.ms": "0"})
    hook = Hook(model="ranker", kafka=settings, limits=LIMITS)
    with Caller(hook) as caller:
        wait_until(lambda: refused(hook) > 100)
        create_topics(settings, default_specs(topics, 1))
        wait_until(delivers(hook))
    hook.close()
    assert hook.stats().observed == caller.calls
    assert_accounted(settings, hook.stats())
    assert_unhurt(caller)
    assert said(caplog)
    assert all("run: shadowlane topics create" in line for line in said(caplog))


def test_too_large_for_the_topic(faulty: FaultyKafka, caplog: pytest.LogCaptureFixture) -> None:
    """The broker refuses such a request, the client one too large for itself; neither costs another one."""
    settings = faulty.settings(faulty.topics(max_message_bytes=MEBIBYTE))
    hook = Hook(model="ranker", kafka=settings, limits=LIMITS)
    noise = [sin(number) for number in range(MEBIBYTE // 6)]  # 8 bytes each, which do not compress
    with Caller(hook) as caller:
        for _ in range(5):
            hook.publish(features={"noise": noise}, prediction=0.5)
        hook.publish(features={"noise": noise * 4}, prediction=0.5)
        wait_until(lambda: hook.stats().failed == 5)
        wait_until(delivers(hook))
    hook.close()
    stats = hook.stats()
    assert (stats.observed, stats.failed, stats.dropped) == (caller.calls + 6, 5, {"too_large": 1})
    assert_accounted(settings, stats)
    assert_unhurt(caller)
    assert all("too large; raise max.message.bytes" in line for line in said(caplog))
    assert len(said(caplog)) == 2  # one from each side


def refused(hook: Hook) -> int:
    """How many requests were refused: by the broker, or by the client that knows it would."""
    return hook.stats().failed + hook.stats().dropped.get("refused", 0)


#: Publishes 1,000 a second until told to stop; says by how much it has grown meanwhile.
UNDER_LOAD = """
import sys, threading, time
from pathlib import Path
from shadowlane.producer import Hook
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
def resident():
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])
hook = Hook(model="ranker")
features = {f"feature_{number}": number / 7 for number in range(20)}
before, number = None, 0
while not stop.is_set():
    for _ in range(10):
        hook.publish(features=features, prediction=0.5, entity_id=f"user-{number}")
        number += 1
    if number == 2000:
        assert hook.flush(30)
        before = resident()
        print("warm", flush=True)
    time.sleep(0.01)
print(resident() - before, flush=True)
hook.close(30)
stats = hook.stats()
print(stats.observed, stats.delivered + stats.failed + sum(stats.dropped.values()), flush=True)
"""


def test_a_broker_that_stands_still_does_not_grow_the_service(faulty: FaultyKafka) -> None:
    """What waits for its answer takes the queues' memory, and not a buffer for each batch beside it."""
    settings = faulty.settings(faulty.topics())
    env = {
        **os.environ,
        "SHADOWLANE_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "SHADOWLANE_TOPIC_PREFIX": settings.topic_prefix,
    }
    command = [sys.executable, "-c", UNDER_LOAD]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True) as service:
        assert service.stdin is not None
        assert service.stdout is not None
        assert service.stdout.readline() == "warm\n"
        with faulty.suspended():
            time.sleep(15)  # so many requests are published meanwhile
            service.stdin.write("\n")
            service.stdin.flush()
            grown_kib = int(service.stdout.readline())
        observed, told = map(int, service.stdout.readline().split())
    assert observed == told > 10_000
    assert grown_kib < 32 * 1024
