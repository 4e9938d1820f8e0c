"""How an aggregator stands: what /livez, /readyz and /metrics are drawn from.

The loop writes it and the threads that answer read it: each value is replaced whole.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ctypes import c_double
from dataclasses import dataclass, field

from shadowlane.aggregator._ends import Goal
from shadowlane.aggregator._landings import Landings
from shadowlane.aggregator._outage import Outage
from shadowlane.aggregator._share import Key, Share
from shadowlane.health import Pulse, View

# A commit to an object store that throttles is tried again by its client, for minutes.
ROUND_SECONDS = 600.0


@dataclass(slots=True)
class Standing:
    """How it stands."""

    landings: Landings
    pulse: Pulse = field(default_factory=lambda: Pulse(c_double()))
    #: Whether the group has let us in.
    joined: bool = False
    #: Why nothing can land, and that reason in a word.
    paused: str | None = None
    reason: str | None = None
    stopping: bool = False
    #: By topic and partition: the next offset to land, and how many are between it and the log's end.
    positions: Mapping[Key, int] = field(default_factory=dict)
    lags: Mapping[Key, int] = field(default_factory=dict)

    def update(self, share: Share, waiting: Collection[Key], outage: Outage, goal: Goal | None) -> None:
        """How it stands after a round."""
        self.joined = share.joined
        self.paused, self.reason = (str(outage.error), outage.reason) if outage.error else (None, None)
        self.positions = {
            key: share.landed(key) if key in waiting else max(0, reached)
            for key, reached in share.reached.items()
        }
        self.lags = {key: max(0, end - self.positions[key]) for key, end in share.ends().items()}
        if goal is not None:
            self.landings.progress = goal.progress(share.reached)

    @property
    def view(self) -> View:
        """What is answered from it."""
        late = self.pulse.overdue
        stuck = [f"the loop stands still, {late:.0f} s past its limit"] if late > 0 else []
        unready = [why for why in (self._unready, *stuck) if why]
        return View(stuck, unready, self._metrics)

    @property
    def _unready(self) -> str | None:
        if self.stopping:
            return "was told to stop"
        if self.paused:
            return f"paused: {self.paused}"
        return None if self.joined else "the group has not given it its partitions yet"

    def _metrics(self, accept: str) -> tuple[bytes, str]:
        from shadowlane.aggregator._metrics import exposed  # noqa: PLC0415 - an extra brings its package

        return exposed(self, accept)
