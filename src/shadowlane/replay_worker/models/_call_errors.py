"""Calls to something outside: the mark that they bear, and how they fail."""

from __future__ import annotations

from shadowlane.errors import ModelError

#: On each call that is made for a shadow, so that nothing is counted twice.
SHADOW_HEADER = "X-Shadowlane-Shadow"


class CallError(ModelError):
    """A call failed, after so many attempts; `stage` is where its row in `shadow-errors` puts it."""

    def __init__(self, message: str, *, attempts: int = 1, stage: str = "predict") -> None:
        super().__init__(message)
        self.attempts, self.stage = attempts, stage


class CallTimeoutError(CallError):
    """No answer within the time limit."""

    def __init__(self, message: str, *, attempts: int = 1, stage: str = "timeout") -> None:
        super().__init__(message, attempts=attempts, stage=stage)


class UnavailableError(CallError):
    """Nobody is there to be asked: no fault of the request, which is to be asked again later."""
