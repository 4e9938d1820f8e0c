"""What became of the requests, counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import RLock


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What became of the comparisons and errors of a shadow that runs in this process (`ModelRouter`)."""

    dropped: int = 0
    published: int = 0
    delivered: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A hook's counts in this process.

    observed = primary_failed + sampled_out + dropped + published + queued, at any time;
    published = delivered + failed + what Kafka has not answered yet, and nothing of that after `close`.
    """

    producer_id: str
    observed: int = 0
    primary_failed: int = 0
    sampled_out: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    published: int = 0
    delivered: int = 0
    failed: int = 0
    results: Results = Results()

    @property
    def queued(self) -> int:
        """Requests that wait in this process."""
        return (
            self.observed
            - self.primary_failed
            - self.sampled_out
            - sum(self.dropped.values())
            - self.published
        )


class Counts:
    """The counting itself.

    The callers' threads and the background thread share `lock` for all but what Kafka's client was given
    and has answered, which the background thread alone writes. The lock is reentrant: a signal handler
    may publish too.
    """

    def __init__(self, producer_id: str) -> None:
        self.lock = RLock()
        self.producer_id = producer_id
        self.observed = 0
        self.primary_failed = 0
        self.sampled_out = 0
        self.dropped: dict[str, int] = {}
        self.results_dropped = 0
        self.published = self.delivered = self.failed = 0
        self.results_published = self.results_delivered = self.results_failed = 0

    def drop(self, reason: str, requests: int = 1) -> None:
        """Count requests that were observed before and are given up now."""
        with self.lock:
            self.dropped[reason] = self.dropped.get(reason, 0) + requests

    def stats(self) -> Stats:
        """The counts at this moment."""
        # In this order no sum can be larger than what it is part of, whatever is counted meanwhile.
        delivered, failed = self.delivered, self.failed
        published = self.published
        with self.lock:
            return Stats(
                producer_id=self.producer_id,
                observed=self.observed,
                primary_failed=self.primary_failed,
                sampled_out=self.sampled_out,
                dropped=dict(self.dropped),
                published=published,
                delivered=delivered,
                failed=failed,
                results=Results(
                    dropped=self.results_dropped,
                    published=self.results_published,
                    delivered=self.results_delivered,
                    failed=self.results_failed,
                ),
            )
