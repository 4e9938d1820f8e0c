"""How long the models took, each on its own, request by request, and at the slow end."""

from __future__ import annotations

from collections.abc import Iterator

from shadowlane.aggregator.forms.content._parts import (
    PRIMARY,
    SHADOW,
    Cell,
    Column,
    Section,
    Table,
    right,
    table,
)
from shadowlane.aggregator.forms.content._rules import rules_table
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import Latency, LatencyBasis, PairedLatency, Tail
from shadowlane.visible import visible

_LEVELS = ("p50", "p95", "p99")


def latency(report: Report) -> Iterator[Section]:
    """Percentiles by how they were timed; the paired difference; the slow tail."""
    if not report.latencies:
        return
    judged = report.latency
    lead = "No request was timed alone and warm: there are no percentiles to judge by."
    if judged:
        lead = f"Judged by the {judged.requests:,} requests that the shadow answered alone and warm (single)."
    tables = [_percentiles(report)]
    if judged:
        tables += _intervals(judged)
        tables += _paired(judged.paired)
        tables += _tail(judged.tail)
        tables.append(_curve(judged))
    yield Section(key="latency", title="Latency", lead=(lead,), tables=tuple(tables))


def _percentiles(report: Report) -> Table:
    rows: list[tuple[Cell | str, ...]] = []
    for each in report.latencies:
        basis, requests = visible(each.basis, 20), _values.count(each.requests)
        rows.append((basis, requests, PRIMARY, *_at_levels(each.primary)))
        rows.append((basis, requests, SHADOW, *_at_levels(each.shadow)))
    return table(("timed", *right("requests"), "model", *right(*_LEVELS)), rows)


def _at_levels(side: Latency) -> list[str]:
    return [_values.milliseconds(getattr(side, f"{level}_ms")) for level in _LEVELS]


def _intervals(judged: LatencyBasis) -> Iterator[Table]:
    rows = [
        (
            level,
            *(
                _values.between(getattr(side, f"{level}_interval"), _values.milliseconds)
                for side in (judged.primary, judged.shadow)
            ),
        )
        for level in _LEVELS
    ]
    if any(cell != _values.NOTHING for row in rows for cell in row[1:]):
        yield table(("interval of", *right("primary", "shadow")), rows, title="Intervals")


def _paired(found: PairedLatency | None) -> Iterator[Table]:
    if found is None:
        return
    write = _values.signed_milliseconds
    rows = [
        ("median difference", write(found.median_ms), _values.between(found.median_interval, write)),
        ("95 % of the requests: at most", write(found.p95_ms), ""),
        ("99 % of the requests: at most", write(found.p99_ms), ""),
        (
            "the shadow took longer on",
            _values.percent(found.slower.value),
            _values.between(found.slower.interval, _values.percent),
        ),
    ]
    if found.median_ratio is not None:
        rows.append(("median ratio", f"{found.median_ratio:,.2f} times", ""))
    title = f"Shadow less primary, request by request ({found.requests:,})"
    yield table(("difference", *right("value", "interval")), rows, title=title)


def _tail(found: Tail | None) -> Iterator[Table]:
    if found is None:
        return
    rows = [
        (
            visible(each.request_id),
            _values.milliseconds(each.primary_ms),
            _values.milliseconds(each.shadow_ms),
        )
        for each in found.slowest
    ]
    slow = f"{_values.many(found.slow.part, 'request')} ({_values.percent(found.slow.value)})"
    note = (
        f"{slow} took the shadow {_values.milliseconds(found.threshold_ms)} or longer, ten times its median: "
        f"{_values.percent(found.of_whole_time)} of all its time."
    )
    columns = (Column("request", "whole"), *right("primary", "shadow"))
    yield table(columns, rows, title="The slow tail", note=note)
    yield from rules_table(found.rules, "What the slow ones share", "slow")


def _curve(judged: LatencyBasis) -> Table:
    shadow = dict(judged.shadow.curve)
    rows = [
        (_values.percent(q, 1), _values.milliseconds(ms), _values.milliseconds(shadow.get(q)))
        for q, ms in judged.primary.curve
    ] or [(_values.percent(q, 1), _values.NOTHING, _values.milliseconds(ms)) for q, ms in judged.shadow.curve]
    return table(right("so many took at most", "primary", "shadow"), rows, title="Latency curve", behind=True)
