"""The compared requests counted once, by all that has few values: many figures are sums of these counts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from shadowlane.lake import OpenLake

Key = TypeVar("Key", bound=Hashable)

# What may be null is seen to after the counting, row by row of a short list.
_STRATA = """
SELECT coalesce(comparator, ''), coalesce(sampling_rate, 1)::DOUBLE, latency_basis, model_version,
  shadow_version, agreement, hour, requests, first, last
FROM (
  SELECT comparator, sampling_rate, latency_basis, model_version, shadow_version, agreement,
    epoch_us(event_time) // 3600000000 AS hour, count(*) AS requests,
    epoch_us(min(event_time)) AS first, epoch_us(max(event_time)) AS last
  FROM compared GROUP BY ALL
)
ORDER BY ALL
"""

# Errors have no answer that could agree.
_ERRORED = """
SELECT epoch_us(event_time) // 3600000000, count(*), epoch_us(min(event_time)), epoch_us(max(event_time))
FROM errored GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class Stratum:
    """So many compared requests that are alike in these."""

    comparator: str
    sampling_rate: float
    latency_basis: str
    model_version: str
    shadow_version: str
    agreement: bool | None  # None: a rule ignores them
    hour: int | None  # since 1970; None: without an event time
    requests: int
    first_us: int | None
    last_us: int | None


@dataclass(frozen=True, slots=True)
class ErroredHour:
    """So many errored requests of one hour."""

    hour: int | None
    requests: int
    first_us: int | None
    last_us: int | None


@dataclass(frozen=True, slots=True)
class Strata:
    """All of them."""

    compared: tuple[Stratum, ...]
    errored: tuple[ErroredHour, ...]

    def count(self, that: Callable[[Stratum], bool] = lambda _: True) -> int:
        """How many compared requests are so."""
        return sum(each.requests for each in self.compared if that(each))

    @property
    def moments_us(self) -> tuple[int, int] | None:
        """When the first and the last request was made."""
        every: Iterable[Stratum | ErroredHour] = (*self.compared, *self.errored)
        ends = [(each.first_us, each.last_us) for each in every]
        firsts = [first for first, _ in ends if first is not None]
        lasts = [last for _, last in ends if last is not None]
        return (min(firsts), max(lasts)) if firsts and lasts else None


def strata(lake: OpenLake) -> Strata:
    """Count them."""
    return Strata(
        tuple(Stratum(*row) for row in lake.rows(_STRATA)),
        tuple(ErroredHour(*row) for row in lake.rows(_ERRORED)),
    )


def summed(found: Strata, by: Callable[[Stratum], Key]) -> dict[Key, int]:
    """How many compared requests there are of each kind, the most first."""
    counts: dict[Key, int] = {}
    for each in found.compared:
        counts[by(each)] = counts.get(by(each), 0) + each.requests
    return dict(sorted(counts.items(), key=lambda item: (-item[1], repr(item[0]))))
