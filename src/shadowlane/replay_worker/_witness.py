"""What a worker shows while it runs: its pulse, its tally now and then, lines in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from shadowlane.health import Pulse
from shadowlane.replay_worker._standing import ROUND_SECONDS
from shadowlane.replay_worker._tally import Tally

log = logging.getLogger(__name__)

_SHOW_SECONDS = 1.0
_SAY_SECONDS = 10.0


class Witness:
    """Called by the loop once a round; `show` is handed the tally, which goes on changing: it copies."""

    def __init__(self, worker_id: str, pulse: Pulse, show: Callable[[Tally], None]) -> None:
        self.worker_id, self.pulse, self._show = worker_id, pulse, show
        #: What the loop has done; None until all is loaded and Kafka has let us in.
        self.tally: Tally | None = None
        self._next_show, self._next_say = 0.0, monotonic() + _SAY_SECONDS
        self._said = 0

    def tick(self, tally: Tally) -> None:
        """A round begins."""
        self.tally = tally
        self.pulse.expect(ROUND_SECONDS)
        now = monotonic()
        if now >= self._next_show:
            self._next_show = now + _SHOW_SECONDS
            self.show()
        if now >= self._next_say and tally.requests != self._said:
            self._next_say = now + _SAY_SECONDS
            self._said = tally.requests
            log.info("worker %s replayed so far %s", self.worker_id, in_words(tally))

    def show(self) -> None:
        """As it is now."""
        if self.tally is not None:
            self._show(self.tally)


def in_words(tally: Tally) -> str:
    """What a tally comes to, for people."""
    return f"{tally.requests:,} requests: {tally.compared:,} compared, {tally.failed:,} errors"
