"""A model on a server, asked through the replay's own seam: in a process of its own, several at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any, Literal

import pytest

import inference_server as faults
from asked import asked
from inference_server import InferenceServer, Seen, inference_server, status
from shadowlane.replay_worker import Isolation, ModelSource
from shadowlane.replay_worker._answers import Answered
from shadowlane.replay_worker.isolation import ModelHost, open_host

KINDS = ["process", "none"]

Kind = Literal["process", "none"]


@pytest.fixture
def server() -> Iterator[InferenceServer]:
    """A server with one model: the sum of two numbers."""
    with inference_server() as running:
        yield running


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set at the test's end, so that no fault outlives it."""
    event = threading.Event()
    yield event
    event.set()


class Waits:
    """How long the host wants to rest; it is told to go on at once."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> bool:
        """Do not."""
        if seconds:
            self.seconds.append(seconds)
        return False


@pytest.fixture
def hosts(server: InferenceServer) -> Iterator[Any]:
    """Makes hosts that are closed when the test ends."""
    made: list[ModelHost] = []

    def make(kind: Kind, *, batch: bool = False, call_seconds: float = 30.0, **source: Any) -> ModelHost:
        isolation = Isolation(kind=kind, call_seconds=call_seconds)
        given = ModelSource(server.uri, features=("a", "b"), **source)
        made.append(open_host(given, isolation, batch=batch, wait=source.pop("wait", Waits())))
        return made[-1]

    yield make
    for host in made:
        host.close()


def run(host: ModelHost, rows: int) -> Answered:
    """The host's answers about so many requests; the sums are 0, 2, 4 and so on."""
    return host.run(asked(*({"a": float(row), "b": float(row)} for row in range(rows))), lambda: False)


def scores(answered: Answered) -> list[float]:
    """The predictions, by row."""
    found: list[float] = answered.answers.column("prediction").field("score").to_pylist()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_several_requests_are_under_way_at_once_and_come_back_in_order(
    server: InferenceServer, hosts: Any, kind: Kind
) -> None:
    """Four at a time and no more, whichever is answered first; each is timed alone."""
    together = threading.Barrier(4)

    def answer(seen: Seen) -> Any:
        together.wait(30)  # nobody is answered before four are there
        return faults.total(seen)

    server.script.answer = answer
    answered = run(hosts(kind, concurrency=4), 40)
    assert scores(answered) == [2.0 * row for row in range(40)]
    assert server.script.at_once == 4
    assert server.script.connections <= 6  # the metadata's, and four that are kept
    bases = answered.answers.column("basis").to_pylist()
    assert sorted(bases) == ["single"] * 30 + ["warmup"] * 10


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_that_hangs_is_a_timeout_and_the_others_are_answered(
    server: InferenceServer, hosts: Any, over: threading.Event, kind: Kind
) -> None:
    """Its own row, stage and attempts; the model's process is not ended for it."""
    host = hosts(kind, concurrency=2, call_seconds=2.0)
    server.script.answer = lambda seen: (
        over.wait(60) and [] if 14.0 in seen.said["inputs"][0]["data"] else faults.total(seen)
    )
    answered = run(host, 20)
    assert scores(answered) == [2.0 * row for row in range(20) if row != 14]
    ((row, failure),) = answered.failures
    assert (row, failure.stage, failure.error_type, failure.attempts) == (
        14,
        "timeout",
        "CallTimeoutError",
        1,
    )
    assert host.restarts == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_says_how_often_it_was_tried(server: InferenceServer, hosts: Any, kind: Kind) -> None:
    """What the row in `shadow-errors` says is what was done, also when the answer cannot be read."""
    host = hosts(kind, concurrency=1)
    broken = status(200, {"outputs": []})
    server.script.faults.extend([status(502)] * 4 + [None] + [status(502), broken] + [status(500)])
    answered = run(host, 4)
    assert scores(answered) == [2.0]
    assert [(row, failure.error_type, failure.attempts) for row, failure in answered.failures] == [
        (0, "ServerLostError", 4), (2, "AnswerError", 2), (3, "ServerRefusedError", 1)
    ]  # fmt: skip


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_away_costs_no_request(
    server: InferenceServer, hosts: Any, kind: Kind, batch: bool
) -> None:
    """Nothing becomes an error: the host rests longer and longer, until the server is back."""
    waits = Waits()
    source = ModelSource(server.uri, features=("a", "b"), concurrency=2)
    host = open_host(source, Isolation(kind=kind), batch=batch, wait=waits)
    try:
        server.stop()
        for _ in range(4):
            answered = run(host, 20)
            assert (answered.done, answered.answers.num_rows, list(answered.failures)) == (0, 0, [])
        server.start()
        assert scores(run(host, 20)) == [2.0 * row for row in range(20)]
        assert host.restarts == 0
    finally:
        host.close()
    assert len(waits.seconds) == 2
    assert waits.seconds[0] < waits.seconds[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_cut_where_the_server_went_away(server: InferenceServer, hosts: Any, kind: Kind) -> None:
    """What was answered before is kept; the rest is asked again later."""
    host = hosts(kind, concurrency=1)
    server.script.is_ready = False
    server.script.faults.extend([None] * 7 + [status(503)] * 4)
    answered = run(host, 20)
    assert answered.done == 7
    assert scores(answered) == [2.0 * row for row in range(7)]
    assert not answered.failures


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_one_request_and_a_few_alone_for_the_clock(
    server: InferenceServer, hosts: Any, kind: Kind
) -> None:
    """And one of its rows that fails does not spoil the others."""
    host = hosts(kind, batch=True, concurrency=2)
    assert scores(run(host, 20)) == [2.0 * row for row in range(20)]
    assert [seen.rows for seen in server.script.seen] == [20, 1]
    server.script.faults.append(status(500))
    assert scores(run(host, 20)) == [2.0 * row for row in range(20)]


@pytest.mark.parametrize("concurrency", [1, 2])
def test_waiting_to_ask_again_is_no_latency(server: InferenceServer, hosts: Any, concurrency: int) -> None:
    """The second that the server asked for is in no request's time."""
    host = hosts("none", concurrency=concurrency)
    server.script.faults.append(status(429, Retry_After="1"))
    begun = monotonic()
    answered = run(host, 2)
    elapsed = monotonic() - begun
    assert scores(answered) == [0.0, 2.0]
    assert elapsed - max(answered.answers.column("latency_ms").to_pylist()) / 1000 > 1


def test_the_models_process_gets_the_headers_and_nothing_else_of_ours(
    server: InferenceServer, hosts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is meant for the model has a name that says so; Kafka's password has another."""
    monkeypatch.setenv("SHADOWLANE_MODEL_HEADERS", "Authorization: Bearer token")
    monkeypatch.setenv("SHADOWLANE_SASL_PASSWORD", "secret")
    run(hosts("process"), 1)
    assert server.script.seen[0].headers["Authorization"] == "Bearer token"
