"""A lake that cannot be written for now: when to try again, when to give up, and what is said of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from random import uniform
from time import monotonic

from shadowlane.aggregator._landings import Landings
from shadowlane.errors import LakeUnavailableError

log = logging.getLogger(__name__)

_FIRST_SECONDS, _MOST_SECONDS = 1.0, 30.0
_REMIND_SECONDS = 600.0


class Outage:
    """From the first failure of the lake to the next time that something lands."""

    def __init__(self, landings: Landings, patience: float, clock: Callable[[], float] = monotonic) -> None:
        self._landings, self._patience, self._clock = landings, patience, clock
        self._since = self._counted = self._said = self._again = 0.0
        self._wait = _FIRST_SECONDS
        self._trying = False
        self.error: LakeUnavailableError | None = None

    @property
    def waiting(self) -> bool:
        """Whether nothing is to be tried yet; once it is, nobody waits until the next failure."""
        now = self._clock()
        if self.error is None:
            return False
        self._count(now)
        self._trying = self._trying or now >= self._again
        return not self._trying

    def tried_for(self, seconds: float) -> bool:
        """Whether reading has gone on for so long: time to see whether it can land."""
        return self.error is not None and self._trying and self._clock() - self._again >= seconds

    @property
    def reason(self) -> str | None:
        """Why nothing lands, in a word."""
        return None if self.error is None else self.error.reason

    def fail(self, error: LakeUnavailableError) -> None:
        """The lake failed, for the first time or again.

        Raises:
            LakeUnavailableError: it has for as long as we were told to wait.
        """
        now, before = self._clock(), self.error
        if before is None:
            self._since = self._counted = now
            self._wait = _FIRST_SECONDS
        self._count(now)
        self.error, self._trying = error, False
        if now - self._since >= self._patience:
            raise LakeUnavailableError(
                f"gave up after {now - self._since:.0f} s without a lake: {error}. Nothing is lost: the next "
                "start reads on where the lake is",
                reason=error.reason,
            ) from error
        if before is None or before.reason != error.reason:
            self._landings.pauses[error.reason] += 1
            log.error("paused: %s. Nothing is lost; trying again until it works", error)
            self._said = now
        elif now - self._said >= _REMIND_SECONDS:
            log.error("still paused after %.0f s: %s", now - self._since, error)
            self._said = now
        self._again = now + min(self._wait, max(0.1, self._since + self._patience - now)) * uniform(0.5, 1.0)  # noqa: S311 - it only spreads out
        self._wait = min(_MOST_SECONDS, 2 * self._wait)

    def end(self) -> None:
        """Something landed, or nothing waits to land."""
        if self.error is not None and self._trying:
            now = self._clock()
            self._count(now)
            log.warning("going on after a pause of %.0f s: the lake can be written again", now - self._since)
            self.error = None

    def _count(self, now: float) -> None:
        if self.error is not None:
            self._landings.paused_seconds[self.error.reason] += now - self._counted  # type: ignore[assignment]
            self._counted = now
