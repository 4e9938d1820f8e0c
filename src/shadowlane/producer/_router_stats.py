"""What became of the requests that a shadow in this process was to answer, counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shadowlane.schemas import ShadowComparison, ShadowError

#: The error type of a request that found no room.
BUSY = "ShadowBusy"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterStats:
    """A router's counts in this process.

    taken = compared + the sum of errors + lost + waiting, at any time. Whether the comparisons and errors
    reached Kafka, `hook.stats().results` says.

    Attributes:
        taken: Requests that the hook took and the shadow was to answer.
        compared: Those that it answered.
        errors: Those that it did not, by stage: `predict`, `timeout`, `compare`, `oversize`.
        busy: Of the errors, those that found no room: the queue was full, or the shadow hung everywhere.
        lost: Those that have neither: the hook could not publish the request either (its ledger says
            `not_encodable`), or far too many found no room at once. The log says why.
        waiting: Those that wait, or that the shadow is busy with.
        not_run: Requests that came after `close`, or for which no thread could be had; they are not taken.
        hung: Slots that a shadow holds after its time was over.
    """

    taken: int = 0
    compared: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    busy: int = 0
    lost: int = 0
    waiting: int = 0
    not_run: int = 0
    hung: int = 0


class RouterCounts:
    """The counting itself; under its pool's lock."""

    def __init__(self) -> None:
        self.taken = self.compared = self.busy = self.lost = self.not_run = 0
        self._errors: dict[str, int] = {}
        self._errored = 0

    @property
    def waiting(self) -> int:
        """Requests that nothing became of yet."""
        return self.taken - self.compared - self._errored - self.lost

    def settle(self, event: ShadowComparison | ShadowError | None) -> None:
        """Count what a request became; None is nothing at all."""
        if event is None:
            self.lost += 1
        elif isinstance(event, ShadowComparison):
            self.compared += 1
        else:
            self._errored += 1
            self._errors[event.stage] = self._errors.get(event.stage, 0) + 1
            self.busy += event.error_type == BUSY

    def stats(self, hung: int) -> RouterStats:
        """The counts at this moment."""
        return RouterStats(
            taken=self.taken,
            compared=self.compared,
            errors=dict(self._errors),
            busy=self.busy,
            lost=self.lost,
            waiting=self.waiting,
            not_run=self.not_run,
            hung=hung,
        )
