"""How the workers of a machine stand: what /livez, /readyz and /metrics are drawn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from shadowlane.health import View
from shadowlane.replay_worker._plan import WorkerPlan
from shadowlane.replay_worker._tally import Tally, total

#: Taking messages or sending results takes seconds; a worker that is away for longer stands still.
ROUND_SECONDS = 90.0


def start_seconds(plan: WorkerPlan) -> float:
    """The longest that a start takes: up to three models are loaded, and Kafka is asked to let us in."""
    return 3 * plan.isolation.load_seconds + 2 * ROUND_SECONDS


@dataclass(frozen=True, slots=True)
class Standing:
    """How one worker stands."""

    worker_id: str
    #: None until its model is loaded.
    tally: Tally | None = None
    #: For how many seconds its loop has not moved although it said that it would.
    overdue: float = 0.0
    stopping: bool = False

    @property
    def stuck(self) -> str | None:
        """Why it is not alive."""
        if self.overdue <= 0:
            return None
        return f"worker {self.worker_id}: its loop stands still, {self.overdue:.0f} s past its limit"

    @property
    def unready(self) -> str | None:
        """Why it does not replay."""
        if self.stopping:
            return f"worker {self.worker_id}: was told to stop"
        if self.tally is None:
            return f"worker {self.worker_id}: still starting (its model, or its way to Kafka)"
        if self.tally.waiting is None:
            return f"worker {self.worker_id}: the group has not given it its partitions yet"
        return self.stuck


@dataclass(frozen=True, slots=True)
class Overview:
    """How the workers of this machine stand."""

    plan: WorkerPlan
    standings: Sequence[Standing]
    #: What workers did whose process has ended.
    past: Tally = field(default_factory=Tally)
    #: How often a worker's process was started again, by cause.
    replaced: Counter[str] = field(default_factory=Counter)

    @property
    def whole(self) -> Tally:
        """What all of them have done."""
        return total([self.past, *(each.tally for each in self.standings if each.tally is not None)])

    @property
    def view(self) -> View:
        """What is answered from it."""

        def metrics(accept: str) -> tuple[bytes, str]:
            from shadowlane.replay_worker._metrics import exposed  # noqa: PLC0415 - an extra brings it

            return exposed(self, accept)

        stuck = [each.stuck for each in self.standings if each.stuck]
        return View(stuck, [each.unready for each in self.standings if each.unready], metrics)
