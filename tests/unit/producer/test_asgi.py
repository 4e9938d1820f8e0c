"""The middleware for ASGI: bare apps, Starlette and FastAPI."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shadowlane.producer import Hook
from shadowlane.producer._http import Headers
from shadowlane.producer.asgi import HookMiddleware
from shadowlane.schemas import Prediction

from .exchanges import ANSWERED, ASKED, OPTIONS, Contract, Service, published

SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "path": "/predict",
    "query_string": b"",
    "headers": [(b"transfer-encoding", b"chunked")],
}
START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}


def sent(app: ASGIApp, request: httpx.Request) -> httpx.Response:
    """What an app answers, with an event loop of its own."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.send(request)

    return asyncio.run(send())


def post(app: ASGIApp, url: str = "/predict", asked: Any = ASKED) -> httpx.Response:
    """What an app answers to a POST of JSON."""
    return sent(
        app, httpx.Request("POST", f"http://service{url}", json=asked, headers={"accept-encoding": "gzip"})
    )


def bare(service: Service) -> ASGIApp:
    """A service without a framework."""

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        answer = service(body)
        if answer.error and not answer.chunks:
            raise answer.error
        headers = [(name.encode(), value.encode()) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        for chunk in answer.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if answer.error:
            raise answer.error
        await send({"type": "http.response.body"})

    return app


class TestContract(Contract):
    """What both middlewares promise, for this one."""

    def ask(self, service: Service, request: httpx.Request, hook: Hook, **options: Any) -> httpx.Response:
        """Ask through ASGI."""
        return sent(HookMiddleware(bare(service), hook=hook, **options), request)


async def predict(request: StarletteRequest) -> JSONResponse:
    """The primary of these services."""
    asked = await request.json()
    return JSONResponse({"score": asked["features"]["amount"] / 482})


@pytest.fixture
def add(hook: Hook) -> Callable[..., Starlette]:
    """Adds the middleware to an app as its owner would, before the others."""

    def add(app: Starlette, *others: Any, **options: Any) -> Starlette:
        for other in others:
            app.add_middleware(other)
        app.add_middleware(HookMiddleware, hook=hook, **{**OPTIONS, **options})
        return app

    return add


Add = Callable[..., Starlette]


def starlette() -> Starlette:
    """A service."""
    return Starlette(routes=[Route("/predict", predict, methods=["POST"])])


def test_fastapi(hook: Hook, add: Add) -> None:
    """Answers are published; what FastAPI refuses is not, and what fails is counted."""
    app = FastAPI()

    @app.post("/predict")
    async def score(features: dict[str, float]) -> dict[str, float]:
        if features["amount"] < 0:
            raise HTTPException(503)
        return {"score": 1 / features["amount"]}

    add(app, features=lambda request: request.json())
    assert post(app, asked={"amount": 4}).json() == {"score": 0.25}
    assert post(app, asked={"amount": "many"}).status_code == 422
    assert post(app, asked={"amount": -1}).status_code == 503
    with pytest.raises(ZeroDivisionError):
        post(app, asked={"amount": 0})
    (event,) = published(hook)
    assert (event.features.integers, event.prediction) == ({"amount": 4}, Prediction(score=0.25))
    assert (hook.stats().observed, hook.stats().primary_failed) == (3, 2)


@pytest.mark.parametrize("order", ["inside", "outside"])
def test_beside_a_middleware_that_compresses(hook: Hook, add: Add, order: str) -> None:
    """Inside of it the body is seen plain, although it changes the list of headers; outside, compressed."""
    app = starlette()
    kinds = (lambda inner: GZipMiddleware(inner, minimum_size=1),)
    if order == "outside":
        add(app, *kinds)
    else:
        add(app).add_middleware(GZipMiddleware, minimum_size=1)
    response = post(app)
    assert (response.headers["content-encoding"], response.json()) == ("gzip", ANSWERED)
    assert [event.prediction for event in published(hook)] == [Prediction(score=0.25)]


def test_inside_and_outside_of_base_http_middleware(hook: Hook, add: Add) -> None:
    """Which streams every answer, and reads the request in a task of its own."""

    async def dispatch(request: StarletteRequest, call_next: Any) -> Any:
        await request.body()
        return await call_next(request)

    app = add(starlette(), lambda inner: BaseHTTPMiddleware(inner, dispatch))
    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    assert post(app).json() == ANSWERED
    assert [event.prediction for event in published(hook)] == [Prediction(score=0.25)]


def test_two_middlewares_of_one_app(hook: Hook, add: Add) -> None:
    """Each observes its own path."""

    async def rank(request: StarletteRequest) -> JSONResponse:
        await request.body()
        return JSONResponse(["a", "b"])

    routes = [Route(path, rank, methods=["POST"]) for path in ("/rank", "/other")]
    app = add(Starlette(routes=[*routes, Route("/predict", predict, methods=["POST"])]))
    add(app, path="/rank", prediction=lambda response: response.json())
    for path in ("/rank", "/other", "/predict"):
        assert post(app, path).status_code == 200
    assert [event.prediction for event in published(hook)] == [
        Prediction(ranking=["a", "b"]),
        Prediction(score=0.25),
    ]


def test_a_mounted_app(hook: Hook, add: Add) -> None:
    """The path is as the app's own routes name it."""
    app = Starlette(routes=[Mount("/api", add(starlette()))])
    assert post(app, "/api/predict").json() == ANSWERED
    assert len(published(hook)) == 1


def test_an_answer_is_published_before_background_tasks(hook: Hook, add: Add) -> None:
    """They may take long, and may fail: the primary has answered."""
    seen: list[int] = []

    async def task() -> None:
        seen.append(hook.stats().queued)
        raise BrokenPipeError

    async def later(_request: StarletteRequest) -> JSONResponse:
        return JSONResponse(ANSWERED, background=BackgroundTask(task))

    with pytest.raises(BrokenPipeError):
        post(add(Starlette(routes=[Route("/predict", later, methods=["POST"])])), asked=ASKED)
    assert seen == [1]
    assert (hook.stats().queued, hook.stats().primary_failed) == (1, 0)


def test_streams_stay_streams(hook: Hook) -> None:
    """Each chunk is sent before the service makes the next, and each message is the very same."""
    passed: list[Message] = []
    chunks = [memoryview(b'{"score"'), b": 0.25", b"}", b""]
    made: list[dict[str, Any]] = [
        START | {"trailers": True},
        *({"type": "http.response.body", "body": chunk, "more_body": bool(chunk)} for chunk in chunks),
        {"type": "http.response.trailers", "headers": []},
    ]

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() is incoming[0]
        await send({"type": "http.response.early_hint", "links": []})
        for number, message in enumerate(made):
            await send(message)
            assert passed[number + 1] is message
        assert await receive() is incoming[1]

    body = json.dumps(ASKED).encode()
    incoming: list[dict[str, Any]] = [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]
    run(HookMiddleware(app, hook=hook, **OPTIONS), incoming, passed)
    assert [event.prediction for event in published(hook)] == [Prediction(score=0.25)]


def run(app: ASGIApp, incoming: list[dict[str, Any]], passed: list[Message], **scope: Any) -> None:
    """Call an app with these messages."""
    messages = iter(incoming)

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        passed.append(message)

    async def call() -> None:
        await app({**SCOPE, **scope}, receive, send)

    asyncio.run(call())


@pytest.mark.parametrize("kind", ["pathsend", "zerocopysend"])
def test_answers_sent_from_a_file(delivering: Hook, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    """They pass as they are, and are counted: nobody has seen their bodies."""
    passed: list[Message] = []
    message = {"type": f"http.response.{kind}", "path": "/tmp/canary"}  # noqa: S108 (never opened)

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(START)
        await send(message)

    incoming = [{"type": "http.request", "body": b"{}"}]
    run(HookMiddleware(app, hook=delivering, **OPTIONS), incoming, passed)
    assert passed[-1] is message
    delivering.close(timeout=60)
    assert delivering.stats().dropped == {"not_encodable": 1}
    assert "straight from a file" in caplog.text


@pytest.mark.parametrize(
    ("incoming", "headers", "outcome"),
    [
        ([], [], "published"),
        ([], [(b"content-length", b"0")], "published"),
        ([], [(b"content-length", b"2")], "dropped"),
        ([], [(b"transfer-encoding", b"chunked")], "dropped"),
        ([(b"{", True)], [(b"content-length", b"2")], "dropped"),
        ([(b"{", True)], [], "dropped"),
        ([(b"{", True), (b"}", True)], [(b"content-length", b"2")], "published"),
        ([(b"{", True), (b"}", False)], [(b"transfer-encoding", b"chunked")], "published"),
    ],
)
def test_a_service_that_does_not_read(
    delivering: Hook, caplog: pytest.LogCaptureFixture, incoming: Any, headers: Any, outcome: str
) -> None:
    """A body that it left unread, or half of it, cannot be published; no body at all can."""

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        for _ in incoming:
            await receive()
        await send(START)
        await send({"type": "http.response.body", "body": b'{"score": 0.25}'})

    options = {**OPTIONS, "features": lambda request: {"body": request.body.decode()}}
    messages = [{"type": "http.request", "body": body, "more_body": more} for body, more in incoming]
    run(HookMiddleware(app, hook=delivering, **options), messages, [], headers=headers)
    delivering.close(timeout=60)
    stats = delivering.stats()
    assert (stats.delivered, stats.dropped) == (
        (1, {}) if outcome == "published" else (0, {"not_encodable": 1})
    )
    assert ("did not read a request's body" in caplog.text) == (outcome == "dropped")


def test_a_client_that_is_gone(hook: Hook) -> None:
    """A service that gives up, or is cancelled, has not answered; one whose answer nobody takes has."""

    async def gives_up(_scope: Scope, receive: Receive, _send: Send) -> None:
        assert (await receive())["type"] == "http.disconnect"

    async def is_cancelled(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(START)
        raise asyncio.CancelledError

    async def answers(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(START)
        await send({"type": "http.response.body"})

    async def call(app: ASGIApp) -> None:
        async def receive() -> Message:
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                raise BrokenPipeError

        await HookMiddleware(app, hook=hook, **OPTIONS)({**SCOPE, "headers": []}, receive, send)

    asyncio.run(call(gives_up))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(call(is_cancelled))
    assert (hook.stats().observed, hook.stats().primary_failed) == (2, 2)
    with pytest.raises(BrokenPipeError):
        asyncio.run(call(answers))
    assert hook.stats().queued == 1


def test_what_does_not_match_is_not_touched(hook: Hook) -> None:
    """The service gets the server's own objects: other paths, WebSockets, and a lifespan it may not close."""
    seen: list[tuple[object, ...]] = []

    async def app(*given: object) -> None:
        seen.append(given)

    async def receive() -> Message:
        raise AssertionError

    async def send(_message: Message) -> None:
        raise AssertionError

    middleware = HookMiddleware(app, hook=hook, close=False, **OPTIONS)
    scopes: list[dict[str, Any]] = [
        {**SCOPE, "path": "/other"},
        {**SCOPE, "type": "websocket"},
        {"type": "lifespan"},
    ]
    for scope in scopes:
        asyncio.run(middleware(scope, receive, send))
    assert [given[0] for given in seen] == scopes
    assert all(given[1] is receive and given[2] is send for given in seen)
    assert hook.stats().observed == 0


def test_a_scope_that_is_none(hook: Hook) -> None:
    """What a server gets wrong is counted, and left to the service."""
    reached: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        reached.append(scope)

    run(HookMiddleware(app, hook=hook, **OPTIONS), [], [], query_string=None)
    assert len(reached) == 1
    assert hook.stats().dropped == {"not_encodable": 1}


def test_a_message_that_is_none(hook: Hook) -> None:
    """What a service gets wrong is the server's to judge; the hook counts a request without an answer."""
    passed: list[Message] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": 5})

    run(HookMiddleware(app, hook=hook, **OPTIONS), [], passed)
    assert passed[-1]["body"] == 5
    assert (hook.stats().observed, hook.stats().primary_failed) == (1, 1)


@pytest.mark.parametrize("last", ["complete", "failed"])
def test_the_end_of_the_service_closes_the_hook(delivering: Hook, last: str) -> None:
    """After the service's own end, before the server hears of it, and in another thread."""
    events: list[str] = []
    close = delivering.close

    def closing(timeout: float | None = None) -> None:
        events.append("main" if threading.current_thread() is threading.main_thread() else "close")
        close(timeout)

    delivering.close = closing  # type: ignore[method-assign]

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        events.append("service")
        if last == "failed":
            raise ZeroDivisionError

    app = Starlette(lifespan=lifespan, routes=[Route("/predict", predict, methods=["POST"])])
    app.add_middleware(HookMiddleware, hook=delivering, **OPTIONS)
    post(app)
    passed: list[Message] = []

    def serve() -> None:
        run(app, [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}], passed, type="lifespan")

    if last == "failed":
        with pytest.raises(ZeroDivisionError):
            serve()
    else:
        serve()
    assert events == ["service", "close"]
    assert [message["type"] for message in passed] == [
        f"lifespan.{which}" for which in ("startup.complete", f"shutdown.{last}")
    ]
    assert delivering.stats().delivered == 1


def test_the_end_without_asyncio(delivering: Hook) -> None:
    """On another event loop the hook is closed there and then."""
    passed: list[Message] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.shutdown.complete"})

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        passed.append(message)

    delivering.publish(features={}, prediction=0.5)
    with pytest.raises(StopIteration):
        HookMiddleware(app, hook=delivering, **OPTIONS)({"type": "lifespan"}, receive, send).send(None)
    assert delivering.stats().delivered == len(passed) == 1


def test_streaming_response_and_large_uploads(hook: Hook, add: Add) -> None:
    """A body in many chunks both ways, as Starlette and httpx send them."""

    async def echo(request: StarletteRequest) -> StreamingResponse:
        return StreamingResponse(iter([chunk async for chunk in request.stream()]))

    async def parts() -> AsyncIterator[bytes]:
        for part in range(0, len(body), 1000):
            yield body[part : part + 1000]

    body = json.dumps({"features": {"text": "x" * 50_000}, "score": 0.25}).encode()
    app = add(Starlette(routes=[Route("/predict", echo, methods=["POST"])]))
    assert sent(app, httpx.Request("POST", "http://service/predict", content=parts())).content == body
    (event,) = published(hook)
    assert (event.features.strings, event.prediction) == ({"text": "x" * 50_000}, Prediction(score=0.25))


def test_headers_are_found_in_any_case() -> None:
    """And those that came twice are one, as HTTP has it."""
    headers = Headers([("Accept", "a"), ("accept", "b"), ("X-Id", "1")])
    assert (headers["ACCEPT"], headers.get("x-id"), headers.get("none")) == ("a, b", "1", None)
    assert (sorted(headers), len(headers)) == (["accept", "x-id"], 2)
