"""Lines in the log for requests that became errors: how many, and where the first one lies."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from shadowlane.errors import Place

log = logging.getLogger(__name__)

_SECONDS = 10.0


class Fault(NamedTuple):
    """A message that became an error: where it lies, and what failed. Never what stands in it."""

    place: Place
    stage: str
    error_type: str


class Complaints:
    """Says what failed since it last said so, a line every ten seconds at most; the first at once."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._next = -1.0
        self._stages: Counter[str] = Counter()
        self._first: Fault | None = None

    def add(self, stages: Counter[str], first: Fault | None) -> None:
        """These failed in a batch."""
        self._stages += stages
        self._first = self._first or first
        if self._clock() >= self._next:
            self.say()

    def say(self) -> None:
        """Say what there is to say."""
        if self._first is None:
            return
        stages = ", ".join(f"{stage} {count:,}" for stage, count in self._stages.most_common())
        place, stage, error_type = self._first
        log.warning(
            "requests that became errors: %s; the first at %s (%s)",
            stages,
            place,
            error_type,
            extra={
                "topic": place.topic,
                "partition": place.partition,
                "offset": place.offset,
                "stage": stage,
                "error_type": error_type,
            },
        )
        self._stages, self._first, self._next = Counter(), None, self._clock() + _SECONDS
