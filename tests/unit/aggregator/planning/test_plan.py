"""A plan's days, rates and costs: by hand, and whatever the traffic."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowlane.aggregator.planning import Plan, Segment, summary
from shadowlane.aggregator.planning._rates import (
    replayed_share,
    rounded_down,
    rounded_up,
    telling_share,
    with_rates,
)
from shadowlane.errors import SettingsError
from unit.aggregator.planning.plans import GERMANY, ITALY, inputs, planned

DAY = 86_400


def test_the_rarest_segment_decides() -> None:
    """23 requests a second, 5 % of them, 1.2 % of these: 1,192 a day, so 10,000 take 9 days."""
    plan = planned(requests_per_second=23, sampling=0.05, segments=(GERMANY, ITALY))
    assert summary(plan) == "At 5 % sampling: 9 days; the rarest segment (country=IT, 1.2 %) decides."
    assert [each.days for each in plan.segments] == [1, 9]
    assert plan.segments[1].comparisons_a_day == pytest.approx(23 * DAY * 0.05 * 0.012)
    assert plan.segments[1].comparisons == math.floor(9 * 23 * DAY * 0.05 * 0.012)
    assert (plan.days, plan.decided_by, plan.decisive_segment) == (9, "minimum", "country=IT")


def test_a_segment_of_its_own_rate_is_sooner_done() -> None:
    """The largest rate counts, as in the hook; another segment then decides, or the cycle."""
    sampled = Segment("country=IT", 0.012, 1.0)
    plan = planned(requests_per_second=23, sampling=0.05, segments=(GERMANY, sampled))
    assert (plan.segments[1].sampling, plan.segments[1].days, plan.decided_by) == (1.0, 1, "cycle")
    lower = Segment("country=IT", 0.012, 0.001)
    assert planned(requests_per_second=23, sampling=0.05, segments=(lower,)).segments[0].sampling == 0.05


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "At 100 % sampling: 7 days; a whole business cycle of 7 days decides."),
        ({"cycle_days": 1}, "At 100 % sampling: 1 day; a whole business cycle of 1 day decides."),
        ({"sampling": 0.001}, "At 0.1 % sampling: 12 days; the least number of requests (10,000) decides."),
        (
            {"sampling": 0.001, "difference": 0.002},
            "At 0.1 % sampling: 112 days; finding a difference of 0.002 in agreement decides.",
        ),
        (
            {"sampling": 0.001, "latency_precision": 0.001},
            "At 0.1 % sampling: 45 days; how precisely p99 latency must be known decides.",
        ),
        (
            {"sampling": 0.001, "segments": (Segment("a=b", 0.5), Segment("c=d", 0.4, 0.0013))},
            "At 0.1 % sampling: 24 days; the segment a=b (50 %) decides.",
        ),
        (
            {"sampling": 0.001, "metric": "correctness", "label_delay_days": 2.5},
            "At 0.1 % sampling: 12 days and 2.5 days more for the labels, 15 in all;",
        ),
    ],
)
def test_the_summary_says_what_decides(values: dict[str, object], words: str) -> None:
    """One sentence: the rate, the days, and why so many."""
    assert summary(planned(**values)).startswith(words)


def test_costs_and_capacity_by_hand() -> None:
    """Each figure is what its formula says."""
    plan = planned(
        requests_per_second=100, sampling=0.1, cpu_ms=20, latency_ms=70, peak_factor=3, core_hour=0.05,
        comparison_bytes=200, request_bytes=500, replication=2, gb_month=0.02, keep_days=60,
    )  # fmt: skip
    replays = 100 * DAY * 0.1 * 7
    costs = plan.costs
    assert costs.replays == replays
    assert costs.cpu_hours == pytest.approx(replays * 20 / 3_600_000)
    assert costs.cost_per_1000 == pytest.approx(20 / 3_600 * 0.05)
    assert costs.compute == pytest.approx(replays * 20 / 3_600_000 * 0.05)
    assert costs.lake_bytes == replays * 200
    assert costs.storage_a_month == pytest.approx(replays * 200 / 1e9 * 0.02)
    assert costs.storage == pytest.approx(replays * 200 / 1e9 * 0.02 * 2)
    assert costs.total == pytest.approx((costs.compute or 0) + costs.storage)
    assert (plan.capacity.peak_requests_per_second, plan.capacity.peak_replays_per_second) == (300, 30)
    assert plan.capacity.cores == math.ceil(30 * 0.020 / 0.7)
    assert plan.capacity.workers == math.ceil(30 * 0.070 / 0.7)
    assert plan.retention.days == 7
    assert plan.retention.bytes == pytest.approx(replays * 500 * 2)


def test_what_nobody_says_is_unknown() -> None:
    """Without the cost of an inference there is no cost, without its time no number of workers."""
    plan = planned()
    assert (plan.costs.compute, plan.costs.total, plan.costs.cpu_hours) == (None, None, None)
    assert (plan.capacity.cores, plan.capacity.workers) == (None, None)
    assert planned(latency_ms=3).capacity.workers == 1
    assert planned(cost_per_1000=2, cpu_ms=5).costs.compute == pytest.approx(10 * DAY * 7 / 1000 * 2)


def test_a_budget_chooses_the_rate() -> None:
    """The largest that is paid for over a cycle, and what that finds."""
    plan = planned(requests_per_second=100, cost_per_1000=0.5, keep_days=0, budget=100)
    assert plan.sampling == rounded_down(200_000 / (100 * DAY * 7))
    assert plan.budget
    assert (plan.budget.fits, plan.budget.window_days, plan.budget.replays) == (True, 7, 200_000)
    assert plan.costs.total is not None
    assert 99 < plan.costs.total <= 100
    found = plan.budget.detectable
    assert found is not None
    assert planned(difference=found).everything.needs[1].comparisons <= 200_000
    assert planned(difference=found * 0.98).everything.needs[1].comparisons > 200_000


def test_a_budget_that_does_not_suffice_says_so() -> None:
    """Too little for what is needed: the plan does not fit, and the difference that is found is larger."""
    plan = planned(cost_per_1000=1, budget=1, difference=0.01)
    assert plan.budget
    assert not plan.budget.fits
    assert plan.budget.detectable
    assert plan.budget.detectable > 0.01
    nothing = planned(cost_per_1000=1000, budget=1, sampling=1.0)
    assert nothing.budget
    assert nothing.budget.detectable is None


def test_free_inferences_have_no_end() -> None:
    """Where nothing costs anything, a budget pays for all requests."""
    plan = planned(cost_per_1000=0, gb_month=0, budget=1)
    assert plan.sampling == 1
    assert plan.budget
    assert (plan.budget.fits, plan.budget.sampling) == (True, 1.0)


def test_a_deadline_chooses_the_least_rate() -> None:
    """It meets the deadline, labels and all; a tenth less does not."""
    values = {
        "requests_per_second": 100,
        "segments": (ITALY,),
        "metric": "correctness",
        "label_delay_days": 4,
    }
    plan = planned(**values, deadline_days=20)
    assert plan.deadline
    assert (plan.deadline.fits, plan.deadline.window_days, plan.days) == (True, 16, 20)
    assert plan.deadline.sampling == plan.sampling
    less = planned(**values, deadline_days=20, sampling=plan.sampling * 0.9)
    assert less.deadline
    assert (less.deadline.fits, less.deadline.sampling) == (False, plan.sampling)


@pytest.mark.parametrize(
    ("values", "sampling"),
    [
        ({"deadline_days": 3}, None),  # no business cycle
        ({"deadline_days": 8, "metric": "correctness", "label_delay_days": 3}, None),
        ({"deadline_days": 10, "requests_per_second": 0.001}, None),  # not even all requests do
    ],
)
def test_a_deadline_that_cannot_be_met(values: dict[str, object], sampling: float | None) -> None:
    """No rate meets it, and the plan says how long it takes instead."""
    plan = planned(**values)
    assert plan.deadline
    assert (plan.deadline.fits, plan.deadline.sampling) == (False, sampling)
    assert plan.days > plan.deadline.days


def test_rates_by_segment_save_replays_and_days() -> None:
    """They meet each need in the days that they say, with fewer replays."""
    values = {"requests_per_second": 23, "sampling": 0.05, "cost_per_1000": 1.0}
    plan = planned(**values, segments=(GERMANY, ITALY))
    better = plan.by_segment
    assert better
    assert better.sampling < better.segments["country=DE"] < better.segments["country=IT"]
    assert (better.window_days, better.saved_days) == (7, 2)
    rated = with_rates((GERMANY, ITALY), better.segments)
    other = planned(**values | {"sampling": better.sampling}, segments=tuple(rated))
    assert other.window_days == better.window_days
    assert other.costs.replays == better.replays == plan.costs.replays - better.saved_replays
    assert plan.costs.total
    assert other.costs.total
    assert better.saved_cost == pytest.approx(plan.costs.total - other.costs.total)


def test_rates_by_segment_that_save_nothing_are_not_proposed() -> None:
    """Without segments, and where one is nearly all, one rate does."""
    assert planned().by_segment is None
    assert planned(segments=(Segment("a=b", 0.99),)).by_segment is None


def test_uneven_rates_tell_less_than_their_number() -> None:
    """The harmonic mean counts for the evidence, the arithmetic one for the cost."""
    segments = (Segment("a=b", 0.1, 1.0),)
    assert replayed_share(segments, 0.05) == pytest.approx(0.1 + 0.9 * 0.05)
    assert telling_share(segments, 0.05) == pytest.approx(1 / (0.1 + 0.9 / 0.05))
    overlapping = (Segment("a=b", 0.8, 1.0), Segment("c=d", 0.7, 1.0))
    assert replayed_share(overlapping, 0.05) == telling_share(overlapping, 0.05) == 1.0


def test_a_segments_difference_is_surer_with_more_segments() -> None:
    """Each of many segments needs more than one alone, as some would differ by chance."""
    alone = planned(segment_difference=0.005, segments=(ITALY,)).segments[0].needs[1]
    both = planned(segment_difference=0.005, segments=(ITALY, GERMANY)).segments[0].needs[1]
    assert alone.comparisons < both.comparisons


def test_alike_users_multiply_the_samples_and_not_the_minimum() -> None:
    """The design effect counts for what is found, not for how many there must be."""
    plain, clustered = planned().everything, planned(design_effect=3.0).everything
    assert clustered.needs[0] == plain.needs[0]
    assert clustered.needs[1].comparisons == 3 * plain.needs[1].comparisons
    assert (clustered.detectable or 0) > (plain.detectable or 0)


@pytest.mark.parametrize(
    ("rate", "up", "down"),
    [(0.0123456, 0.0124, 0.0123), (0.05, 0.05, 0.05), (1.5, 1.0, 1.0), (0.9996, 1.0, 0.999)],
)
def test_rates_are_rounded_to_be_typed(rate: float, up: float, down: float) -> None:
    """To three digits, to the safe side."""
    assert (rounded_up(rate), rounded_down(rate)) == (up, down)


rates = st.floats(1e-4, 1)
shares = st.lists(st.floats(1e-3, 1), max_size=4).map(
    lambda each: tuple(Segment(f"s={n}", share) for n, share in enumerate(each))
)
values_of_plans = st.fixed_dictionaries(
    {
        "requests_per_second": st.floats(1e-3, 1e5),
        "sampling": rates,
        "segments": shares,
        "difference": st.floats(1e-3, 0.3),
        "design_effect": st.floats(1, 10),
        "usable": st.floats(0.1, 1),
        "is_anytime": st.booleans(),
        "cost_per_1000": st.floats(0.001, 10),
        "budget": st.floats(1, 1e6),
    }
)


@settings(max_examples=40, deadline=None)
@given(values=values_of_plans, more=st.floats(1, 10))
def test_more_never_takes_longer(values: dict[str, float], more: float) -> None:
    """More traffic or sampling never takes more days, nor a larger difference; nor fewer samples."""
    plan = planned(**values)
    sooner: dict[str, Plan] = {
        name: planned(**values | {name: min(limit, values[name] * more)})
        for name, limit in (
            ("requests_per_second", 1e9),
            ("sampling", 1.0),
            ("usable", 1.0),
            ("difference", 0.9),
        )
    }
    assert all(each.days <= plan.days for each in sooner.values())
    sampled = sooner["sampling"]
    assert sampled.costs.replays_a_day >= plan.costs.replays_a_day
    assert all(
        a.comparisons_a_day >= b.comparisons_a_day
        for a, b in zip(sampled.segments, plan.segments, strict=True)
    )
    assert planned(**values | {"design_effect": values["design_effect"] * more}).days >= plan.days


@settings(max_examples=40, deadline=None)
@given(values=values_of_plans)
def test_a_plan_meets_its_needs(values: dict[str, float]) -> None:
    """Its days yield what each scope needs, a day less does not; what the budget pays for costs no more."""
    plan = planned(**values)
    scopes = (plan.everything, *plan.segments)
    assert plan.window_days == max(7, *(scope.days for scope in scopes))
    for scope in scopes:
        wanted = scope.decisive.comparisons
        assert scope.comparisons_a_day * scope.days >= wanted * (1 - 1e-12)
        assert scope.comparisons_a_day * (scope.days - 1) < wanted
        assert scope.comparisons >= wanted - 1
    assert plan.budget
    at_most = planned(**values | {"sampling": plan.budget.sampling or 1e-9, "segments": (), "budget": None})
    a_day = (at_most.costs.total or 0) / at_most.window_days
    assert plan.budget.sampling == 0 or a_day * plan.window_days <= values["budget"] * 1.01


@settings(max_examples=30, deadline=None)
@given(values=values_of_plans)
def test_the_least_rate_is_enough(values: dict[str, float]) -> None:
    """With it in place of the plan's, the same window does; where there is none, the window needs all."""
    plan = planned(**values)
    if plan.least_sampling is not None:
        assert planned(**values | {"sampling": plan.least_sampling}).window_days <= plan.window_days


@pytest.mark.parametrize(
    "values",
    [
        {"requests_per_second": 1e9, "difference": 1e-6, "sampling": 1e-9},
        {"requests_per_second": 1e-9, "difference": 1e-6, "is_anytime": True, "design_effect": 1e6},
        {"metric": "errors", "rate": 0.0, "difference": 1.0, "power": 0.5, "level": 0.5},
        {"metric": "correctness", "discordance": 1e-3, "difference": 1e-3, "label_coverage": 1e-6},
        {"cpu_ms": 1e7, "peak_factor": 1e4, "requests_per_second": 1e9, "utilization": 1e-3},
        {"segments": tuple(Segment(f"s={n}", 1.0) for n in range(50)), "segment_difference": 1e-4},
    ],
)
def test_extreme_values_still_make_a_plan(values: dict[str, object]) -> None:
    """Whatever is allowed comes to finite figures."""
    plan = planned(**values)
    assert plan.days >= 7
    assert math.isfinite(plan.costs.lake_bytes)
    assert plan.looks.extra >= 1
    assert summary(plan)


def test_no_traffic_is_no_plan() -> None:
    """Without requests or sampling nothing will ever be known: an error, not a number of days."""
    for name in ("requests_per_second", "sampling", "usable"):
        with pytest.raises(SettingsError, match=f"^{name} = 0: a number above 0"):
            inputs(**{name: 0})
