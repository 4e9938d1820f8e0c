"""The hook in real servers: whatever way a process of theirs ends, the ledger says what it can know."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from accounting import GENEROUS, assert_books_balance, assert_held, ledger_of, process_of, requests_in
from faulty_kafka import wait_until
from shadowlane.kafka import KafkaSettings
from shadowlane.schemas import LedgerEntry

TESTS = Path(__file__).parents[1]
CLIENTS = 4


@contextmanager
def serving(
    settings: KafkaSettings, port: int, *command: str, **env: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers; it is killed at the end, where it still runs."""
    # What measures coverage handles SIGTERM in its processes, and then no hook does.
    rest = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    ours = {
        "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
        "SHADOWLANE_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "SHADOWLANE_TOPIC_PREFIX": settings.topic_prefix,
    }
    # In a group of its own, so that no child of it is left behind.
    server = subprocess.Popen([sys.executable, *command], env=rest | ours | env, process_group=0)
    try:
        wait_until(lambda: answers(port) or server.poll() is not None)
        assert server.poll() is None, "the server ended"
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def traffic(port: int, requests: int) -> Counter[int]:
    """So many requests, some at a time; how many were answered, by the process that did."""

    def ask(client: int) -> Counter[int]:
        answered = Counter[int]()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as web:
            for number in range(requests // CLIENTS):
                features = {"amount": number / 7, "user": f"user-{client}-{number}"}
                with suppress(httpx.TransportError):  # whoever had it was killed
                    answered[web.post("/predict", json=features).raise_for_status().json()["pid"]] += 1
        return answered

    with ThreadPoolExecutor(CLIENTS) as clients:
        return sum(clients.map(ask, range(CLIENTS)), Counter[int]())


def traffic_for_both(port: int) -> Counter[int]:
    """Requests until each of two workers, which take connections as they come, has answered some."""
    answered = traffic(port, 200)
    while len(answered) < 2:
        answered += traffic(port, 20)
    return answered


def terminate(server: subprocess.Popen[bytes]) -> int:
    """End it as an operator does; its exit code."""
    server.terminate()
    return server.wait(GENEROUS)


def observed(ledger: dict[str, LedgerEntry]) -> Counter[int]:
    """How many requests each process observed."""
    return Counter({process_of(producer_id): entry.observed for producer_id, entry in ledger.items()})


def gunicorn(port: int) -> list[str]:
    """The command line of a gunicorn with the Flask service, loaded before the fork."""
    options = ["--preload", "--workers", "2", "--threads", "4", "--log-level", "warning"]
    return ["-m", "gunicorn", *options, "--bind", f"127.0.0.1:{port}", "flask_service:app"]


def uvicorn(port: int, app: str) -> list[str]:
    """The command line of a uvicorn with the FastAPI service."""
    return ["-m", "uvicorn", f"fastapi_service:{app}", "--port", str(port), "--log-level", "warning"]


def test_gunicorn_that_preloads(settings: KafkaSettings, port: int) -> None:
    """The master makes the hook and publishes before it forks; each of the three accounts for its own."""
    with serving(settings, port, *gunicorn(port), REQUESTS_BEFORE_THE_FORK="3") as server:
        answered = traffic_for_both(port) + Counter({server.pid: 3})
        assert terminate(server) == 0
    ledger = assert_books_balance(settings)
    assert observed(ledger) == answered
    assert sum(entry.delivered for entry in ledger.values()) == answered.total() == len(requests_in(settings))


def test_a_gunicorn_worker_that_is_killed(settings: KafkaSettings, port: int) -> None:
    """Its place is taken and no other loses anything; of its own the ledger has what it said last."""
    with serving(settings, port, *gunicorn(port)) as server, ThreadPoolExecutor() as background:
        first = traffic_for_both(port)
        victim = min(first)
        wait_until(lambda: victim in observed(ledger_of(settings)))
        more = background.submit(traffic, port, 400)
        os.kill(victim, signal.SIGKILL)
        answered = first + more.result() + traffic(port, 200)
        assert terminate(server) == 0
    ledger = ledger_of(settings)
    assert_held(settings, ledger)
    known = observed(ledger)
    assert [process_of(name) for name, entry in ledger.items() if not entry.final] == [victim]
    assert known[victim] <= answered[victim] + CLIENTS  # it may have died with an answer on its lips
    del known[victim], answered[victim]
    assert known == answered


def test_uvicorn_with_a_lifespan(settings: KafkaSettings, port: int) -> None:
    """A hook that is closed at the service's end accounts for all, however uvicorn ends."""
    with serving(settings, port, *uvicorn(port, "app")) as server:
        answered = traffic(port, 400)
        assert terminate(server) in (0, -signal.SIGTERM)  # from 0.29 on it dies of the signal that ended it
    assert observed(assert_books_balance(settings)) == answered


def test_uvicorn_started_by_the_service_itself(settings: KafkaSettings, port: int) -> None:
    """The hook is there before uvicorn is: the SIGTERM that uvicorn raises in the end finds it."""
    with serving(settings, port, str(TESTS / "fastapi_service.py"), str(port)) as server:
        answered = traffic(port, 400)
        assert terminate(server) in (0, -signal.SIGTERM)
    assert observed(assert_books_balance(settings)) == answered


def test_uvicorn_without_a_lifespan(settings: KafkaSettings, port: int) -> None:
    """Its workers die of SIGTERM with their handlers gone, so that no hook hears of it.

    What the ledger said last is all that it says: complete, where there was time to say it, but not final.
    (One process alone loads the service before it handles signals, from uvicorn 0.47 or so on.)
    """
    with serving(settings, port, *uvicorn(port, "endless"), "--workers", "2") as server:
        answered = traffic(port, 400)
        wait_until(lambda: observed(ledger_of(settings)) == answered)
        terminate(server)
    ledger = ledger_of(settings)
    assert_held(settings, ledger)
    assert observed(ledger) == answered
    assert not any(entry.final for entry in ledger.values())
    assert len(requests_in(settings)) == 400
