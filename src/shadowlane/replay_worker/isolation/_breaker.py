"""A model's process that keeps dying is started again more and more slowly."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

log = logging.getLogger(__name__)

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 30.0
# One death now and then is what isolation is for.
_FREE = 2


class Breaker:
    """Counts deaths without a batch answered in between."""

    def __init__(self, wait: Callable[[float], object]) -> None:
        self._wait = wait
        self._deaths = 0

    def died(self) -> None:
        """It died."""
        self._deaths += 1

    def lived(self) -> None:
        """It answered all that it was asked."""
        self._deaths = 0

    def rest(self) -> None:
        """Before it is started again."""
        if self._deaths > _FREE:
            seconds = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** (self._deaths - _FREE - 1))
            log.warning(
                "the model's process died %d times with nothing answered in between; starting it in %.0f s",
                *(self._deaths, max(1.0, seconds)),
            )
            self._wait(seconds * random.uniform(0.75, 1.25))  # noqa: S311 - so that a fleet does not march in step
