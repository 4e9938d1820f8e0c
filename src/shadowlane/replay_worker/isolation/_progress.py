"""Where a model's process is in its batch, in memory that outlives it: what was it asked when it died?"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable
from typing import Self

_SIZE = mmap.PAGESIZE
_WIDTH = 8
IDLE = -3


class Progress:
    """One number, written by the model's process and read by the replay."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def create(cls) -> Self:
        """A new one, in a file without a name."""
        with tempfile.TemporaryFile() as file:
            file.truncate(_SIZE)
            progress = cls(os.dup(file.fileno()))
        progress.reset()
        return progress

    def writer(self) -> Callable[[int], None]:
        """What the model's process calls with each row that the model is asked about."""
        words = memoryview(mmap.mmap(self.descriptor, _SIZE)).cast("q")

        def write(row: int) -> None:
            words[0] = row

        return write

    def reset(self) -> None:
        """Nobody is asked anything. By calls here and below: the other side may have cut the file."""
        os.pwrite(self.descriptor, IDLE.to_bytes(_WIDTH, "little", signed=True), 0)

    def read(self) -> int:
        """What was written last."""
        data = os.pread(self.descriptor, _WIDTH, 0)
        return int.from_bytes(data, "little", signed=True) if len(data) == _WIDTH else IDLE

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)
