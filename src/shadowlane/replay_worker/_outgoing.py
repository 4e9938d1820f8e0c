"""Messages on their way to Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

#: The largest message that is sent; the topics take 8 MiB.
MAX_VALUE_BYTES = 7_500_000


class Origin(Protocol):
    """What a result came of: a Kafka message, or an `Envelope` made for it."""

    def key(self) -> bytes | None:
        """The key it is sent under."""
        ...

    def timestamp(self) -> tuple[int, int]:
        """The time it is sent with: its kind and its milliseconds."""
        ...


class Envelope(NamedTuple):
    """Key and time of what came of no message."""

    under: bytes | None
    milliseconds: int

    def key(self) -> bytes | None:
        """The key."""
        return self.under

    def timestamp(self) -> tuple[int, int]:
        """The time."""
        return 1, self.milliseconds


class Outgoing(NamedTuple):
    """What goes to one topic: each value under the key and time of the request that it came of."""

    topic: str
    sources: Sequence[Origin]
    values: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.values)
