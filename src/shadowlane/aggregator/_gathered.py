"""Messages of one topic that wait for a flush: kept as columns, since a Message object holds far more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from confluent_kafka import Message

from shadowlane.errors import Place


class Gathered:
    """Values, with their places and times, in the order in which they were read."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.values: list[bytes | None] = []
        self.partitions: list[int] = []
        self.offsets: list[int] = []
        self._times: list[int] = []
        #: How many bytes the values hold.
        self.size = 0

    def __len__(self) -> int:
        return len(self.values)

    def add(self, partition: int, messages: Sequence[Message], offsets: Sequence[int]) -> int:
        """Take more messages, of one partition, with their offsets; how many bytes they hold."""
        values = [message.value() for message in messages]
        self.values += values
        self.partitions += [partition] * len(messages)
        self.offsets += offsets
        self._times += [message.timestamp()[1] for message in messages]
        size = sum([len(value) for value in values if value is not None])  # a list is faster here
        self.size += size
        return size

    def in_order(self) -> Gathered:
        """By the messages' time, which is their event's: moving bytes is cheaper than moving columns."""
        order = np.argsort(np.array(self._times, np.int64), kind="stable").tolist()
        ordered = Gathered(self.topic)
        for column in ("values", "partitions", "offsets"):
            mine = getattr(self, column)
            setattr(ordered, column, [mine[index] for index in order])
        ordered.size = self.size
        return ordered

    def place(self, index: int) -> Place:
        """Where a message lies."""
        return Place(self.topic, self.partitions[index], self.offsets[index])
