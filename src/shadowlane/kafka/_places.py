"""Where a consumed message lies."""

from __future__ import annotations

from confluent_kafka import Message

from shadowlane.errors import Place


def place_of(message: Message) -> Place:
    """The message's topic, partition and offset."""
    return Place(message.topic() or "", message.partition() or 0, message.offset() or 0)
