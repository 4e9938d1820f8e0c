"""Messages that were found and wait for their turn, whichever place they were found in."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from confluent_kafka import Message, TopicPartition

from shadowlane.replay_worker._replay import Outcome


class Queued:
    """What a source of single messages hands out; no offsets of any group move."""

    def __init__(self) -> None:
        self._ready: deque[Message] = deque()
        #: How many were handed out and not given back.
        self.taken = 0

    def _handed_out(self, size: int) -> list[Message]:
        taken = [self._ready.popleft() for _ in range(min(size, len(self._ready)))]
        self.taken += len(taken)
        return taken

    def offsets(self, _taken: Sequence[Message], _outcome: Outcome) -> list[TopicPartition]:
        """None: the topics of results tell what was dealt with."""
        return []

    def group(self) -> Any:
        """None: no group's offsets move."""
        return None

    def go_back(self, rest: Sequence[Message]) -> None:
        """Hand these out again."""
        self._ready.extendleft(reversed(rest))
        self.taken -= len(rest)

    def rewind(self, batch: Sequence[Message]) -> None:
        """Hand these out again; what was sent after all is known by its identity, and counts once."""
        self.go_back(batch)
