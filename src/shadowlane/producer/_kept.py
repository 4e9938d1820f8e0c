"""What is kept of a request and its answer while they pass: references to what cannot change."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, NamedTuple

from shadowlane.producer._http import Headers, Request, Response, decompressed
from shadowlane.producer._trace import OPENTELEMETRY, with_trace
from shadowlane.schemas import NoFormError

#: Headers as the server has them.
Pairs = Iterable[tuple[Any, Any]]

# What an exchange takes beside its bodies and headers: its objects, and a dict for the headers.
_FIXED = 2500
# What a chunk takes beside its bytes: its object, and its place in a list.
_CHUNK = 48


class Body:
    """The chunks of a body as they pass, by reference; none of one that is too large."""

    __slots__ = ("_most", "chunks", "is_complete", "size")

    def __init__(self, most: int) -> None:
        self._most = most
        self.chunks: list[bytes] = []
        self.size = 0
        self.is_complete = False

    @property
    def is_too_large(self) -> bool:
        """Whether it is larger than what is kept."""
        return self.size > self._most

    @property
    def memory(self) -> int:
        """About how many bytes of memory it takes: a stream of words is many small objects."""
        return self.size + _CHUNK * len(self.chunks)

    def add(self, chunk: bytes) -> None:
        """Keep a chunk, unless the whole is there already: then someone reads it once more."""
        if not chunk or self.is_complete:
            return
        self.size += len(chunk)
        if self.size <= self._most:
            self.chunks.append(chunk if type(chunk) is bytes else bytes(chunk))
        else:
            self.chunks = []

    def read(self, headers: Headers) -> bytes:
        """All of it, decompressed.

        Raises:
            NoFormError: it cannot be read.
        """
        body = b"".join(self.chunks)
        encoding = headers.get("content-encoding")
        return decompressed(body, encoding, self._most) if encoding and body else body


class Start(NamedTuple):
    """What is known of a request before its body."""

    method: str
    path: str
    query: str
    headers: Pairs
    path_params: Mapping[str, str]


class Kept:
    """What is kept of an exchange while it passes."""

    __slots__ = (
        "began",
        "ended",
        "event_time",
        "fault",
        "headers",
        "request",
        "response",
        "start",
        "status",
        "trace",
    )

    def __init__(self, start: Start, max_body: int) -> None:
        self.start = start
        self.trace = with_trace(None) if OPENTELEMETRY in sys.modules else None
        self.request, self.response = Body(max_body), Body(max_body)
        self.status = 0
        self.headers: Pairs = ()
        #: Why it cannot be read.
        self.fault: str | None = None
        self.event_time = time.time_ns() // 1000
        self.began = self.ended = time.perf_counter_ns()

    def answers(self, status: int, headers: Pairs) -> None:
        """The answer begins."""
        # A copy: a middleware outside, one that compresses say, changes the list in place.
        self.status, self.headers = status, tuple(headers)

    def gives(self, chunk: bytes) -> None:
        """A part of the answer's body."""
        if chunk:
            self.ended = time.perf_counter_ns()
            self.response.add(chunk)

    def ends(self) -> None:
        """The answer is complete."""
        if not self.response.size:
            self.ended = time.perf_counter_ns()
        self.response.is_complete = True

    def passes_unseen(self, why: str) -> None:
        """A body passes in a way that nothing can be kept of."""
        self.fault = self.fault or why

    @property
    def is_answered(self) -> bool:
        """Whether the whole answer was there."""
        response = self.response
        return response.is_complete or response.size == _content_length(Headers(map(_text, self.headers)))

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        start = self.start
        texts = chain((start.path, start.query), *start.headers, *self.headers)
        return _FIXED + sum(map(len, texts)) + self.request.memory + self.response.memory

    def asked(self) -> Request:
        """The request.

        Raises:
            NoFormError: its body was not seen whole.
        """
        method, path, query, pairs, path_params = self.start
        headers = Headers(map(_text, pairs))
        if not self.request.is_complete:
            announced = _content_length(headers)
            if announced is None and "transfer-encoding" not in headers:
                announced = 0
            if self.request.size != announced:
                raise NoFormError(
                    "the service did not read a request's body to its end: the hook has not seen it"
                )
        return Request(method, path, query, headers, self.request.read(headers), path_params)

    def answered(self) -> Response:
        """What the service answered."""
        headers = Headers(map(_text, self.headers))
        return Response(self.status, headers, self.response.read(headers))


def _text(pair: tuple[Any, Any]) -> tuple[str, str]:
    """A header as text: ASGI has bytes; WSGI has text, and the names of a request's as CGI has them."""
    name, value = pair
    if isinstance(name, bytes):
        return name.decode("latin-1"), value.decode("latin-1")
    return name.removeprefix("HTTP_").replace("_", "-"), value


def _content_length(headers: Headers) -> int | None:
    length = headers.get("content-length")
    return int(length) if length else None
