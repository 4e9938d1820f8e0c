"""How fast a window is replayed. Pure: the clock comes in as an argument."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Literal, Protocol, Self, TypeVar

from shadowlane.errors import SettingsError

_TIMES = re.compile(r"(\d+(?:\.\d+)?)[x×]", re.IGNORECASE)  # noqa: RUF001 - people type both
_PER_SECOND = re.compile(r"(\d+(?:\.\d+)?)/s", re.IGNORECASE)
# A partition that is so far ahead of its time is not read for a while.
_AHEAD, _AHEAD_NO_MORE = 1_000, 200
_ROUNDING = 1e-6


class Timed(Protocol):
    """What a pace needs to know of a message."""

    def partition(self) -> int | None:
        """Which partition it lies in."""
        ...

    def timestamp(self) -> tuple[int, int]:
        """The kind of its time, and its milliseconds."""
        ...


@dataclass(frozen=True, slots=True)
class Speed:
    """As fast as it goes, so many times the pace at which the requests came, or so many a second."""

    kind: Literal["max", "original", "rate"] = "max"
    factor: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """A speed as it is written: max, original, 10x, 500/s.

        Raises:
            SettingsError: it is none.
        """
        given = text.strip().lower()
        if given in ("max", "original"):
            return cls("max" if given == "max" else "original")
        for kind, pattern in (("original", _TIMES), ("rate", _PER_SECOND)):
            match = pattern.fullmatch(given)
            if match and 0 < float(match[1]) < math.inf:
                return cls("rate" if kind == "rate" else "original", float(match[1]))
        raise SettingsError(
            f"speed {text!r}: write max, original, 10x (ten times the original pace) or 500/s (each second)"
        )

    def share(self, part: float) -> Self:
        """The speed of a worker that has this part of the messages."""
        return replace(self, factor=self.factor * part) if self.kind == "rate" else self

    def __str__(self) -> str:
        if self.kind == "rate":
            return f"{self.factor:g}/s"
        return "max" if self.kind == "max" else "original" if self.factor == 1 else f"{self.factor:g}x"


class Allowance:
    """So many requests a second: what is not used within a second is not saved up."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate, self._then, self._left = rate, now, 1.0

    def room(self, now: float) -> int:
        """How many requests may be asked about now."""
        most = max(self._rate, 1.0)
        self._left = min(most, self._left + (now - self._then) * self._rate)
        self._then = now
        return max(0, int(self._left + _ROUNDING))

    def spend(self, requests: int) -> None:
        """So many were asked about: where they were more than there was room for, others wait longer."""
        self._left -= requests


Held = TypeVar("Held", bound=Timed)


class Schedule(Generic[Held]):
    """Holds messages back until as much time has passed as passed between them when they came."""

    def __init__(self, factor: float, origin_ms: int, now: float) -> None:
        self._factor, self._origin, self._began = factor, origin_ms, now
        self._waiting: dict[int, deque[Held]] = {}

    def due(self, milliseconds: int) -> float:
        """When a message of this time goes on."""
        return self._began + (milliseconds - self._origin) / 1000 / self._factor

    def add(self, messages: Iterable[Held]) -> None:
        """Hold these back."""
        for message in messages:
            self._waiting.setdefault(message.partition() or 0, deque()).append(message)

    def release(self, size: int, now: float) -> list[Held]:
        """Those whose time has come, so many at most; in the order in which they lie in their partition."""
        out: list[Held] = []
        for queue in self._waiting.values():
            while queue and len(out) < size and self.due(queue[0].timestamp()[1]) <= now:
                out.append(queue.popleft())
        return out

    def forget(self, partitions: Iterable[int]) -> None:
        """These are read again."""
        for partition in partitions:
            self._waiting.pop(partition, None)

    def ahead(self) -> set[int]:
        """The partitions that hold enough for a while."""
        return {partition for partition, queue in self._waiting.items() if len(queue) >= _AHEAD}

    def hungry(self, among: Sequence[int] | set[int]) -> set[int]:
        """Which of these hold little again."""
        return {each for each in among if len(self._waiting.get(each, ())) <= _AHEAD_NO_MORE}

    def __len__(self) -> int:
        """How many are held back."""
        return sum(map(len, self._waiting.values()))

    @property
    def partitions(self) -> set[int]:
        """Of which something is held back."""
        return {partition for partition, queue in self._waiting.items() if queue}
