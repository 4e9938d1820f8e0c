"""What a worker answers over HTTP, on real sockets."""

from __future__ import annotations

import http.client
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ctypes import c_double

import pytest

from shadowlane.errors import SettingsError
from shadowlane.health import Pulse, answering
from shadowlane.replay_worker import Health, ModelSource, Tally, Target, WorkerPlan
from shadowlane.replay_worker._standing import Overview, Standing

PLAN = WorkerPlan(Target("fraud", "s"), ModelSource("python:models:predict"))
READY = Standing("w-0", Tally(waiting={0: 0}))
AT_ONCE = 16


@contextmanager
def serving(look: Callable[[], Overview], port: int) -> Iterator[None]:
    """Answers at this port."""
    with answering(Health(port), lambda: look().view):
        yield


def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    """The status and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.fixture
def port() -> int:
    """One that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("standing", "live", "ready"),
    [
        (READY, "ok\n", "ok\n"),
        (Standing("w-0"), "ok\n", "worker w-0: still starting (its model, or its way to Kafka)\n"),
        (
            Standing("w-0", Tally()),
            "ok\n",
            "worker w-0: the group has not given it its partitions yet\n",
        ),
        (Standing("w-0", Tally(waiting={})), "ok\n", "ok\n"),  # a spare: more workers than partitions
        (Standing("w-0", READY.tally, stopping=True), "ok\n", "worker w-0: was told to stop\n"),
        (
            Standing("w-0", READY.tally, overdue=3.0),
            "worker w-0: its loop stands still, 3 s past its limit\n",
            "worker w-0: its loop stands still, 3 s past its limit\n",
        ),
    ],
)
def test_a_worker_says_whether_it_is_alive_and_ready(
    standing: Standing, live: str, ready: str, port: int
) -> None:
    """200 and ok, or 503 and why."""
    with serving(lambda: Overview(PLAN, [standing]), port):
        assert get(port, "/livez") == (200 if live == "ok\n" else 503, live)
        assert get(port, "/readyz?verbose") == (200 if ready == "ok\n" else 503, ready)


def test_a_fleet_is_well_when_all_of_it_is(port: int) -> None:
    """One worker that stands still is enough; each that is not well has a line."""
    standings = [READY, Standing("w-1", READY.tally, overdue=1.0), Standing("w-2")]
    with serving(lambda: Overview(PLAN, standings), port):
        assert get(port, "/livez") == (503, "worker w-1: its loop stands still, 1 s past its limit\n")
        status, reasons = get(port, "/readyz")
        assert status == 503
        assert len(reasons.splitlines()) == 2


def test_a_loop_is_alive_for_as_long_as_it_said() -> None:
    """A slow model within its limit is alive; past that, the loop stands still; and it may move again."""
    now = 100.0
    pulse = Pulse(c_double(), clock=lambda: now)
    pulse.expect(30)
    now = 129.0
    assert pulse.overdue <= 0
    now = 135.0
    assert pulse.overdue == 5.0
    pulse.expect(10)
    assert pulse.overdue <= 0


def test_the_metrics_are_there_and_other_paths_are_not(port: int) -> None:
    """HEAD is answered as GET, without a body."""
    with serving(lambda: Overview(PLAN, [READY]), port):
        status, text = get(port, "/metrics")
        assert status == 200
        assert 'shadowlane_worker_ready{model="fraud",run="live",shadow="s",worker="w-0"} 1.0' in text
        assert get(port, "/metrics", "HEAD") == (200, "")
        assert get(port, "/elsewhere")[0] == 404
        assert get(port, "/livez", "POST")[0] == 501


def test_health_needs_no_extra(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Prometheus' client only /metrics is missing, and says what to install."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    for module in ("shadowlane.replay_worker._metrics", "shadowlane.health.exposition"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with serving(lambda: Overview(PLAN, [READY]), port):
        assert get(port, "/livez")[0] == 200
        status, why = get(port, "/metrics")
        assert status == 501
        assert "shadowlane[prometheus]" in why


def test_a_failure_to_look_is_answered_as_such(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """A probe is never left without an answer, and the log has the trace."""

    def fails() -> Overview:
        raise KeyError("worker")

    with serving(fails, port):
        assert get(port, "/livez")[0] == 500
        assert "KeyError" in caplog.text


def test_clients_that_say_nothing_hold_nobody_up(port: int) -> None:
    """However many hang on, a probe is answered, and there are no more threads than clients allowed."""
    with serving(lambda: Overview(PLAN, [READY]), port), ExitStack() as stack:
        for _ in range(4 * AT_ONCE):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            idle.sendall(b"GET /livez HTTP/1.1\r\nX-Slow: ")
        assert get(port, "/livez") == (200, "ok\n")
        deadline = time.monotonic() + 60
        while len([each for each in threading.enumerate() if "process_request" in each.name]) > AT_ONCE:
            assert time.monotonic() < deadline, "threads are left over"
            time.sleep(0.05)
        assert get(port, "/livez") == (200, "ok\n")


def test_a_port_that_is_taken_is_an_error_for_its_user(port: int) -> None:
    """It is found at once, not when the first probe fails."""
    with (
        serving(lambda: Overview(PLAN, [READY]), port),
        pytest.raises(SettingsError, match=f"--health-port: 127.0.0.1:{port} cannot be used"),
        answering(Health(port), lambda: Overview(PLAN, []).view),
    ):
        pass


def test_nobody_answers_where_nobody_asked_for_it() -> None:
    """No port, no server."""
    before = threading.active_count()
    with answering(None, lambda: Overview(PLAN, []).view):
        assert threading.active_count() == before


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_an_address_of_the_newer_protocol_is_taken_too(port: int) -> None:
    """`::1` is an address as any other."""
    with (
        answering(Health(port, "::1"), lambda: Overview(PLAN, [READY]).view),
        socket.create_connection(("::1", port)) as line,
    ):
        line.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert line.recv(4096).startswith(b"HTTP/1.0 200")
