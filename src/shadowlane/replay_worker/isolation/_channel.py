"""Between the replay and a model's process: a message is some JSON and, where needed, a batch of columns.

What comes from the model's process is not trusted: its size is bounded, its columns are validated, and
neither a pickle nor an object crosses. Nor does a process that stands still in mid-message hold the other.
"""

from __future__ import annotations

import json
import socket
import struct
from multiprocessing.connection import Connection
from typing import Any

import pyarrow as pa

_LENGTH = struct.Struct("<I")
_SECONDS = struct.Struct("ll")
_MOST_BYTES = 512 * 1024 * 1024
_BUFFER = 4 * 1024 * 1024


class ChannelError(Exception):
    """The other side is gone, stands still in mid-message, or says what nobody can read."""


class Channel:
    """One end of the line; used by one thread."""

    def __init__(self, end: socket.socket, patience: float | None = None) -> None:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        if patience is not None:
            for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
                end.setsockopt(socket.SOL_SOCKET, option, _SECONDS.pack(int(patience), 0))
        self._line = Connection(end.detach())

    def send(self, head: dict[str, Any], columns: pa.RecordBatch | None = None) -> None:
        """Send a message.

        Raises:
            ChannelError: nobody takes it.
        """
        text = json.dumps(head).encode()
        body = _written(columns) if columns is not None else b""
        try:
            self._line.send_bytes(b"".join((_LENGTH.pack(len(text)), text, body)))
        except (OSError, ValueError) as error:
            raise ChannelError(f"sending: {error}") from error

    def receive(self) -> tuple[dict[str, Any], pa.RecordBatch | None]:
        """Wait for a message.

        Raises:
            ChannelError: none comes, or none that can be read.
        """
        try:
            message = self._line.recv_bytes(_MOST_BYTES)
            (size,) = _LENGTH.unpack_from(message)
            start = _LENGTH.size + size
            head = dict(json.loads(message[_LENGTH.size : start]))
            return head, _read(memoryview(message)[start:]) if len(message) > start else None
        except (OSError, EOFError, ValueError, TypeError, struct.error, pa.ArrowException) as error:
            raise ChannelError(f"receiving: {type(error).__name__}: {error}") from error

    def poll(self, seconds: float) -> bool:
        """Whether there is something to receive (the other side's end, too), within so long."""
        try:
            return self._line.poll(seconds)
        except OSError:
            return True

    def fileno(self) -> int:
        """The line's descriptor."""
        return self._line.fileno()

    def close(self) -> None:
        """Hang up."""
        self._line.close()


def _written(columns: pa.RecordBatch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, columns.schema) as writer:
        writer.write_batch(columns)
    return sink.getvalue()


def _read(data: memoryview) -> pa.RecordBatch:
    with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
        batch = reader.read_next_batch()
    batch.validate(full=True)
    return batch
