"""What a plan rests on: each figure's formula, and each assumption with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from shadowlane.aggregator.planning._figures import Plan
from shadowlane.aggregator.planning._inputs import Inputs, Metric, Segment

#: By the figures' places in the JSON form.
FORMULAS: Mapping[str, str] = MappingProxyType(
    {
        "everything.needs.minimum": "min_requests",
        "everything.needs.difference": (
            "design_effect * n, with d = the shift and n = ((z_level * sd_null + z_power * sd_truth) / d)^2,"
            " corrected for whole numbers: n / 4 * (1 + sqrt(1 + 2 / (n * d)))^2; the larger of both"
            " directions."
            " For correctness (McNemar, Connor 1987): null 1/2, d = difference / (2 * discordance),"
            " sd_truth = sqrt(1 - difference^2 / discordance) / 2, and n / (discordance * label_coverage)."
            " With is_anytime: the n of looks.anytime"
        ),
        "everything.needs.latency": "z_level^2 * 0.99 * 0.01 / latency_precision^2",
        "segments.needs.minimum": "min_segment_requests",
        "segments.needs.difference": (
            "as for all requests, with segment_difference, and 1 - (1 - level) / segments in place of level"
        ),
        "sampling": (
            "as given; else the least that meets the deadline; else the largest that the budget pays for over"
            " a business cycle; else as in the lake now; else 1"
        ),
        "least_sampling": (
            "the largest of (n + 2 * sqrt(n)) / (requests_per_second * 86400 * usable * share * window_days),"
            " n being the largest need of all requests, or of a segment"
        ),
        "everything.sampling": "1 / sum(share / sampling): segments with rates of their own, and the rest",
        "comparisons_a_day": "requests_per_second * 86400 * share * sampling * usable",
        "segments.days": "the largest need / comparisons_a_day, rounded up",
        "detectable": "the smallest difference whose formula gives at most comparisons / design_effect",
        "window_days": "the largest of cycle_days and the days of all requests and of each segment",
        "days": "window_days + label_days, rounded up",
        "looks.anytime": (
            "the least n after which the beta-binomial confidence sequence (uniform prior) excludes the null"
            " with the power: at n * truth, less z_power standard deviations"
        ),
        "looks.fixed": "the n of everything.needs.difference, looked at once",
        "pairing.unpaired": (
            "2 * ((z_level * sqrt(2 * m * (1 - m)) + z_power * sqrt(p * (1 - p) + q * (1 - q))) / d)^2"
            " / label_coverage, with d = difference, p = rate, q = p + d, m = (p + q) / 2"
        ),
        "latency_interval": "ln((1 - level) / 2) / ln(0.99), rounded up",
        "costs.replays": "requests_per_second * 86400 * window_days * sum(share * sampling)",
        "costs.cost_per_1000": "as given; else cpu_ms / 3600 * core_hour",
        "costs.cpu_hours": "replays * cpu_ms / 3600000",
        "costs.compute": "replays / 1000 * cost_per_1000",
        "costs.lake_bytes": "replays * comparison_bytes",
        "costs.storage_a_month": "lake_bytes / 1e9 * gb_month",
        "costs.storage": "storage_a_month * keep_days / 30",
        "costs.total": "compute + storage",
        "capacity.peak_replays_per_second": "requests_per_second * peak_factor * sum(share * sampling)",
        "capacity.cores": "peak_replays_per_second * cpu_ms / 1000 / utilization, rounded up",
        "capacity.workers": "peak_replays_per_second * latency_ms / 1000 / utilization, rounded up",
        "retention.days": "days: what the plan replays can then be replayed again, labels and all",
        "retention.bytes": "replays a day * retention.days * request_bytes * replication",
        "by_segment": (
            "the least rate for all requests, and for each segment, by the formula of least_sampling, in as"
            " many days as all requests take at the plan's rate, or a segment at a rate of 1"
        ),
        "budget.sampling": (
            "budget / (cost_per_1000 / 1000 + comparison_bytes / 1e9 * gb_month * keep_days / 30)"
            " / (requests_per_second * 86400 * window_days), at most 1, rounded down to three digits"
        ),
        "deadline.sampling": "least_sampling, over the deadline's days less the labels' delay",
    }
)

_SAYS: Mapping[str, str] = MappingProxyType(
    {
        "requests_per_second": "requests a second, on average over a day, sampled or not",
        "peak_factor": "the busiest hour's requests, as a multiple of the average",
        "sampling": "the share of the requests that is replayed",
        "segments": "the segments that matter, with their shares and the rates of their own",
        "usable": "of the replays, the share that yields a comparison",
        "design_effect": "how many times as many requests it takes because one user's are alike",
        "metric": "the figure whose difference must be found",
        "rate": "the figure as it is expected; of correctness, the primary's",
        "difference": "the smallest difference that matters, in all requests",
        "segment_difference": "the smallest difference that matters in a segment; null: their number counts",
        "level": "how surely no difference is found where there is none, both sides together",
        "power": "how surely the difference is found where there is one",
        "is_anytime": "whether it is looked at as often as one likes, as a gate with `confidence` does",
        "min_requests": "the least number of comparisons",
        "min_segment_requests": "the least number of comparisons of a segment",
        "cycle_days": "a business cycle: weekdays and weekends differ",
        "latency_precision": "how near to p99 both ends of its interval must lie, as a share of the requests",
        "label_coverage": "the share of the requests that get a label; counts for correctness",
        "label_delay_days": "how late labels come; counts for correctness",
        "discordance": "the share of the requests on which just one is right; counts for correctness",
        "cpu_ms": "processor time of a replay, in milliseconds",
        "latency_ms": "how long a replay keeps a worker busy, in milliseconds; null: as cpu_ms",
        "utilization": "how busy workers may be at the busiest hour",
        "comparison_bytes": "a comparison in the lake, compressed",
        "request_bytes": "a request in Kafka",
        "replication": "copies that Kafka keeps",
        "cost_per_1000": "what a thousand inferences cost",
        "core_hour": "what a core costs for an hour",
        "gb_month": "what a gigabyte in the lake costs for a month",
        "keep_days": "how long comparisons are kept and paid for",
        "budget": "what all may cost",
        "deadline_days": "how many days there are",
    }
)

_ALWAYS = (
    "traffic stays as it is: no growth, and each day like another",
    "requests are independent beyond what the design effect says; latencies are taken as independent",
    "in each segment the figure is expected as in all requests",
    "segments with rates of their own do not overlap; where they do, fewer are replayed than said",
)
_OF_CORRECTNESS = "labels are missing at random: whether one comes does not depend on who is right"


@dataclass(frozen=True, slots=True)
class Assumption:
    """A value that the plan rests on; without a name, a thing that it takes for granted."""

    name: str | None
    value: Any
    source: str | None  # option, lake or default
    says: str


def assumptions(plan: Plan) -> tuple[Assumption, ...]:
    """All that the plan rests on, the values first."""
    granted = [*_ALWAYS]
    if plan.inputs.aim.metric is Metric.correctness:
        granted.append(_OF_CORRECTNESS)
    return (*_values(plan.inputs), *(Assumption(None, None, None, says) for says in granted))


def _values(inputs: Inputs) -> list[Assumption]:
    groups = (inputs.traffic, inputs.aim, inputs.truth, inputs.resources, inputs.prices)
    return [
        Assumption(each.name, _plain(getattr(group, each.name)), _source(inputs, each.name), _SAYS[each.name])
        for group in groups
        for each in fields(group)
    ]


def _source(inputs: Inputs, name: str) -> str:
    return inputs.sources.get(name, "default")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_segment(each) for each in value]
    return value.value if isinstance(value, Metric) else value


def _segment(segment: Segment) -> dict[str, Any]:
    return {"name": segment.name, "share": segment.share, "sampling": segment.sampling}
