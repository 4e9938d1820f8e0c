"""Between the replay and a model's process: a message is some JSON and, where needed, a batch of columns.

What comes from the model's process is not trusted: its size is bounded, its columns are validated, and
neither a pickle nor an object crosses. Nor does a process that stands still in mid-message hold the other.
"""

from __future__ import annotations

import json
import select
import socket
import struct
from collections.abc import Mapping
from time import monotonic
from typing import Any

import pyarrow as pa

# A word that noise does not begin with, then how long the JSON is, and how long the columns.
_HEAD = struct.Struct("<4sIQ")
_WORD = b"slm1"
_SECONDS = struct.Struct("ll")
_MOST_TEXT = 64 * 1024 * 1024
_BUFFER = 4 * 1024 * 1024


class ChannelError(Exception):
    """The other side is gone, stands still in mid-message, or says what nobody can read."""


class Channel:
    """One end of the line; used by one thread."""

    def __init__(
        self, end: socket.socket, *, patience: float | None = None, most_bytes: int | None = None
    ) -> None:
        """Take the end over.

        Args:
            end: The socket.
            patience: How many seconds a message may take from its first byte to its last; None: any time.
            most_bytes: How large a message's columns may be; None: any size.
        """
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        if patience is not None:  # by the kernel: a timeout of Python's costs a call more at each read
            for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
                end.setsockopt(socket.SOL_SOCKET, option, _SECONDS.pack(max(1, int(patience)), 0))
        self._end, self._patience, self._most = end, patience, most_bytes
        self._waiting = select.poll()
        self._waiting.register(end, select.POLLIN)

    def send(self, head: dict[str, Any], columns: pa.RecordBatch | None = None) -> None:
        """Send a message.

        Raises:
            ChannelError: nobody takes it.
        """
        text = json.dumps(head).encode()
        body = _written(columns) if columns is not None else b""
        try:
            self._end.sendall(_HEAD.pack(_WORD, len(text), len(body)) + text)
            self._end.sendall(body)
        except (OSError, ValueError) as error:
            raise ChannelError(f"sending: {error}") from error

    def receive(
        self, schemas: Mapping[str, pa.Schema] | None = None
    ) -> tuple[dict[str, Any], pa.RecordBatch | None]:
        """Wait for a message; where schemas are given, only these kinds of messages bring columns, and these.

        Columns of a given schema are looked through to their last byte; without one the sender is trusted.

        Raises:
            ChannelError: none comes, or none that can be read.
        """
        try:
            word, text, body = _HEAD.unpack(self._read(_HEAD.size))
            if word != _WORD or text > _MOST_TEXT or (self._most is not None and body > self._most):
                raise ChannelError("receiving: noise, or more than is taken")
            head = json.loads(self._read(text))
            if not isinstance(head, dict):
                raise ChannelError("receiving: a message without a head")
            wanted = None if schemas is None else schemas.get(str(head.get("is")), pa.schema([]))
            return head, _columns(self._read(body), wanted) if body else None
        # A RecursionError is JSON's way of saying that it is nested too deeply.
        except (OSError, EOFError, ValueError, TypeError, MemoryError, RecursionError) as error:
            raise ChannelError(f"receiving: {type(error).__name__}: {error}") from error
        except pa.ArrowException as error:
            raise ChannelError(f"receiving: {type(error).__name__}: {error}") from error

    def poll(self, seconds: float) -> bool:
        """Whether there is something to receive (the other side's end, too), within so long."""
        return bool(self._waiting.poll(int(seconds * 1000)))

    def close(self) -> None:
        """Hang up."""
        self._end.close()

    def _read(self, size: int) -> bytearray:
        """So many bytes; each wait for some is bounded by the kernel, and all together here."""
        data = bytearray(size)
        rest, begun = memoryview(data), monotonic()
        while rest:
            count = self._end.recv_into(rest)
            if not count:
                raise EOFError("the other side hung up")
            rest = rest[count:]
            if rest and self._patience is not None and monotonic() - begun > self._patience:
                raise TimeoutError("the other side stands still")
        return data


def _written(columns: pa.RecordBatch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, columns.schema) as writer:
        writer.write_batch(columns)
    return sink.getvalue()


def _columns(data: bytearray, schema: pa.Schema | None) -> pa.RecordBatch:
    with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
        if schema is not None and not reader.schema.equals(schema):
            raise ValueError("the columns are others than they must be")
        batch = next(reader, None)
    if batch is None:
        raise ValueError("no columns where there must be some")
    if schema is not None:
        batch.validate(full=True)
    return batch
