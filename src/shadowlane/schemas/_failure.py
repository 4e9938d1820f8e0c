"""Why a request has no comparison, as `shadow-errors` says it."""

from __future__ import annotations

import traceback as tracebacks
from typing import NamedTuple, Self

_MESSAGE_LIMIT = 1_000
_TRACEBACK_LIMIT = 4_000


class Failure(NamedTuple):
    """Why a request has no comparison."""

    stage: str
    error_type: str
    message: str
    traceback: str | None = None
    attempts: int = 1

    @classmethod
    def of(cls, stage: str, error: BaseException, *, instead: str | None = None) -> Self:
        """From an exception, its texts cut to a size that any topic takes and fit to be encoded.

        Args:
            stage: Where it happened.
            error: The exception.
            instead: The message in place of the exception's own, of which nothing is said then.
        """
        if instead is None:
            message, lines = _said(error), tracebacks.format_exception(error)
        else:
            message, lines = instead, tracebacks.format_tb(error.__traceback__)
        return cls(
            stage,
            type(error).__name__,
            _encodable(message[:_MESSAGE_LIMIT]),
            _encodable("".join(lines)[-_TRACEBACK_LIMIT:]),
        )


def _said(error: BaseException) -> str:
    """An error's message, also of foreign code that cannot say it."""
    try:
        return str(error)
    except BaseException:
        return ""


def _encodable(text: str) -> str:
    """The text without what UTF-8 has no form for (a lone surrogate becomes a question mark)."""
    return text.encode("utf-8", "replace").decode("utf-8")
