"""A request and its answer as the service's own functions get them: small, complete, immutable."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from shadowlane.schemas import NoFormError

#: What `max_body` is where nobody says: a JSON body of 20 features has less than 1 KiB.
MAX_BODY = 1024 * 1024


class Headers(Mapping[str, str]):
    """Headers, whose names are the same in upper and lower case; those sent twice are joined by commas."""

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, str] = {}
        for given, value in pairs:
            name = given.lower()
            self._values[name] = f"{self._values[name]}, {value}" if name in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class _Message:
    """What a request and a response have in common."""

    body: bytes

    def json(self) -> Any:
        """The body, read as JSON."""
        return self._json

    @cached_property
    def _json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Request(_Message):
    """A request.

    Attributes:
        method: In capitals.
        path: Below where the app is mounted, as its routes name it.
        query: What follows the `?`, as it was sent.
        headers: By name, in any case.
        body: All of it, decompressed.
        path_params: What the path has for the `{names}` of the middleware's `path`.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=Headers)
    body: bytes = b""
    path_params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Response(_Message):
    """What the service answered.

    Attributes:
        status: From 200 to 299: others are not published.
        headers: By name, in any case.
        body: All of it, decompressed.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=Headers)
    body: bytes = b""


def decompressed(body: bytes, encoding: str, most: int) -> bytes:
    """A body without its Content-Encoding, which is what a header says.

    Raises:
        NoFormError: the standard library does not know the encoding, or the body becomes too large.
    """
    for name in reversed([name.strip().lower() for name in encoding.split(",")]):
        if name in ("", "identity"):
            continue
        if name not in ("gzip", "x-gzip", "deflate"):
            raise NoFormError(
                "a body is compressed with something other than gzip or deflate, which the hook cannot "
                "read: put its middleware inside the one that compresses"
            )
        body = _inflated(body, most + 1) if name == "deflate" else _gunzipped(body, most + 1)
        if len(body) > most:
            raise NoFormError(f"a compressed body is larger than max_body, which is {most} bytes")
    return body


def _gunzipped(body: bytes, most: int) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
        return file.read(most)


def _inflated(body: bytes, most: int) -> bytes:
    """With the header of zlib, as the standard has it, or bare, as some senders do."""
    try:
        return zlib.decompressobj().decompress(body, most)
    except zlib.error:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, most)
