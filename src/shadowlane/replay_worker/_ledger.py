"""A worker's entries in the ledger: its counts since its start, in the very transactions that they count."""

from __future__ import annotations

from datetime import UTC, datetime
from time import monotonic

from shadowlane.replay_worker._outgoing import Envelope, Outgoing
from shadowlane.replay_worker._plan import Target
from shadowlane.replay_worker._tally import Tally
from shadowlane.schemas import Codec, LedgerEntry

_SECONDS = 30.0
_CODEC = Codec(LedgerEntry)


class Book:
    """Says when an entry is due, and what it says."""

    def __init__(self, target: Target, worker_id: str, topic: str, seconds: float = _SECONDS) -> None:
        self._target, self._worker_id, self._topic, self._seconds = target, worker_id, topic, seconds
        self._next = 0.0  # the first at once: of a worker that is killed the ledger should know

    def is_due(self) -> bool:
        """Whether the next batch is to carry an entry."""
        return monotonic() >= self._next

    def entry(self, tally: Tally, *, final: bool = False) -> Outgoing:
        """The entry for what is counted once the transaction that carries it is committed."""
        now = datetime.now(UTC)
        event = ledger_entry(self._target, self._worker_id, tally, now, final=final)
        key = Envelope(self._worker_id.encode(), int(now.timestamp() * 1000))
        return Outgoing(self._topic, [key], [_CODEC.encode(event)])

    def committed(self) -> None:
        """It is in the ledger; the next one has time."""
        self._next = monotonic() + self._seconds


def ledger_entry(
    target: Target, worker_id: str, tally: Tally, now: datetime, *, final: bool = False
) -> LedgerEntry:
    """What a worker's tally says, as an event."""
    return LedgerEntry(
        producer_id=worker_id,
        role="worker",
        model=target.model,
        shadow=target.shadow,
        run=target.run,
        started_at=tally.started_at,
        recorded_at=now,
        observed=tally.compared + tally.errors.total(),
        compared=tally.compared,
        errors=dict(tally.errors),
        lost=tally.lost,
        missing_features=dict(tally.missing_features),
        unexpected_features=dict(tally.unexpected_features),
        restarts=tally.restarts,
        final=final,
    )
