"""A value that no print, log or error may show."""

from __future__ import annotations

MASK = "***"


class Secret:
    """Text that shows itself only to those who ask with `reveal()`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself: for the client library, never for a message."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def scrub(text: str, secrets: list[Secret]) -> str:
    """The text with each of the secrets in it masked."""
    for secret in sorted((s.reveal() for s in secrets), key=len, reverse=True):
        if secret:
            text = text.replace(secret, MASK)
    return text
