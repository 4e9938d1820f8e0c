"""What a plan says: value classes, which the JSON form writes field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shadowlane.aggregator.planning._inputs import Inputs


@dataclass(frozen=True, slots=True)
class Need:
    """So many comparisons are wanted, and what for."""

    reason: str  # minimum, difference or latency
    comparisons: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopePlan:
    """All requests, or a segment: what is needed, what a day brings, and what is found in the end."""

    segment: str | None  # None: all requests
    share: float
    sampling: float
    needs: tuple[Need, ...]
    comparisons_a_day: float
    days: int  # until the last need is met, the business cycle left aside
    comparisons: int  # at the plan's end
    detectable: float | None  # the smallest difference that these find

    @property
    def decisive(self) -> Need:
        """The need that takes longest."""
        return max(self.needs, key=lambda need: need.comparisons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What it costs to look whenever one likes, for the smallest difference in all requests."""

    fixed: int  # comparisons, looked at once
    anytime: int  # looked at as often as one likes
    extra: float  # how many times as many
    counted: str  # fixed or anytime: which of them the plan counts with


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """What it saves that both models see the same requests."""

    paired: int  # requests, each seen by both models
    unpaired: int  # requests in all, half of them seen by either model
    saved: float  # the share


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What the plan takes and costs; None where nobody says what an inference takes."""

    replays: int
    replays_a_day: float
    cost_per_1000: float | None
    cpu_hours: float | None
    compute: float | None
    lake_bytes: float
    storage_a_month: float
    storage: float  # for as long as it is kept
    total: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What must be there at the busiest hour; None where nobody says what a request takes."""

    peak_requests_per_second: float
    peak_replays_per_second: float
    cores: int | None
    workers: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long Kafka must keep the requests so that the whole window can be replayed at its end."""

    days: int
    bytes: float  # of all replicas


@dataclass(frozen=True, slots=True, kw_only=True)
class BySegment:
    """Rates by segment, as `shadowlane sampling set` takes them, which do with fewer replays or days."""

    sampling: float
    segments: Mapping[str, float]
    window_days: int
    replays: int
    saved_replays: int
    saved_days: int
    saved_cost: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the budget pays for."""

    budget: float
    fits: bool  # whether the plan as it stands does
    window_days: int
    sampling: float  # the largest that fits, over the window
    replays: int
    detectable: float | None  # what that finds, in all requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """What the deadline asks for."""

    days: float
    fits: bool  # whether the plan as it stands does
    window_days: int  # days of requests, once the labels' delay is taken off
    sampling: float | None  # the least rate that meets it; None where none does


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much evidence is needed, how long it takes, and what it costs."""

    sampling: float
    least_sampling: float | None  # the least rate for all that does in the same window
    window_days: int  # of requests
    label_days: float  # for the last labels, after them
    days: int  # in all
    decided_by: str  # cycle, minimum, difference or latency
    decisive_segment: str | None
    everything: ScopePlan
    segments: tuple[ScopePlan, ...]
    looks: Looks
    pairing: Pairing | None  # where correctness is compared
    latency_interval: int  # how many comparisons an interval of p99 takes at all
    costs: Costs
    capacity: Capacity
    retention: Retention
    by_segment: BySegment | None
    budget: Budget | None
    deadline: Deadline | None
    inputs: Inputs
    measured: Mapping[str, Any] | None  # what the lake says besides
    notes: tuple[str, ...]
