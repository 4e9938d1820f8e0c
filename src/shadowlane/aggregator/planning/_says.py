"""What a plan comes to, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from shadowlane.aggregator.planning._figures import Budget, BySegment, Deadline, Plan
from shadowlane.aggregator.planning._inputs import Metric
from shadowlane.aggregator.planning._words import days, money, number, percent
from shadowlane.visible import visible

_OF = {Metric.agreement: "agreement", Metric.errors: "the error rate", Metric.correctness: "correctness"}
_YEARS = 3_650
_SHOWN = 10


def summary(plan: Plan) -> str:
    """The plan in one sentence: the rate, the days, and what decides them."""
    length = days(plan.window_days)
    if plan.label_days:
        length += f" and {days(plan.label_days)} more for the labels, {plan.days:,} in all"
    return f"At {percent(plan.sampling)} sampling: {length}; {_why(plan)}."


def sentences(plan: Plan) -> tuple[str, ...]:
    """All that there is to say, the summary last."""
    return (*_more(plan), summary(plan))


def _why(plan: Plan) -> str:
    if plan.decided_by == "cycle":
        return f"a whole business cycle of {days(plan.inputs.aim.cycle_days)} decides"
    if plan.decisive_segment is not None:
        chosen = next(each for each in plan.segments if each.segment == plan.decisive_segment)
        name, part = visible(plan.decisive_segment, 60), percent(chosen.share)
        if chosen.share == min(each.share for each in plan.segments):
            return f"the rarest segment ({name}, {part}) decides"
        return f"the segment {name} ({part}) decides"
    aim = plan.inputs.aim
    return {
        "minimum": f"the least number of requests ({aim.min_requests:,}) decides",
        "difference": f"finding a difference of {number(aim.difference)} in {_OF[aim.metric]} decides",
        "latency": "how precisely p99 latency must be known decides",
    }[plan.decided_by]


def _more(plan: Plan) -> Iterator[str]:
    if plan.window_days > _YEARS:
        yield f"{days(plan.window_days)} is no plan: sample more, or look for a larger difference."
    if plan.by_segment:
        yield _by_segment(plan.by_segment)
    if plan.deadline:
        yield _deadline(plan.deadline, plan)
    if plan.budget:
        yield _budget(plan.budget, plan)


def _by_segment(better: BySegment) -> str:
    saved = f"{better.saved_replays:,} replays"
    if better.saved_days:
        saved += f" and {days(better.saved_days)}"
    if better.saved_cost is not None:
        saved += f" and {money(better.saved_cost)} of cost"
    return f"Rates by segment would save {saved}: {_command(better)}"


def _command(better: BySegment) -> str:
    """What sets the rates by segment; of very many the largest."""
    largest = sorted(better.segments.items(), key=lambda each: (-each[1], each[0]))
    rates = [f"--segment {quote(f'{visible(name)}={rate:g}')}" for name, rate in largest[:_SHOWN]]
    left = len(largest) - len(rates)
    more = [f"and {left:,} more (by_segment, with --format json)"] if left else []
    return " ".join(["shadowlane sampling set --model MODEL", f"--rate {better.sampling:g}", *rates, *more])


def _deadline(deadline: Deadline, plan: Plan) -> str:
    met = "is met" if deadline.fits else "is not met"
    start = f"The deadline of {days(deadline.days)} {met}"
    cycle = plan.inputs.aim.cycle_days
    if deadline.window_days < cycle:
        labels = " before the labels are in" if plan.label_days else ""
        left = f"{days(deadline.window_days)} of requests{labels}"
        return f"{start}: it leaves {left}, and a business cycle is {cycle}."
    if deadline.sampling is None:
        return f"{start}, even by replaying all requests: there are too few."
    return f"{start}: {percent(deadline.sampling)} sampling is enough for it."


def _budget(budget: Budget, plan: Plan) -> str:
    fits = "pays for the plan" if budget.fits else "does not pay for the plan"
    if budget.detectable is None:
        finds = "too few to find any difference that there can be"
    else:
        finds = f"enough to find a difference of {number(budget.detectable)} in {_OF[plan.inputs.aim.metric]}"
    return (
        f"The budget of {money(budget.budget)} {fits}. Over {days(budget.window_days)} it pays for"
        f" {percent(budget.sampling)} sampling, {budget.replays:,} replays: {finds}."
    )
