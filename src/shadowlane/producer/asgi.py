"""Middleware that publishes what a Starlette, FastAPI or other ASGI service is asked and answers.

    app.add_middleware(
        HookMiddleware,
        hook=hook,
        path="/predict",
        features=lambda request: request.json()["features"],
        prediction=lambda response: response.json()["score"],
    )

What passes is passed on as it is, unbuffered; docs/middleware.md says what is published.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from contextlib import suppress
from typing import Any

from shadowlane.producer._exchange import Exchange, Readers, Rules
from shadowlane.producer._hook import Hook
from shadowlane.producer._http import MAX_BODY, Request, Response
from shadowlane.producer._kept import Kept, Start

__all__ = ["HookMiddleware", "Request", "Response"]

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LAST = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})
_UNSEEN = frozenset({"http.response.pathsend", "http.response.zerocopysend"})


class HookMiddleware:
    """Publishes the requests of one path, each with the prediction that it was answered with.

    All functions run later, in the hook's background thread.

    Args:
        app: The service.
        hook: What publishes.
        path: Where predictions are asked for, as the routes name it: "/predict", or "/models/{name}/predict",
            or a compiled pattern for the whole of it.
        features: Makes a request's features, mostly `request.json()` or a part of it.
        prediction: Makes the prediction of a response, mostly a part of `response.json()`.
        entity_id: Whom or what a request is about.
        request_id: A request's id; by default its header X-Request-ID, where it has one.
        segments: The named cohorts of a request.
        methods: The methods of HTTP with which predictions are asked for.
        max_body: Bytes of a request's or response's body; where it has more, the request is dropped.
        close: Whether the service's end closes the hook; not where other apps of the process go on with it.

    Raises:
        SettingsError: the path can never match, or what should be a function is none.
    """

    def __init__(
        self,
        app: App,
        *,
        hook: Hook,
        path: str | re.Pattern[str],
        features: Callable[[Request], Mapping[str, Any]],
        prediction: Callable[[Response], Any],
        entity_id: Callable[[Request], object] | None = None,
        request_id: Callable[[Request], object] | None = None,
        segments: Callable[[Request], Mapping[str, Any] | None] | None = None,
        methods: Collection[str] = ("POST",),
        max_body: int = MAX_BODY,
        close: bool = True,
    ) -> None:
        readers = Readers(features, prediction, entity_id, request_id, segments)
        self._app, self._rules, self._close = app, Rules(hook, readers, path, methods, max_body), close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a connection on to the service."""
        if scope["type"] == "http":
            exchange = self._begin(scope)
            if exchange is not None:
                await self._observe(exchange, scope, receive, send)
                return
        elif scope["type"] == "lifespan" and self._close:
            send = self._closing(send)
        await self._app(scope, receive, send)

    def _begin(self, scope: Scope) -> Exchange | None:
        try:
            path = _route_path(scope)
            params = self._rules.match(scope["method"], path)
            if params is None:
                return None
            query = scope.get("query_string", b"").decode("latin-1")
            # A copy: a middleware inside may change the list.
            return self._rules.begin(Start(scope["method"], path, query, tuple(scope["headers"]), params))
        except Exception as error:
            self._rules.failed(error)
            return None

    async def _observe(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        async def received() -> Message:
            message = await receive()
            exchange.watch(_received, message)
            return message

        async def sent(message: Message) -> None:
            exchange.watch(_sent, message)
            await send(message)
            if exchange.is_complete:  # now, and not at the app's end: background tasks may take long
                exchange.close()

        try:
            await self._app(scope, received, sent)
        finally:
            exchange.close()

    def _closing(self, send: Send) -> Send:
        """Close the hook when the service has shut down: some servers end the process without `atexit`."""

        async def sent(message: Message) -> None:
            if message["type"] in _LAST:
                await _in_thread(self._rules.hook.close)
            await send(message)

        return sent


def _received(kept: Kept, message: Message) -> None:
    if message["type"] == "http.request":
        body = kept.request
        body.add(message.get("body", b""))
        if not message.get("more_body", False):
            body.is_complete = True


def _sent(kept: Kept, message: Message) -> None:
    kind = message["type"]
    if kind == "http.response.start":
        kept.answers(message["status"], message.get("headers", ()))
    elif kind == "http.response.body":
        kept.gives(message.get("body", b""))
        if not message.get("more_body", False):
            kept.ends()
    elif kind in _UNSEEN:
        kept.passes_unseen("a response was sent straight from a file: the hook has not seen it")
        if not message.get("more_body", False):
            kept.ends()


def _route_path(scope: Scope) -> str:
    """The path below where the app is mounted, as Starlette finds it for its routes."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    is_below = root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/")
    return path[len(root) :] if is_below else path


async def _in_thread(function: Callable[[], None]) -> None:
    """Without holding up the event loop, where it is asyncio's."""
    with suppress(Exception):
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # trio's, say
            function()
        else:
            await asyncio.to_thread(function)
