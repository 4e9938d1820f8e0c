"""What an aggregator is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shadowlane.kafka import TopicNames
from shadowlane.lake import COMPARISONS, ERRORS, LABELS, LEDGER, REQUESTS, EventTable, Lake

# Who waits for the end waits for a fault that passes, not for ever.
_PATIENCE_TO_CATCH_UP = 300.0


@dataclass(frozen=True, slots=True)
class FlushRule:
    """How much to gather, in rows, bytes of messages or seconds, before a commit."""

    rows: int
    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class AggregatorPlan:
    """Where to land, how much to gather before a commit, and whether to end when all is landed.

    `accept_gaps` goes on where Kafka no longer holds what the lake has yet to land, rather than stop.
    `archive_requests` lands the requests too, so that windows older than Kafka's retention can be replayed.
    `give_up_seconds` is how long a fault of the lake is waited out: 300 where the end is waited for, else
    as long as it takes.
    """

    lake: Lake
    flush_rows: int = 50_000
    flush_seconds: float = 5.0
    until_caught_up: bool = False
    accept_gaps: bool = False
    flush_bytes: int = 64 * 2**20
    archive_requests: bool = False
    give_up_seconds: float | None = None
    group_protocol: Literal["classic", "consumer"] = "classic"

    @property
    def flush_rule(self) -> FlushRule:
        """When to commit."""
        return FlushRule(self.flush_rows, self.flush_bytes, self.flush_seconds)

    @property
    def patience(self) -> float:
        """For how many seconds a fault of the lake is waited out."""
        if self.give_up_seconds is not None:
            return self.give_up_seconds
        return _PATIENCE_TO_CATCH_UP if self.until_caught_up else float("inf")

    def tables(self, names: TopicNames) -> dict[str, EventTable]:
        """The topics to read, and the table that each lands in."""
        tables = {
            names.comparisons: COMPARISONS,
            names.errors: ERRORS,
            names.labels: LABELS,
            names.ledger: LEDGER,
        }
        return tables | ({names.requests: REQUESTS} if self.archive_requests else {})
