"""Makes a plan, top to bottom: the rate, the needs, the days, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from shadowlane.aggregator.planning._costs import afforded, capacity, costs, retention
from shadowlane.aggregator.planning._figures import (
    Budget,
    BySegment,
    Deadline,
    Looks,
    Pairing,
    Plan,
    ScopePlan,
)
from shadowlane.aggregator.planning._inputs import Inputs, Metric, Segment
from shadowlane.aggregator.planning._needs import QUANTILE, found, most, needs
from shadowlane.aggregator.planning._rates import (
    DAY_SECONDS,
    rate_for,
    replayed_share,
    rounded_down,
    rounded_up,
    sampling_of,
    surely,
    telling_share,
    with_rates,
)
from shadowlane.aggregator.planning._samples import for_interval, needed_anytime, needed_fixed, unpaired

# Segments whose rate is hardly above the rate for all need none of their own.
_NEAR = 1.2


def make_plan(inputs: Inputs, measured: Mapping[str, Any] | None = None, notes: Sequence[str] = ()) -> Plan:
    """The plan for these inputs, and what the lake says besides."""
    sampling = _sampling(inputs)
    window = _window(inputs, sampling)
    everything = _scope(inputs, None, sampling, window)
    segments = tuple(_scope(inputs, each, sampling, window) for each in inputs.traffic.segments)
    slowest = max((everything, *segments), key=lambda scope: (scope.days, -scope.share))
    is_cycle = slowest.days <= inputs.aim.cycle_days
    share = replayed_share(inputs.traffic.segments, sampling)
    spent = costs(inputs, share, window)
    delay = _delay(inputs)
    days = math.ceil(window + delay)
    return Plan(
        sampling=sampling,
        least_sampling=_least(inputs, window),
        window_days=window,
        label_days=delay,
        days=days,
        decided_by="cycle" if is_cycle else slowest.decisive.reason,
        decisive_segment=None if is_cycle else slowest.segment,
        everything=everything,
        segments=segments,
        looks=_looks(inputs),
        pairing=_pairing(inputs),
        latency_interval=for_interval(QUANTILE, inputs.aim.level),
        costs=spent,
        capacity=capacity(inputs, share),
        retention=retention(inputs, share, days),
        by_segment=_by_segment(inputs, sampling, window),
        budget=_budget(inputs, window, spent.total),
        deadline=_deadline(inputs, days),
        inputs=inputs,
        measured=measured,
        notes=tuple(notes),
    )


def _sampling(inputs: Inputs) -> float:
    """The rate that is given; else the least that the deadline asks for, or the largest that is paid for."""
    given = inputs.traffic.sampling
    if given is not None and inputs.sources.get("sampling", "option") == "option":
        return given
    if inputs.prices.deadline_days is not None:
        return rounded_up(rate_for(inputs, max(_deadline_window(inputs), inputs.aim.cycle_days)))
    if inputs.prices.budget is not None:
        return _affordable(inputs, inputs.aim.cycle_days)
    return 1.0 if given is None else given


def _window(inputs: Inputs, sampling: float) -> int:
    """Days of requests: until each need is met, and a business cycle at least."""
    scopes = (None, *inputs.traffic.segments)
    return max(inputs.aim.cycle_days, *(_days(inputs, each, sampling) for each in scopes))


def _days(inputs: Inputs, segment: Segment | None, sampling: float) -> int:
    return math.ceil(most(inputs, segment) / _a_day(inputs, segment, sampling))


def _a_day(inputs: Inputs, segment: Segment | None, sampling: float) -> float:
    """How many comparisons a day brings."""
    traffic = inputs.traffic
    whole = traffic.requests_per_second * DAY_SECONDS * traffic.usable
    if segment is None:
        return whole * telling_share(traffic.segments, sampling)
    return whole * segment.share * sampling_of(segment, sampling)


def _scope(inputs: Inputs, segment: Segment | None, sampling: float, window: int) -> ScopePlan:
    a_day = _a_day(inputs, segment, sampling)
    comparisons = math.floor(a_day * window)
    own = telling_share(inputs.traffic.segments, sampling)
    return ScopePlan(
        segment=segment.name if segment else None,
        share=segment.share if segment else 1.0,
        sampling=sampling_of(segment, sampling) if segment else own,
        needs=needs(inputs, segment),
        comparisons_a_day=a_day,
        days=_days(inputs, segment, sampling),
        comparisons=comparisons,
        detectable=found(inputs, comparisons, segment),
    )


def _least(inputs: Inputs, window: int) -> float | None:
    """The least rate for all that meets each need in this window."""
    rate = rate_for(inputs, window)
    return rounded_up(rate) if rate <= 1 else None


def _looks(inputs: Inputs) -> Looks:
    aim = inputs.aim
    once, often = (how(aim, inputs.truth, aim.difference) for how in (needed_fixed, needed_anytime))
    counted = "anytime" if aim.is_anytime else "fixed"
    return Looks(fixed=once, anytime=often, extra=often / once, counted=counted)


def _pairing(inputs: Inputs) -> Pairing | None:
    aim, truth = inputs.aim, inputs.truth
    if aim.metric is not Metric.correctness:
        return None
    paired = needed_fixed(aim, truth, aim.difference)
    each = 2 * unpaired(aim, truth, aim.difference)
    return Pairing(paired=paired, unpaired=each, saved=max(0.0, 1 - paired / each))


def _delay(inputs: Inputs) -> float:
    return inputs.truth.label_delay_days if inputs.aim.metric is Metric.correctness else 0.0


def _by_segment(inputs: Inputs, sampling: float, window: int) -> BySegment | None:
    """The least rate for all, and larger ones where segments need them; None where that saves nothing."""
    segments = inputs.traffic.segments
    if not segments:
        return None
    days = max(
        inputs.aim.cycle_days,
        _days(inputs, None, sampling),
        *(_days(inputs, each, 1.0) for each in segments),
    )
    a_day = inputs.traffic.requests_per_second * DAY_SECONDS * inputs.traffic.usable
    base = rounded_up(surely(most(inputs, None)) / (a_day * days))
    rates = {
        each.name: rounded_up(surely(most(inputs, each)) / (a_day * each.share * days)) for each in segments
    }
    base = max(rate for rate in (base, *rates.values()) if rate <= base * _NEAR)
    rates = {name: rate for name, rate in rates.items() if rate > base}
    before = costs(inputs, replayed_share(segments, sampling), window)
    after = costs(inputs, replayed_share(with_rates(segments, rates), base), days)
    if not rates or after.replays >= before.replays:
        return None
    is_priced = before.total is not None and after.total is not None
    return BySegment(
        sampling=base,
        segments=rates,
        window_days=days,
        replays=after.replays,
        saved_replays=before.replays - after.replays,
        saved_days=window - days,
        saved_cost=(before.total or 0) - (after.total or 0) if is_priced else None,
    )


def _affordable(inputs: Inputs, days: int) -> float:
    """The largest rate whose replays are paid for, over so many days."""
    whole = inputs.traffic.requests_per_second * DAY_SECONDS * days
    return rounded_down(min(1.0, afforded(inputs) / whole))


def _budget(inputs: Inputs, window: int, total: float | None) -> Budget | None:
    budget = inputs.prices.budget
    if budget is None:
        return None
    whole = inputs.traffic.requests_per_second * DAY_SECONDS * window
    replays = math.floor(min(whole, afforded(inputs)))
    return Budget(
        budget=budget,
        fits=total is not None and total <= budget,
        window_days=window,
        sampling=_affordable(inputs, window),
        replays=replays,
        detectable=found(inputs, replays * inputs.traffic.usable, None),
    )


def _deadline_window(inputs: Inputs) -> int:
    return math.floor((inputs.prices.deadline_days or 0.0) - _delay(inputs))


def _deadline(inputs: Inputs, days: int) -> Deadline | None:
    deadline = inputs.prices.deadline_days
    if deadline is None:
        return None
    window = max(0, _deadline_window(inputs))
    return Deadline(
        days=deadline,
        fits=days <= deadline,
        window_days=window,
        sampling=_least(inputs, window) if window >= inputs.aim.cycle_days else None,
    )
