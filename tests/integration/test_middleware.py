"""The middlewares in real servers, on a real Kafka: what is published is what was served."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from accounting import GENEROUS, assert_books_balance, requests_in
from faulty_kafka import wait_until
from shadowlane.kafka import KafkaSettings, TopicNames
from shadowlane.schemas import Codec, Features, Prediction, ProductionRequest

if TYPE_CHECKING:
    from conftest import ConsumerFactory

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVERS: dict[str, Callable[[int], list[str]]] = {
    "asgi": lambda port: ["uvicorn", "fastapi_service:app", "--port", str(port), "--log-level", "warning"],
    "wsgi": lambda port: ["gunicorn", "flask_service:app", "--bind", f"127.0.0.1:{port}", "--threads", "4"],
}
REQUESTS = 200


def asked(number: int) -> dict[str, Any]:
    """What a client asks."""
    return {"user": f"user-{number % 7}", "country": "DE", "amount": number / 4, "night": number % 2 == 0}


def headers(number: int) -> dict[str, str]:
    """And which request it says it is."""
    return {"X-Request-ID": f"r-{number}", "traceparent": f"00-{number + 1:032x}-{number + 1:016x}-01"}


def traffic(port: int) -> dict[str, float]:
    """Requests, some at a time; what the service answered to each."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as web, ThreadPoolExecutor(4) as clients:

        def ask(number: int) -> tuple[str, float]:
            answer = web.post("/predict", json=asked(number), headers=headers(number))
            return f"r-{number}", answer.raise_for_status().json()["fraud"]

        answered = dict(clients.map(ask, range(REQUESTS)))
        assert web.get("/predict").status_code == 405
        assert web.post("/predict", content=b"{").status_code in (415, 422)
    return answered


def served(settings: KafkaSettings, port: int, command: list[str]) -> dict[str, float]:
    """What a server answered, which was ended by SIGTERM with the last of its answers."""
    env = {
        "SHADOWLANE_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "SHADOWLANE_TOPIC_PREFIX": settings.topic_prefix,
    }
    # In a group of its own, so that no child of it is left behind.
    server = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=EXAMPLES, env=os.environ | env, process_group=0
    )
    try:
        with socket.socket() as probe:
            wait_until(lambda: server.poll() is not None or probe.connect_ex(("127.0.0.1", port)) == 0)
        answered = traffic(port)
        server.terminate()
        # gunicorn's own; uvicorn ends by the signal itself, without `atexit`.
        assert server.wait(GENEROUS) in (0, -signal.SIGTERM)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    return answered


@pytest.mark.parametrize("kind", SERVERS)
def test_what_is_published_is_what_was_served(
    settings: KafkaSettings, port: int, topics: TopicNames, consumer_factory: ConsumerFactory, kind: str
) -> None:
    """Each answer once, equal to what the client got, with the client's trace; the ledger adds up."""
    before = datetime.now(UTC)
    answered = served(settings, port, SERVERS[kind](port))
    events = {event.request_id: event for event in requests_in(settings)}
    assert len(requests_in(settings)) == len(events) == len(answered) == REQUESTS
    for number in range(REQUESTS):
        event, request = events[f"r-{number}"], asked(number)
        assert event == replace(
            event,
            model="fraud",
            model_version="7",
            entity_id=request["user"],
            segments={"country": "DE"},
            features=Features(
                numbers={"amount": request["amount"]}, flags={"night": request["night"]}, missing=[]
            ),
            prediction=Prediction(score=answered[f"r-{number}"]),
            context={"traceparent": headers(number)["traceparent"]},
        )
        assert before <= event.event_time <= datetime.now(UTC)
        assert event.latency_ms is not None
        assert 0 < event.latency_ms < GENEROUS * 1000
    ledger = assert_books_balance(settings)
    assert sum(entry.observed for entry in ledger.values()) == REQUESTS
    assert sum(entry.delivered for entry in ledger.values()) == REQUESTS
    assert_traced(consumer_factory, topics)


def assert_traced(consumer_factory: ConsumerFactory, topics: TopicNames) -> None:
    """Each message has the client's trace in its headers, for whoever reads it to go on with."""
    consumer, codec, found = consumer_factory([topics.requests]), Codec(ProductionRequest), list[Any]()

    def all_are_found() -> bool:
        found.extend(consumer.consume(500, 0.1))
        return len(found) >= REQUESTS

    wait_until(all_are_found)
    for message in found:
        number = int(codec.decode(message.value()).request_id.removeprefix("r-"))
        assert message.headers() == [("traceparent", headers(number)["traceparent"].encode())]
