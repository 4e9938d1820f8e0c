"""Whether what is read follows on what was read before it: a position may only pass what was seen.

One offset that is not there is a transaction's marker. More than one is an aborted transaction, as a rule.
But it would look the same if the client passed over messages, and the lake's position would pass over them
for good: so they are looked for a second time before they are believed not to be there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

log = logging.getLogger(__name__)

Key = tuple[str, int]


class Following(NamedTuple):
    """Which of some messages follow on what was read (a slice), and whether the next one is in doubt."""

    start: int
    stop: int
    in_doubt: bool


class Continuity:
    """Knows, by partition, after which offset too much was missing, and what came then."""

    def __init__(self) -> None:
        self._doubts: dict[Key, tuple[int, int]] = {}

    def follow(self, key: Key, expected: int, offsets: Sequence[int]) -> Following:
        """Sort out the offsets of messages that were read together, where this one was expected."""
        column = np.array(offsets, np.int64)
        start = int(np.searchsorted(column, expected))  # what is before it was read already
        if start == len(column):
            return Following(start, start, in_doubt=False)
        steps = np.diff(column[start:], prepend=expected - 1)
        for jump in np.flatnonzero(steps > 2).tolist():  # noqa: PLR2004 - one marker and the next message
            at = expected if jump == 0 else int(column[start + jump - 1]) + 1
            if not self.allows(key, at, int(column[start + jump])):
                return Following(start, start + jump, in_doubt=True)
        if steps[0] <= 2:  # noqa: PLR2004
            self._found(key, expected)
        return Following(start, len(column), in_doubt=False)

    def allows(self, key: Key, expected: int, offset: int) -> bool:
        """Whether reading may go on at an offset; if not, it is to be read again from the one expected."""
        if offset <= expected + 1:
            return True
        at, came = self._doubts.pop(key, (-1, -1))
        if at == expected and offset <= came + 1:
            return True
        self._doubts[key] = (expected, offset)
        return False

    def _found(self, key: Key, offset: int) -> None:
        """It is there after all."""
        at, came = self._doubts.get(key, (-1, -1))
        if at == offset:
            del self._doubts[key]
            log.warning("%s[%d]: offsets from %d to %d were passed over; read after all", *key, at, came)
