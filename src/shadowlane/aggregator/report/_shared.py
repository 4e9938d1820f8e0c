"""What requests share that disagree, fail in one way or are slow: rules, as the report shows them.

They are sought in a sample of the rows, and then counted over all of them, in one pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from shadowlane.aggregator.report._rates import LEVEL, interval, rate_of
from shadowlane.aggregator.report._shared_columns import Rows
from shadowlane.aggregator.report._shared_sample import Population, Sample, draw_sample, left_join
from shadowlane.aggregator.report._shared_sql import ARCHIVED, Conditions
from shadowlane.aggregator.report.figures import Interval, Rule, Rules
from shadowlane.aggregator.rules import FoundRule, find_rules, taken, text_of
from shadowlane.aggregator.statistics import deviations
from shadowlane.lake import OpenLake

_EXAMPLES = 3
_FEWEST = 5
_FEW = f"Fewer than {_FEWEST} requests: too few to share anything."

_TOLD = (
    "request, segments, missing_features, event_time, model_version, shadow_version, "
    "source_topic, source_partition, source_offset"
)

_DISAGREEMENTS = f"""
SELECT CASE WHEN agreement THEN 0 ELSE 1 END AS kind, {_TOLD}, features
FROM compared WHERE agreement IS NOT NULL
"""  # noqa: S608 - of constants

_SLOW = f"""
SELECT CASE WHEN shadow_latency_ms >= $threshold THEN 1 ELSE 0 END AS kind, {_TOLD}, features
FROM compared WHERE latency_basis = $basis AND isfinite(shadow_latency_ms) AND shadow_latency_ms >= 0
"""  # noqa: S608 - of constants

_FAILED = f"""
SELECT 0 AS kind, {_TOLD}, features FROM compared
UNION ALL BY NAME SELECT cluster AS kind, {_TOLD} FROM clustered
"""  # noqa: S608 - of constants

_COUNTS = """
SELECT kind{counts} FROM (
  SELECT * FROM (
    SELECT kind, request, source_topic, source_partition, source_offset{of_rows}
    FROM (SELECT *, (epoch_us(event_time) // 3600000000) % 24 AS hour FROM ({rows}))
  ) {joined}
) GROUP BY kind
"""

_EXAMPLE = """
SELECT source_topic, source_partition, source_offset, min(request) FROM ({rows})
WHERE kind > 0 AND (source_topic, source_partition, source_offset) IN
  (SELECT unnest($topics), unnest($partitions), unnest($offsets))
GROUP BY ALL
"""

Place = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Count:
    """For how many rows a rule holds, and how many of these are sought."""

    requests: int
    hits: int


@dataclass(frozen=True, slots=True)
class Found:
    """The rules of one kind of sought requests, where their examples lie, and their counts over all rows."""

    kind: int
    rules: Sequence[FoundRule]
    examples: Sequence[Sequence[Place]]
    counts: Sequence[Count] = ()
    uncovered: int = 0


def disagreement_rules(lake: OpenLake) -> Rules:
    """What the requests share on which the two disagree."""
    [found] = _rules(lake, Population(_DISAGREEMENTS))
    return found


def slow_tail_rules(lake: OpenLake, basis: str, threshold_ms: float) -> Rules:
    """What the requests share that take the shadow this long, of those timed in one way."""
    [found] = _rules(lake, Population(_SLOW, values={"basis": basis, "threshold": threshold_ms}))
    return found


def error_rules(lake: OpenLake, clusters: int) -> tuple[Rules, ...]:
    """What the requests of each cluster of errors share (`clustered`: 1, 2, …), against all the others."""
    return _rules(lake, Population(_FAILED, clusters))


def _rules(lake: OpenLake, population: Population) -> tuple[Rules, ...]:
    sample = draw_sample(lake, population)
    found = [_found(sample, kind) for kind in range(1, population.kinds + 1)]
    if not sample.is_whole and any(each.rules for each in found):
        found = _counted(lake, population, sample, found)
    requests = _requests(lake, population, found)
    return tuple(_figures(sample, each, requests) for each in found)


def _found(sample: Sample, kind: int) -> Found:
    """The rules that set this kind apart, as far as the sample tells."""
    rows, sought = sample.rows_for(kind)
    rules = find_rules([taken(column, rows) for column in sample.columns], sought)
    covered = np.logical_or.reduce([rule.holds for rule in rules]) if rules else np.zeros(len(rows), bool)
    return Found(
        kind,
        rules,
        [_places(sample, rows[rule.holds & sought]) for rule in rules],
        [Count(rule.requests, rule.hits) for rule in rules],
        sample.counts.get(kind, 0) if not rules else int((sought & ~covered).sum()),
    )


def _places(sample: Sample, rows: Rows) -> list[Place]:
    topic, partition, offset = sample.place
    return [(str(topic[row]), int(partition[row]), int(offset[row])) for row in rows[:_EXAMPLES]]


def _counted(lake: OpenLake, population: Population, sample: Sample, found: Sequence[Found]) -> list[Found]:
    """The same with their counts over all rows."""
    is_archived = sample.features_from == ARCHIVED
    conditions = Conditions(sample.names, archived=is_archived)
    columns = list[str]()
    for each in found:
        rules = [conditions.rule(rule.terms) for rule in each.rules]
        columns += rules
        if rules:
            columns.append(f"NOT ({' OR '.join(rules)})")
    counts = "".join(f",\n  count(*) FILTER ({column})" for column in columns)
    joined = left_join(conditions.of_archive[1:]) if conditions.of_archive else ""
    query = _COUNTS.format(counts=counts, of_rows=conditions.of_rows, rows=population.rows, joined=joined)
    by_kind = {kind: row for kind, *row in lake.rows(query, {**population.values, **conditions.values})}
    counted, first = list[Found](), 0
    for each in found:
        of_rules = range(first, first + len(each.rules))
        hits = by_kind.get(each.kind, [0] * len(columns))
        counted.append(
            replace(
                each,
                counts=[Count(sum(row[at] for row in by_kind.values()), hits[at]) for at in of_rules],
                uncovered=hits[of_rules.stop] if each.rules else each.uncovered,
            )
        )
        first = of_rules.stop + bool(each.rules)
    return counted


def _requests(lake: OpenLake, population: Population, found: Sequence[Found]) -> Mapping[Place, str]:
    """What the examples are called."""
    places = [place for each in found for examples in each.examples for place in examples]
    if not places:
        return {}
    topics, partitions, offsets = map(list, zip(*places, strict=True))
    values = {"topics": topics, "partitions": partitions, "offsets": offsets, **population.values}
    rows = lake.rows(_EXAMPLE.format(rows=population.rows), values)
    return {(topic, partition, offset): request for topic, partition, offset, request in rows}


def _figures(sample: Sample, found: Found, requests: Mapping[Place, str]) -> Rules:
    sought, among = sample.counts.get(found.kind, 0), sum(sample.counts.values())
    rules = [
        Rule(
            text=text_of(rule.terms),
            terms=tuple(term.as_dict for term in rule.terms),
            requests=count.requests,
            hits=count.hits,
            share=count.hits / sought,
            rate=rate_of(count.hits, count.requests),
            lift=count.hits / count.requests / (sought / among),
            lift_interval=lift_interval(count, sought, among),
            p_value=rule.p_value,
            examples=tuple(requests[place] for place in places if place in requests),
        )
        for rule, count, places in zip(found.rules, found.counts, found.examples, strict=True)
        # One that others left little of may hold for fewer of the sought than chance would bring.
        if count.hits and count.hits * among > count.requests * sought
    ]
    return Rules(
        rules=tuple(rules),
        sought=sought,
        among=among,
        fields=tuple(sorted({column.name for column in sample.columns})),
        uncovered=found.uncovered,
        note=_FEW if sought < _FEWEST else sample.note,
    )


def lift_interval(count: Count, sought: int, among: int, level: float = LEVEL) -> Interval | None:
    """Katz's interval for the rate of those that a rule holds for by the others', told as a lift."""
    outside, missed = among - count.requests, sought - count.hits
    if not outside:
        return None
    # Half a hit where there is none, so that there is a logarithm.
    inner, outer = max(count.hits, 0.5) / count.requests, max(missed, 0.5) / outside
    spread = (1 - inner) / max(count.hits, 0.5) + (1 - outer) / max(missed, 0.5)
    half, share = deviations(level) * math.sqrt(max(spread, 0.0)), count.requests / among
    ratios = [math.log(inner / outer) + side * half for side in (-1, 1)]
    # The whole's rate is a mixture of both: at most 1 / share, where all hits lie within.
    low, high = (1 / (share + (1 - share) * math.exp(-ratio)) for ratio in ratios)
    return interval((low, high), level, "Katz (log of the relative risk)")
