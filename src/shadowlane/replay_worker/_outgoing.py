"""Messages on their way to Kafka."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from confluent_kafka import Message

#: The largest message that is sent; the topics take 8 MiB.
MAX_VALUE_BYTES = 7_500_000


class Outgoing(NamedTuple):
    """What goes to one topic: for each message its value, key and time."""

    topic: str
    messages: list[tuple[bytes, bytes | None, int]]


def outgoing(topic: str, sources: Iterable[Message], values: Iterable[bytes]) -> Outgoing:
    """Results under the keys and times of the requests that they came of."""
    return Outgoing(
        topic,
        [(value, source.key(), source.timestamp()[1]) for source, value in zip(sources, values, strict=True)],
    )
