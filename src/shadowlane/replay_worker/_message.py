"""Messages that come from no consumer, for the loop that takes them from one."""

from __future__ import annotations


class ArchivedMessage:
    """A message as a consumer hands it out, but for its headers; an archive or a file held it."""

    __slots__ = ("_key", "_milliseconds", "_offset", "_partition", "_topic", "_value")

    def __init__(
        self, topic: str, partition: int, offset: int, key: str, milliseconds: int, value: bytes
    ) -> None:
        self._topic, self._partition, self._offset = topic, partition, offset
        self._key, self._milliseconds, self._value = key, milliseconds, value

    def topic(self) -> str:
        """Where it lay."""
        return self._topic

    def partition(self) -> int:
        """In which partition."""
        return self._partition

    def offset(self) -> int:
        """At which offset."""
        return self._offset

    def key(self) -> bytes:
        """The key that the hook sends it under."""
        return self._key.encode()

    def value(self) -> bytes:
        """The request, framed."""
        return self._value

    def timestamp(self) -> tuple[int, int]:
        """The time that the hook sends it with: the request's."""
        return 1, self._milliseconds

    def error(self) -> None:
        """It is a message."""
