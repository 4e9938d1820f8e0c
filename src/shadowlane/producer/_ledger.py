"""A producer's entries in the ledger: its counts since its start, now and then and at its end."""

from __future__ import annotations

from datetime import UTC, datetime

from shadowlane.producer._encode import Subject
from shadowlane.producer._stats import Counts, Stats
from shadowlane.schemas import LedgerEntry


class Ledger:
    """Says when an entry is due, and what it says."""

    def __init__(self, subject: Subject, counts: Counts, seconds: float) -> None:
        self._subject, self._counts, self._seconds = subject, counts, seconds
        self._started_at = datetime.now(UTC)
        self._written = counts.stats()
        self._next = 0.0  # the first at once: of a process that is killed the ledger should know

    def due(self, now: float) -> LedgerEntry | None:
        """The entry that is due at this (monotonic) time; None where none is, or nothing has changed."""
        if now < self._next:
            return None
        self._next = now + self._seconds
        stats = self._counts.stats()
        if stats == self._written:
            return None
        self._written = stats
        return self._entry(stats, final=False)

    def last(self) -> LedgerEntry:
        """The entry that closes the books."""
        return self._entry(self._counts.stats(), final=True)

    def _entry(self, stats: Stats, *, final: bool) -> LedgerEntry:
        return LedgerEntry(
            producer_id=stats.producer_id,
            model=self._subject.model,
            model_version=self._subject.model_version,
            started_at=self._started_at,
            recorded_at=datetime.now(UTC),
            # What still waits has not come out yet: it belongs to the next entry.
            observed=stats.observed - stats.queued,
            primary_failed=stats.primary_failed,
            sampled_out=stats.sampled_out,
            published=stats.published,
            dropped=stats.dropped,
            delivered=stats.delivered,
            failed=stats.failed,
            final=final,
        )
