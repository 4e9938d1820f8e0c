"""A model's server that fails: what is tried again, what is said, and what is nobody's fault."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import pytest
import trustme

import inference_server as faults
from asked import asked
from inference_server import Fault, InferenceServer, inference_server, status
from shadowlane.errors import ModelError
from shadowlane.replay_worker import ModelSource, load_model
from shadowlane.replay_worker.models import LoadedModel
from shadowlane.replay_worker.models._call_errors import CallError, CallTimeoutError, UnavailableError
from shadowlane.replay_worker.models._http._client import (
    MOST_BYTES,
    AnswerError,
    Client,
    ServerLostError,
    ServerRefusedError,
)

ROW = {"a": 1.0, "b": 2.0}


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


def load(server: InferenceServer, **options: Any) -> LoadedModel:
    """The server's model."""
    return load_model(ModelSource(server.uri, features=("a", "b"), **options))


def ask(model: LoadedModel) -> Any:
    """The answer about one request."""
    return model.one(model.prepare(asked(ROW)), 0)


def failure(model: LoadedModel) -> CallError:
    """How asking fails."""
    with pytest.raises(CallError) as caught:
        ask(model)
    return caught.value


@pytest.mark.parametrize(
    "fault", [status(503), status(502), status(504), status(429, Retry_After="0"), faults.reset, faults.cut]
)
def test_what_may_pass_is_tried_again(server: InferenceServer, fault: Fault) -> None:
    """Twice it fails, the third time it answers: one answer, three attempts."""
    model = load(server)
    server.script.faults.extend([fault, fault])
    answer = ask(model)
    assert model.read_each([answer]).field("score").to_pylist() == [3.0]
    assert (answer.attempts, len(server.script.seen)) == (3, 3)


def test_the_latency_is_that_of_the_last_attempt(server: InferenceServer) -> None:
    """The second that the server asked to wait is no time of the model's."""
    model = load(server)
    server.script.faults.append(status(429, Retry_After="1"))
    begun = perf_counter_ns()
    took = model.took(ask(model))
    assert took is not None
    assert perf_counter_ns() - begun - took > 1e9


@pytest.mark.parametrize("code", [400, 404, 422, 500, 501])
def test_what_will_not_pass_is_not_tried_again(server: InferenceServer, code: int) -> None:
    """The failure has the status and the server's own words, after one attempt."""
    model = load(server)
    server.script.faults.append(status(code, {"error": "no such\ncolumn"}))
    error = failure(model)
    assert isinstance(error, ServerRefusedError)
    assert (str(error), error.attempts, error.stage) == (f"HTTP {code}: no such column", 1, "predict")
    assert len(server.script.seen) == 1


def test_attempts_are_counted_whatever_ends_them(server: InferenceServer) -> None:
    """Two failures that may pass, and then one that will not: three attempts."""
    model = load(server)
    server.script.faults.extend([status(503), status(503), status(400)])
    assert failure(model).attempts == 3


def test_a_server_that_keeps_breaking_off_fails_the_request(server: InferenceServer) -> None:
    """A request that ends the server whenever it is asked must not be asked for ever."""
    model = load(server)
    server.script.faults.extend([faults.reset] * 4)
    server.script.is_ready = False
    error = failure(model)
    assert isinstance(error, ServerLostError)
    assert (error.attempts, "at the last of 4 attempts" in str(error)) == (4, True)


def test_a_server_that_refuses_connections_is_nobodys_fault(server: InferenceServer) -> None:
    """The error says so, for the replay to wait; when the server is back, the same model answers."""
    model = load(server)
    ask(model)
    server.stop()
    error = failure(model)
    assert isinstance(error, UnavailableError)
    assert error.attempts == 4
    assert "Connection refused" in str(error)
    server.start()
    assert model.read_each([ask(model)]).field("score").to_pylist() == [3.0]


def test_a_refused_connection_is_nobodys_fault_although_the_server_is_back(
    server: InferenceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No attempt got through to it: that it is ready a moment later makes no request guilty."""
    model = load(server)
    server.stop()
    monkeypatch.setattr(Client, "is_ready", lambda _client: True)  # as if it came back just then
    assert isinstance(failure(model), UnavailableError)


def test_a_503_is_nobodys_fault_while_the_model_is_not_ready(server: InferenceServer) -> None:
    """The model's own readiness tells whether it is everybody's or this request's."""
    model = load(server)
    server.script.is_ready = False
    server.script.faults.extend([status(503)] * 4)
    assert isinstance(failure(model), UnavailableError)
    server.script.is_ready = True
    server.script.faults.extend([status(503)] * 4)
    assert isinstance(failure(model), ServerRefusedError)


def test_a_server_that_asks_for_less_is_nobodys_fault(server: InferenceServer) -> None:
    """429 says that the server is busy, not that the request is wrong."""
    model = load(server)
    server.script.faults.extend([status(429)] * 4)
    assert isinstance(failure(model), UnavailableError)


def test_retry_after_that_outlasts_the_time_limit_is_not_waited_for(server: InferenceServer) -> None:
    """The call gives up at once, with the true number of attempts."""
    model = load(server, call_seconds=5.0)
    server.script.faults.append(status(503, Retry_After="3600"))
    assert failure(model).attempts == 1


@pytest.mark.parametrize("kind", [faults.hang, faults.drip])
def test_a_server_that_hangs_is_a_timeout_of_one_request(
    server: InferenceServer, over: threading.Event, kind: Any
) -> None:
    """Before the model's process would be ended for it; a byte now and then does not help."""
    model = load(server, call_seconds=0.5)
    server.script.faults.append(kind(over))
    error = failure(model)
    assert isinstance(error, CallTimeoutError)
    assert (error.stage, str(error)) == ("timeout", "no answer within 0.45 s")
    assert model.read_each([ask(model)]).field("score").to_pylist() == [3.0]


def test_an_answer_without_end_is_cut_off(server: InferenceServer) -> None:
    """Memory is bounded, whatever the server sends."""
    model = load(server)
    server.script.faults.append(faults.flood(MOST_BYTES * 2))
    error = failure(model)
    assert isinstance(error, AnswerError)
    assert "longer than" in str(error)


def test_a_redirect_is_not_followed(server: InferenceServer) -> None:
    """Not even to the same host: headers with secrets go where the user said."""
    model = load(server)
    server.script.faults.append(status(308, Location=server.uri))
    assert "the server redirects, which is not followed" in str(failure(model))
    assert len(server.script.seen) == 1


def test_no_proxy_is_taken_from_the_environment(
    server: InferenceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that somebody set for something else does not see the requests."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{nobody.getsockname()[1]}")
        assert ask(load(server, call_seconds=5.0)).attempts == 1


def test_connections_are_kept(server: InferenceServer) -> None:
    """One after the other, requests share one connection."""
    model = load(server)
    for _ in range(5):
        ask(model)
    assert server.script.connections == 1


def test_tls_is_verified_against_the_authorities_of_ssl_cert_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate of an authority that nobody vouched for is an error when the model is loaded."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with inference_server(context) as server:
        with pytest.raises(ModelError, match="certificate verify failed"):
            load(server)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert ask(load(server)).attempts == 1


def test_credentials_come_from_the_environment_or_a_file_that_is_read_again(
    server: InferenceServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A mounted token that is renewed is sent from then on."""
    path = tmp_path / "headers"
    path.write_text("Authorization: Bearer first-token\n")
    monkeypatch.setenv("SHADOWLANE_MODEL_HEADERS", "X-Tenant: blue\nX-Team: red")
    monkeypatch.setenv("SHADOWLANE_MODEL_HEADERS_FILE", str(path))
    model = load(server)
    ask(model)
    path.write_text("Authorization: Bearer second-token\n")
    os.utime(path, ns=(1, 1))
    ask(model)
    path.unlink()
    ask(model)
    sent = [seen.headers for seen in server.script.seen]
    tokens = ["first", "second", "second"]  # what stood there counts while the file is away
    assert [each["Authorization"] for each in sent] == [f"Bearer {token}-token" for token in tokens]
    assert {(each["X-Tenant"], each["X-Team"]) for each in sent} == {("blue", "red")}


def test_credentials_stand_in_no_error(server: InferenceServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where the server says them back."""
    monkeypatch.setenv("SHADOWLANE_MODEL_HEADERS", "Authorization: Bearer s3cret-token")
    model = load(server)
    server.script.faults.append(status(401, {"error": "the token s3cret-token is not known"}))
    assert str(failure(model)) == "HTTP 401: the token *** is not known"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Bearer abc", "line 1 is no header: write Name: value"),
        ("X-A: 1\n\nX Tenant: s3cret", "line 3 is no header"),
        ("Content-Type: text/plain", "line 1: Content-Type is set by shadowlane itself"),
    ],
)
def test_headers_that_are_none_are_said_by_their_line(
    server: InferenceServer, monkeypatch: pytest.MonkeyPatch, text: str, why: str
) -> None:
    """When the model is loaded, and without the value."""
    monkeypatch.setenv("SHADOWLANE_MODEL_HEADERS", text)
    with pytest.raises(ModelError) as caught:
        load(server)
    assert why in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_model_that_is_not_there_or_not_ready_is_an_error_when_it_is_loaded(
    server: InferenceServer,
) -> None:
    """The three cases are told apart, each with what to look at."""
    with pytest.raises(ModelError, match=r"HTTP 404: no such model\. The server is ready: does it have"):
        load_model(ModelSource(server.uri + "s", features=("a",)))
    server.script.is_ready = False
    with pytest.raises(ModelError, match=r"HTTP 503\. Is the server up"):
        load(server)
    server.stop()
    with pytest.raises(ModelError, match=r"Connection refused\. Is the server up, and the address right"):
        load(server)
