"""A loop's word on when it will have moved again: past that, it stands still."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_double
from multiprocessing import sharedctypes
from time import monotonic
from typing import Protocol, Self


class Cell(Protocol):
    """A number that another process may see."""

    value: float


class Pulse:
    """When the loop will have moved again, by its own word: past that, it stands still.

    The clock is the machine's, the same for all its processes.
    """

    def __init__(self, cell: Cell, clock: Callable[[], float] = monotonic) -> None:
        self._cell, self._clock = cell, clock

    @classmethod
    def shared(cls) -> Self:
        """One that a process started with it writes, and this one reads."""
        return cls(sharedctypes.RawValue(c_double, 0.0))

    def expect(self, seconds: float) -> None:
        """The next sign of life comes within so long."""
        self._cell.value = self._clock() + seconds

    @property
    def overdue(self) -> float:
        """For how many seconds it has stood still beyond its word; 0 or less: it moves."""
        return self._clock() - self._cell.value
