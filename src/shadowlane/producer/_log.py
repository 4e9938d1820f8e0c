"""What a hook says in the log: each thing once, from the background thread."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

from shadowlane.errors import ShadowlaneError
from shadowlane.schemas import NoFormError

logger = logging.getLogger("shadowlane.producer")

_MOST = 50
_LONGEST = 500
_SECOND = 1.0


class Log:
    """Says each thing once, and of many different things only the first."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def once(self, text: str) -> None:
        """Warn, unless this was said before."""
        if text in self._said or len(self._said) >= _MOST:
            return
        self._said.add(text)
        _warn("%s", text)
        if len(self._said) == _MOST:
            _warn("%d different warnings of the hook so far; it says no more", _MOST)

    def change(self, text: str) -> None:
        """Warn of a change of state, also of one that came before."""
        _warn("%s", text)


class DropWatch:
    """Says when a full queue begins to cost requests, and when that is over."""

    def __init__(self, queue_size: int, queue_bytes: int) -> None:
        self._queue_size, self._queue_bytes = queue_size, queue_bytes
        self._dropping = False
        self._last = 0
        self._next_look = 0.0

    def look(self, dropped: int, now: float) -> None:
        """Compare with the last look; at most once a second."""
        if now < self._next_look:
            return
        self._next_look = now + _SECOND
        more = dropped > self._last
        if more and not self._dropping:
            room = f"{self._queue_size} requests or {self._queue_bytes / 2**20:.3g} MiB"
            _warn("the hook's queue of %s is full: it drops requests", room)
        elif self._dropping and not more:
            _warn("the hook's queue has room again; %d requests were dropped so far", dropped)
        self._dropping, self._last = more, dropped


def _warn(text: str, *values: object) -> None:
    """A handler or filter of the service's that raises must not end the thread that warns."""
    with suppress(Exception):
        logger.warning(text, *values)


def described(error: BaseException, *, names: bool = True) -> str:
    """An error for the log: what shadowlane itself says, and of any other its type and place.

    The text of a foreign error may hold a value of the caller's: a UnicodeEncodeError holds the text that
    it met, a KeyError the key, and a service's own error whatever it was given.

    Args:
        error: The error.
        names: Whether names of features may be said; not those that redaction may still drop.
    """
    name = type(error).__name__
    if isinstance(error, ShadowlaneError) or (names and isinstance(error, NoFormError)):
        return f"{name}: {str(error)[:_LONGEST]}"
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return f"{name} in {place.tb_frame.f_globals.get('__name__')}:{place.tb_lineno}" if place else name


class FailWatch:
    """Says when messages of a kind begin to fail, and why, and when they are delivered again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.delivered = 0
        self._failing = False
        self._failed = self._failed_then = self._delivered_then = 0
        self._next_look = 0.0

    def failed(self, why: str) -> None:
        """One failed."""
        self._failed += 1
        if not self._failing:
            self._failing = True
            _warn("%s", why)

    def look(self, now: float | None = None) -> None:
        """Compare with the last look; at most once a second, and only while they fail."""
        if not self._failing:
            return
        now = time.monotonic() if now is None else now
        if now < self._next_look:
            return
        self._next_look = now + _SECOND
        if self._failed == self._failed_then and self.delivered > self._delivered_then:
            self._failing = False
            _warn("%s are delivered again; %d failed so far", self._what, self._failed)
        self._failed_then, self._delivered_then = self._failed, self.delivered
