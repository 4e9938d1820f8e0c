"""Where a model's process is in its batch, in memory that outlives it: what was it asked when it died?"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from typing import NamedTuple, Self

_SIZE = mmap.PAGESIZE
_WORDS = struct.Struct("<qqq")
_ENOUGH_AT = 16

#: In place of a row's number: several or all are asked at once; inputs are being made; nothing is asked;
#: answers are read and handed on. None of these says whose fault a death is.
TOGETHER, PREPARING, IDLE, READING = -1, -2, -3, -4


class Place(NamedTuple):
    """Where it is: the row that is asked about (or one of the words above), and how many were finished."""

    row: int
    beats: int


class Progress:
    """Two numbers written by the model's process, and a wish that the replay writes: enough."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def create(cls) -> Self:
        """A new one, in a file without a name; in memory where that can be, as models fill disks."""
        if hasattr(os, "memfd_create"):
            progress = cls(os.memfd_create("shadowlane-progress"))
        else:
            with tempfile.TemporaryFile() as file:
                progress = cls(os.dup(file.fileno()))
        os.ftruncate(progress.descriptor, _SIZE)
        progress.reset()
        return progress

    def reset(self) -> None:
        """Nobody is asked anything. By calls here and below: the other side may have cut the file."""
        os.pwrite(self.descriptor, _WORDS.pack(IDLE, 0, 0), 0)

    def enough(self) -> None:
        """Wish that the other side hands on what it has, and leaves the rest."""
        os.pwrite(self.descriptor, (1).to_bytes(8, "little"), _ENOUGH_AT)

    def read(self) -> Place:
        """What was written last."""
        data = os.pread(self.descriptor, _WORDS.size, 0)
        row, beats, _ = _WORDS.unpack(data) if len(data) == _WORDS.size else (IDLE, 0, 0)
        return Place(row, beats)

    def close(self) -> None:
        """Let go of it; whoever asks after that gets an error, and not what another file says."""
        descriptor, self.descriptor = self.descriptor, -1
        os.close(descriptor)


class Marker:
    """The other end, in the model's process."""

    def __init__(self, descriptor: int) -> None:
        memory = mmap.mmap(descriptor, _SIZE)
        if hasattr(mmap, "MADV_DONTFORK"):  # a forked copy of the process that goes on in our code ends there
            memory.madvise(mmap.MADV_DONTFORK)
        self._words = memoryview(memory).cast("q")

    def at(self, row: int) -> None:
        """The model is asked about this row now."""
        self._words[0] = row

    def beat(self) -> None:
        """One of several that are asked at once is finished."""
        self._words[1] += 1

    def is_enough(self) -> bool:
        """Whether the replay wishes what there is."""
        return self._words[2] != 0
