"""Middleware that publishes what a Flask or other WSGI service is asked and answers.

    app.wsgi_app = HookMiddleware(
        app.wsgi_app,
        hook=hook,
        path="/predict",
        features=lambda request: request.json()["features"],
        prediction=lambda response: response.json()["score"],
    )

What passes is passed on as it is, unbuffered; docs/middleware.md says what is published.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from shadowlane.producer._exchange import Exchange, Readers, Rules
from shadowlane.producer._hook import Hook
from shadowlane.producer._http import MAX_BODY, Request, Response
from shadowlane.producer._kept import Kept, Start
from shadowlane.producer._wsgi_input import Input

__all__ = ["HookMiddleware", "Request", "Response"]

# Headers whose names in the environment do not begin with HTTP_.
_UNMARKED = ("CONTENT_TYPE", "CONTENT_LENGTH")


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

    Raises:
        SettingsError: the path can never match, or what should be a function is none.
    """

    def __init__(
        self,
        app: WSGIApplication,
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
    ) -> None:
        readers = Readers(features, prediction, entity_id, request_id, segments)
        self._app, self._rules = app, Rules(hook, readers, path, methods, max_body)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass a request on to the service."""
        exchange = self._begin(environ)
        if exchange is None:
            return self._app(environ, start_response)
        try:
            answer = self._app(environ, _watched(start_response, exchange))
        except BaseException:
            exchange.close()
            raise
        return _passing(answer, exchange, environ.get("wsgi.file_wrapper"))

    def _begin(self, environ: WSGIEnvironment) -> Exchange | None:
        try:
            method, path = environ["REQUEST_METHOD"], _route_path(environ)
            params = self._rules.match(method, path)
            if params is None:
                return None
            exchange = self._rules.begin(
                Start(method, path, environ.get("QUERY_STRING", ""), _headers(environ), params)
            )
            environ["wsgi.input"] = Input(environ["wsgi.input"], exchange)
        except Exception as error:
            self._rules.failed(error)
            return None
        return exchange


def _watched(start_response: StartResponse, exchange: Exchange) -> StartResponse:
    def started(*args: Any, **kwargs: Any) -> Callable[[bytes], object]:
        write = start_response(*args, **kwargs)
        exchange.watch(_answers, *args)

        def written(chunk: bytes) -> object:
            exchange.watch(Kept.gives, chunk)
            return write(chunk)

        return written

    return started


def _answers(kept: Kept, status: str, headers: list[tuple[str, str]], _exc_info: object = None) -> None:
    kept.answers(int(status[:3]), headers)


def _passing(answer: Iterable[bytes], exchange: Exchange, file_wrapper: Any) -> Iterable[bytes]:
    """The answer's body: itself where a server looks for what it is, else one that looks at each chunk."""
    if isinstance(file_wrapper, type) and isinstance(answer, file_wrapper):
        exchange.watch(
            Kept.passes_unseen, "a response was sent straight from a file: the hook has not seen it"
        )
    elif type(answer) is list or type(answer) is tuple:
        for chunk in answer:
            exchange.watch(Kept.gives, chunk)
    else:
        return _Answer(answer, exchange)
    exchange.watch(Kept.ends)
    exchange.close()
    return answer


class _Answer:
    """The body of an answer as it passes."""

    def __init__(self, answer: Iterable[bytes], exchange: Exchange) -> None:
        self._answer, self._exchange = answer, exchange
        self._chunks: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            if self._chunks is None:
                self._chunks = iter(self._answer)
            chunk = next(self._chunks)
        except StopIteration:
            self._exchange.watch(Kept.ends)
            self._exchange.close()
            raise
        except BaseException:
            self._exchange.close()
            raise
        self._exchange.watch(Kept.gives, chunk)
        return chunk

    def close(self) -> None:
        """The server is through with it, or its client is gone."""
        try:
            close = getattr(self._answer, "close", None)
            if close is not None:
                close()
        finally:
            self._exchange.close()


def _route_path(environ: WSGIEnvironment) -> str:
    """The path below where the app is mounted; servers hand over its bytes as if they were latin-1."""
    path: str = environ.get("PATH_INFO", "")
    if path.isascii():
        return path
    try:
        return path.encode("latin-1").decode()
    except UnicodeError:  # not UTF-8, or text already
        return path


def _headers(environ: WSGIEnvironment) -> list[tuple[str, str]]:
    headers = [(name, value) for name, value in environ.items() if name[:5] == "HTTP_"]
    return headers + [(name, environ[name]) for name in _UNMARKED if environ.get(name)]
