"""What a plan takes: money, disk, processors, and how long Kafka must keep the requests."""

from __future__ import annotations

import math

from shadowlane.aggregator.planning._figures import Capacity, Costs, Retention
from shadowlane.aggregator.planning._inputs import Inputs
from shadowlane.aggregator.planning._rates import DAY_SECONDS
from shadowlane.errors import SettingsError

_MONTH_DAYS = 30
_GB = 1e9
_HOUR_MS = 3_600_000


def costs(inputs: Inputs, share: float, window: int) -> Costs:
    """What it costs to replay this share of the requests for so many days."""
    a_day = inputs.traffic.requests_per_second * DAY_SECONDS * share
    replays = math.ceil(a_day * window)
    per_1000, cpu_ms = inputs.cost_per_1000, inputs.resources.cpu_ms
    compute = None if per_1000 is None else replays / 1_000 * per_1000
    stored = replays * inputs.resources.comparison_bytes
    storage = replays * _storage_of_one(inputs)
    return Costs(
        replays=replays,
        replays_a_day=a_day,
        cost_per_1000=per_1000,
        cpu_hours=None if cpu_ms is None else replays * cpu_ms / _HOUR_MS,
        compute=compute,
        lake_bytes=stored,
        storage_a_month=stored / _GB * inputs.prices.gb_month,
        storage=storage,
        total=None if compute is None else compute + storage,
    )


def afforded(inputs: Inputs) -> float:
    """How many replays the budget pays for, their storage included.

    Raises:
        SettingsError: nobody says what an inference costs.
    """
    per_1000 = inputs.cost_per_1000
    if per_1000 is None or inputs.prices.budget is None:
        raise SettingsError(
            "a budget needs what an inference costs, which is missing: give --cost-per-1000,"
            " or --cpu-ms with --core-hour"
        )
    one = per_1000 / 1_000 + _storage_of_one(inputs)
    return inputs.prices.budget / one if one else math.inf


def capacity(inputs: Inputs, share: float) -> Capacity:
    """Processors and workers for the busiest hour, with room to catch up."""
    peak = inputs.traffic.requests_per_second * inputs.traffic.peak_factor
    cpu_ms = inputs.resources.cpu_ms
    busy_ms = inputs.resources.latency_ms or cpu_ms
    return Capacity(
        peak_requests_per_second=peak,
        peak_replays_per_second=peak * share,
        cores=_at_work(inputs, peak * share, cpu_ms),
        workers=_at_work(inputs, peak * share, busy_ms),
    )


def retention(inputs: Inputs, share: float, days: int) -> Retention:
    """Kafka's disk for the requests until the plan's end: the labels' delay is a part of it."""
    a_day = inputs.traffic.requests_per_second * DAY_SECONDS * share
    kept = a_day * days * inputs.resources.request_bytes * inputs.resources.replication
    return Retention(days=days, bytes=kept)


def _at_work(inputs: Inputs, replays_per_second: float, each_ms: float | None) -> int | None:
    if each_ms is None:
        return None
    return max(1, math.ceil(replays_per_second * each_ms / 1_000 / inputs.resources.utilization))


def _storage_of_one(inputs: Inputs) -> float:
    prices = inputs.prices
    months = prices.keep_days / _MONTH_DAYS
    return inputs.resources.comparison_bytes / _GB * prices.gb_month * months
