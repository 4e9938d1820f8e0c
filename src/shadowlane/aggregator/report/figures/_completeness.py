"""Where each request went, by everyone's own counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Where the requests went, by the hooks' own counts (of the model, whatever the window)."""

    hooks: int
    still_counting: int  # hooks whose last entry is not their final one
    observed: int
    primary_failed: int
    sampled_out: int
    published: int
    dropped: Mapping[str, int]
    delivered: int
    failed: int
    #: Delivered, and neither compared nor failed: waiting, or lost. None where a window or a named replay
    #: makes the two counts incomparable.
    unexplained: int | None
    uncounted: int | None  # in the lake, and beyond what the hooks' counts say; None as above


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCounts:
    """What the workers of this shadow and run counted themselves."""

    workers: int
    still_counting: int
    compared: int
    errors: Mapping[str, int]  # by stage
    lost: int  # gaps: requests that retention removed before they were read
    restarts: int
    missing_features: Mapping[str, int]
    unexpected_features: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Rows that were found and not counted."""

    repeated_rows: int  # the same place of the source topic landed again
    repeated_requests: int  # a request published twice: its first comparison counts
    repeated_errors: int  # a request that failed more than once: its last error counts
    recovered: int  # a request that failed and was compared later: the comparison counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """One line of the balance: so many requests are here, and why."""

    name: str  # observed, primary_failed, sampled_out, dropped:queue_full, delivered, compared, …
    requests: int
    means: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """The balance of all counts: what was observed equals what all stations add up to, and a remainder."""

    stations: tuple[Station, ...]
    pending: int | None  # delivered, and not yet taken by a worker or landed, while these still run
    unexplained: int | None  # what no count explains; None where the counts are not of the same requests
    unexplained_rate: float | None  # of the delivered
    workers: WorkerCounts | None
