"""The middleware for WSGI: bare apps and Flask."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from threading import Thread
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.util import FileWrapper, setup_testing_defaults

import httpx
import pytest
from flask import Flask, Response, abort, request
from werkzeug.serving import make_server
from werkzeug.test import Client

from shadowlane.producer import Hook
from shadowlane.producer._wsgi_input import Input
from shadowlane.producer.wsgi import HookMiddleware
from shadowlane.schemas import Prediction

from .exchanges import ANSWERED, ASKED, OPTIONS, Contract, Service, published

BODY = json.dumps(ASKED).encode()
ANSWER = json.dumps(ANSWERED).encode()


def bare(service: Service) -> WSGIApplication:
    """A service without a framework."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = service(environ["wsgi.input"].read())
        if answer.error and not answer.chunks:
            raise answer.error
        start_response(f"{answer.status} X", list(answer.headers))
        return chunks(answer.chunks, answer.error)

    def chunks(chunks: tuple[bytes, ...], error: BaseException | None) -> Iterator[bytes]:
        yield from chunks
        if error:
            raise error

    return app


class TestContract(Contract):
    """What both middlewares promise, for this one."""

    def ask(self, service: Service, request: httpx.Request, hook: Hook, **options: Any) -> httpx.Response:
        """Ask through WSGI."""
        transport = httpx.WSGITransport(HookMiddleware(bare(service), hook=hook, **options))
        with httpx.Client(transport=transport) as client:
            return client.send(request)


#: Nobody looks.
no_traceback: Any = None


class Passed(list[Any]):
    """What a server got: the arguments of start_response, and what was written."""

    def start_response(self, *args: Any) -> Callable[[bytes], object]:
        """As a server has it."""
        self.append(args)
        return self.append


def environment(stream: Any = None, **more: Any) -> WSGIEnvironment:
    """What a server makes of a request."""
    environ: WSGIEnvironment = {"REQUEST_METHOD": "POST", "PATH_INFO": "/predict", **more}
    environ["wsgi.input"] = io.BytesIO(BODY) if stream is None else stream
    setup_testing_defaults(environ)
    return environ


def test_flask(hook: Hook) -> None:
    """Answers are published; what Flask refuses is not, and what fails is counted."""
    app = Flask(__name__)

    @app.post("/predict")
    def predict() -> dict[str, float]:
        amount = request.get_json()["amount"]
        if amount is None:
            abort(422)
        return {"score": 1 / amount}

    app.wsgi_app = HookMiddleware(  # type: ignore[method-assign]
        app.wsgi_app,
        hook=hook,
        path="/predict",
        features=lambda request: request.json(),
        prediction=lambda response: response.json()["score"],
    )
    with app.test_client() as client:
        assert client.post("/predict", json={"amount": 4}).json == {"score": 0.25}
        assert client.post("/predict", json={"amount": None}).status_code == 422
        assert client.post("/predict", data="{").status_code == 415
        assert "Internal Server Error" in client.post("/predict", json={"amount": 0}).text
        app.testing = True
        with pytest.raises(ZeroDivisionError):
            client.post("/predict", json={"amount": 0})
    (event,) = published(hook)
    assert (event.features.integers, event.prediction) == ({"amount": 4}, Prediction(score=0.25))
    assert (hook.stats().observed, hook.stats().primary_failed) == (3, 2)


def test_flask_streams(hook: Hook) -> None:
    """Each chunk is there before the next is made, and Flask's own close comes when it would."""
    events: list[str] = []
    app = Flask(__name__)

    @app.post("/predict")
    def predict() -> Response:
        def parts() -> Iterator[str]:
            yield '{"score":'
            events.append("second")
            yield "0.25}"

        response = Response(parts())
        response.call_on_close(lambda: events.append("closed"))
        request.get_data()
        return response

    answer, _, _ = Client(HookMiddleware(app.wsgi_app, hook=hook, **OPTIONS)).run_wsgi_app(
        environment(CONTENT_LENGTH=str(len(BODY)))
    )
    assert next(iter(answer)) == b'{"score":'
    assert events == []
    assert b"".join(answer) == b"0.25}"
    answer.close()  # type: ignore[attr-defined]
    assert events == ["second", "closed"]
    assert [event.prediction for event in published(hook)] == [Prediction(score=0.25)]


def test_a_threaded_server(hook: Hook) -> None:
    """Over sockets, chunked uploads too: each exchange is published with its own answer."""
    app = Flask(__name__)

    @app.post("/predict")
    def predict() -> dict[str, float]:
        return {"score": request.get_json()["features"]["a"] / 2}

    server = make_server("127.0.0.1", 0, HookMiddleware(app.wsgi_app, hook=hook, **OPTIONS), threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.port}/predict"

    def ask(first: int) -> None:
        with httpx.Client() as client:
            for number in range(first, first + 20):
                body = json.dumps({"features": {"a": float(number)}}).encode()
                content = iter([body[:5], body[5:]]) if number % 2 else body
                answer = client.post(url, content=content, headers={"content-type": "application/json"})
                assert answer.json() == {"score": number / 2}

    threads = [Thread(target=ask, args=(first,)) for first in (0, 20, 40)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    server.shutdown()
    thread.join()
    server.server_close()
    events = published(hook)
    assert {event.features.numbers["a"]: event.prediction for event in events} == {
        float(number): Prediction(score=number / 2) for number in range(60)
    }


@pytest.mark.parametrize("make", [list, tuple])
def test_what_servers_look_for_is_the_services_own(hook: Hook, make: Callable[[list[bytes]], Any]) -> None:
    """A list of one chunk, of which a server takes the length, stays that list."""
    answer, passed = make([ANSWER]), Passed()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        environ["wsgi.input"].read()
        start_response("200 OK", [("X-A", "1")])
        return answer

    middleware = HookMiddleware(app, hook=hook, **OPTIONS)
    assert middleware(environment(), passed.start_response) is answer
    assert passed == [("200 OK", [("X-A", "1")])]
    assert [event.prediction for event in published(hook)] == [Prediction(score=0.25)]


def test_files_are_left_to_the_server(delivering: Hook, caplog: pytest.LogCaptureFixture) -> None:
    """Which may send one without reading it: it is counted, and not seen."""
    made: list[FileWrapper] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        made.append(environ["wsgi.file_wrapper"](io.BytesIO(ANSWER)))
        return made[0]

    environ = environment(**{"wsgi.file_wrapper": FileWrapper})
    answer = HookMiddleware(app, hook=delivering, **OPTIONS)(environ, Passed().start_response)
    assert answer is made[0]
    delivering.close(timeout=60)
    assert delivering.stats().dropped == {"not_encodable": 1}
    assert "straight from a file" in caplog.text


def test_write_and_exc_info(hook: Hook) -> None:
    """What is written before the answer's own chunks is a part of it; a second start replaces the first."""
    passed, failure = Passed(), (ValueError, ValueError(), no_traceback)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.input"].read()
        start_response("500 No", [])
        start_response("200 OK", [("X-A", "1")], failure)(ANSWER[:5])
        return [ANSWER[5:]]

    assert HookMiddleware(app, hook=hook, **OPTIONS)(environment(), passed.start_response) == [ANSWER[5:]]
    assert passed == [("500 No", []), ("200 OK", [("X-A", "1")], failure), ANSWER[:5]]
    assert [event.prediction for event in published(hook)] == [Prediction(score=0.25)]


def test_a_server_that_refuses_a_second_start(hook: Hook) -> None:
    """What `start_response` raises reaches the service as it is."""

    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("500 No", [], (ZeroDivisionError, ZeroDivisionError(), no_traceback))
        return []

    def start_response(_status: str, _headers: Any, exc_info: Any) -> Callable[[bytes], object]:
        raise exc_info[1]

    with pytest.raises(ZeroDivisionError):
        HookMiddleware(app, hook=hook, **OPTIONS)(environment(), start_response)  # type: ignore[arg-type]
    assert (hook.stats().observed, hook.stats().primary_failed) == (1, 1)


@pytest.mark.parametrize(
    ("headers", "taken", "outcome"),
    [
        ([], 1, "primary_failed"),
        ([], 3, "queued"),
        ([("Content-Length", str(len(ANSWER)))], 2, "queued"),
        ([("Content-Length", str(len(ANSWER)))], 1, "primary_failed"),
        ([("Content-Length", str(len(ANSWER)))], 0, "primary_failed"),
    ],
)
def test_a_client_that_is_gone(hook: Hook, headers: Any, taken: int, outcome: str) -> None:
    """A server that closes an answer half way has no whole answer; the service's own close is called."""
    closed: list[bool] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([ANSWER[:5], ANSWER[5:]])

        def close(self) -> None:
            closed.append(True)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.input"].read()
        start_response("200 OK", headers)
        return Body()

    answer: Any = HookMiddleware(app, hook=hook, **OPTIONS)(environment(), Passed().start_response)
    for _ in range(taken):
        next(answer, None)
    answer.close()
    assert closed == [True]
    assert hook.stats().observed == getattr(hook.stats(), outcome) == 1


def test_what_does_not_match_is_not_touched(hook: Hook) -> None:
    """The service gets the server's own objects, and the server the service's."""
    answer, stream = iter([b""]), io.BytesIO()
    given = environment(stream, PATH_INFO="/other")

    def start_response(*_args: Any) -> Callable[[bytes], object]:
        raise AssertionError

    def app(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        assert environ is given
        assert environ["wsgi.input"] is stream
        assert start is start_response
        return answer

    assert HookMiddleware(app, hook=hook, **OPTIONS)(given, start_response) is answer
    assert hook.stats().observed == 0


@pytest.mark.parametrize("path", ["/models/grüße/predict", "/models/a/predict"])
def test_paths_are_text(hook: Hook, path: str) -> None:
    """Of the bytes that a server hands over as latin-1."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [ANSWER]

    options = {"path": "/models/{name}/predict", "features": lambda request: {"path": request.path}}
    environ = environment(PATH_INFO=path.encode().decode("latin-1"))
    HookMiddleware(app, hook=hook, **{**OPTIONS, **options})(environ, Passed().start_response)
    assert [event.features.strings for event in published(hook)] == [{"path": path}]


def test_an_environment_that_is_none(hook: Hook) -> None:
    """What a server gets wrong is counted, and left to the service."""

    def app(environ: WSGIEnvironment, _start_response: StartResponse) -> Iterable[bytes]:
        assert "wsgi.input" not in environ
        return [b""]

    environ = environment()
    del environ["wsgi.input"]
    assert list(HookMiddleware(app, hook=hook, **OPTIONS)(environ, Passed().start_response)) == [b""]
    assert hook.stats().dropped == {"not_encodable": 1}


LINES = b'{"features":\n{"a": 1.5},\n "b": 2}'


def line_by_line(stream: Any) -> bytes:
    """As long as there is one."""
    return b"".join(iter(stream.readline, b""))


def into_a_buffer(stream: Any) -> bytes:
    """As `io` and Werkzeug do."""
    buffer, read = bytearray(7), b""
    while count := stream.readinto(buffer):
        read += buffer[:count]
    return read


def through_another(stream: Any) -> bytes:
    """One of `io`'s own, over the server's."""
    reader = io.BufferedReader(stream)
    read = reader.read()
    reader.detach()  # or it would close the server's
    return read


def and_again(stream: Any) -> bytes:
    """All, and once more from the start."""
    stream.read()
    stream.seek(0)
    return bytes(stream.read())


@pytest.mark.parametrize(
    "read",
    [
        lambda stream: stream.read(),
        lambda stream: stream.read(-1),
        lambda stream: stream.read(len(LINES)),
        lambda stream: stream.read(3) + stream.read(1000) + stream.read(1000),
        lambda stream: stream.read(0) + stream.read(3) + stream.read(None),
        lambda stream: b"".join(stream.readlines()),
        lambda stream: b"".join(stream.readlines(1) + stream.readlines(1) + stream.readlines(100)),
        b"".join,
        lambda stream: next(stream) + b"".join(stream),
        lambda stream: stream.readline(3) + stream.readline() + stream.read(),
        lambda stream: b"".join(iter(lambda: stream.read1(5), b"")),
        through_another,
        line_by_line,
        into_a_buffer,
        and_again,
    ],
)
@pytest.mark.parametrize("announced", [True, False])
def test_each_way_to_read(hook: Hook, read: Callable[[Any], bytes], announced: bool) -> None:
    """The service gets what it would get, and the hook sees all of it."""
    got: list[bytes] = []

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        stream = environ["wsgi.input"]
        got.append(read(stream))
        assert stream.read() == b""
        start_response("200 OK", [])
        return [ANSWER]

    more = {"CONTENT_LENGTH": str(len(LINES))} if announced else {"HTTP_TRANSFER_ENCODING": "chunked"}
    environ = environment(io.BytesIO(LINES), **more)
    HookMiddleware(app, hook=hook, **OPTIONS)(environ, Passed().start_response)
    assert got == [LINES]
    assert [event.features.numbers for event in published(hook)] == [{"a": 1.5}]


@pytest.mark.parametrize(
    "read",
    [
        lambda stream: stream.read(3),
        lambda stream: stream.readline(),
        next,
        lambda stream: stream.read(3) + bytes(stream.seek(0)) + stream.read(),
        lambda stream: stream.detach,
        lambda stream: stream,
    ],
)
def test_a_body_that_is_not_read_whole(delivering: Hook, read: Callable[[Any], object]) -> None:
    """Or out of order: it is dropped, rather than published in part."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        read(environ["wsgi.input"])
        start_response("200 OK", [])
        return [ANSWER]

    options = {**OPTIONS, "features": lambda request: {"body": request.body.decode()}}
    environ = environment(io.BytesIO(LINES), CONTENT_LENGTH=str(len(LINES)))
    HookMiddleware(app, hook=delivering, **options)(environ, Passed().start_response)
    delivering.close(timeout=60)
    assert (delivering.stats().dropped, delivering.stats().delivered) == ({"not_encodable": 1}, 0)


def test_the_input_has_what_the_servers_has(hook: Hook) -> None:
    """No more and no less: frameworks ask."""

    class Least:
        def read(self, size: int) -> bytes:
            return b"x" * size

    exchange: Any = None
    least, most = Input(Least(), exchange), Input(io.BytesIO(b""), exchange)
    assert not hasattr(least, "readinto")
    assert not hasattr(least, "seek")
    assert (most.readable(), most.tell(), most.closed) == (True, 0, False)
