"""The body of a WSGI request, looked at while the service reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from shadowlane.producer._exchange import Exchange
from shadowlane.producer._kept import Kept


class Input:
    """A `wsgi.input` that has what the server's has, and does what that does."""

    def __init__(self, stream: Any, exchange: Exchange) -> None:
        self._stream, self._exchange = stream, exchange
        self._lines: Iterator[bytes] | None = None

    def read(self, *size: Any) -> bytes:
        """Read some bytes, or all."""
        return self._seen(self._stream.read(*size), size)

    def readline(self, *size: Any) -> bytes:
        """Read a line, or a part of it."""
        line: bytes = self._stream.readline(*size)
        # Without a size, too, an end of the line is not the end of the body.
        return self._seen(line, size or (1,))

    def readlines(self, *hint: Any) -> list[bytes]:
        """Read lines."""
        lines: list[bytes] = self._stream.readlines(*hint)
        self._seen(b"".join(lines), hint)
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._lines is None:
            self._lines = iter(self._stream)
        line = next(self._lines, b"")
        self._seen(line, (1,))
        if not line:
            raise StopIteration
        return line

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._stream, name)
        if name == "read1":
            return lambda *size: self._seen(found(*size), (1,))
        if name in ("readinto", "readinto1"):
            return partial(self._read_into, found)
        if name in ("seek", "detach"):
            return partial(self._moved, found)
        return found

    def _read_into(self, readinto: Callable[[Any], int | None], buffer: Any) -> int | None:
        count = readinto(buffer)
        if count is not None:
            self._seen(bytes(memoryview(buffer)[:count]), (len(buffer),))
        return count

    def _moved(self, move: Callable[..., Any], *arguments: Any) -> Any:
        self._exchange.watch(_moved)
        return move(*arguments)

    def _seen(self, chunk: bytes, size: tuple[Any, ...]) -> bytes:
        self._exchange.watch(_received, chunk, size)
        return chunk


def _received(kept: Kept, chunk: bytes, size: tuple[Any, ...]) -> None:
    """What came of a request to read so much; without a size it is all that there is."""
    wanted = size[0] if size else None
    kept.request.add(chunk)
    if wanted is None or wanted < 0 or (not chunk and wanted):
        kept.request.is_complete = True


def _moved(kept: Kept) -> None:
    if not kept.request.is_complete:
        kept.passes_unseen("the service reads a request's body out of order: the hook cannot follow")
