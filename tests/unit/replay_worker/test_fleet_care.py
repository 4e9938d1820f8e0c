"""A fleet of real processes that do next to nothing: what it shows, what it adds up, and how it ends."""

from __future__ import annotations

import http.client
import logging
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

import fleet_work
from shadowlane.errors import FencedError, SettingsError
from shadowlane.kafka import KafkaSettings
from shadowlane.replay_worker import Health, ModelSource, Target, WorkerPlan, _fleet, run_fleet

PLAN = WorkerPlan(Target("fraud", "s"), ModelSource("python:models:predict"))
KAFKA = KafkaSettings()


def get(port: int, path: str) -> tuple[int, str]:
    """The status and the body; 0 where nobody answers yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except ConnectionRefusedError:
        return 0, ""
    finally:
        connection.close()


def wait_until(true: Callable[[], bool]) -> None:
    """Until it is so; fails when it is not so in time."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def port() -> int:
    """One that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_fleet_is_ready_when_all_of_it_is_and_adds_up_what_it_did(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path, port: int
) -> None:
    """One port and one heartbeat for all; told to stop, it says the totals of all in its last line."""
    monkeypatch.setattr(_fleet, "_work", fleet_work.works_in_a_fleet)
    monkeypatch.setenv("SHADOWLANE_HEARTBEAT", str(tmp_path / "heartbeat"))
    stop = Event()
    with caplog.at_level(logging.INFO), ThreadPoolExecutor(1) as pool:
        ended = pool.submit(run_fleet, PLAN, KAFKA, 2, stop, Health(port))
        try:
            wait_until(lambda: get(port, "/readyz") == (200, "ok\n"))
            assert get(port, "/livez") == (200, "ok\n")
            wait_until((tmp_path / "heartbeat").exists)
            shown = get(port, "/metrics")[1]
            assert 'shadowlane_worker_requests_total{model="fraud",run="live",shadow="s"} 10.0' in shown
        finally:
            stop.set()
        whole = ended.result(60)
    assert whole.requests == 12
    assert caplog.messages[-1] == (
        "the fleet stopped; its workers replayed 12 requests: 0 compared, 0 errors"
    )
    assert get(port, "/livez") == (0, "")


def test_a_fleet_ends_when_a_worker_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """With that worker's own error; the others are told to stop."""
    monkeypatch.setattr(_fleet, "_work", fleet_work.gives_up_in_a_fleet)
    with pytest.raises(FencedError, match="another worker runs under this id"):
        run_fleet(PLAN, KAFKA, 2, Event())


def test_a_fleet_that_cannot_have_its_port_ends_at_once(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a worker is started: nobody would be left to end it."""
    monkeypatch.setattr(_fleet, "Member", None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(SettingsError, match="--health-port"):
            run_fleet(PLAN, KAFKA, 2, Event(), Health(port))
