"""What the page was made from: tables and versions, what must be known, and by which formulas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from shadowlane.aggregator.forms.content._parts import Column, Section, right, table
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._notes import notes
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import Interval
from shadowlane.aggregator.statistics import QUANTILE_METHOD
from shadowlane.visible import visible

_SENTENCE = 1_000
_MOST_PAIRS = 10


def remarks(report: Report) -> Iterator[Section]:
    """What a reader of the figures must know to read them right."""
    said = notes(report)
    if said:
        lead = tuple(visible(note, _SENTENCE) for note in said)
        yield Section(key="notes", title="To know", lead=lead, brief=True)


def evidence(report: Report) -> Section:
    """The lake's tables at their versions, the models' versions, and the window."""
    rows = [("tables read", versions_of(report.table_versions))]
    rows += [
        ("compared", f"{_version(each.model_version)} → {_version(each.shadow_version)}: {each.compared:,}")
        for each in report.versions[:_MOST_PAIRS]
    ]
    if report.comparators:
        rows.append(
            ("comparators", ", ".join(visible(each, 60) for each in report.comparators[:_MOST_PAIRS]))
        )
    scope = report.scope
    start = _values.moment(scope.start) if scope.start else "from the beginning"
    rows.append(("window asked for", f"{start} to {_values.moment(scope.end) if scope.end else 'now'}"))
    return Section(key="evidence", title="Evidence", tables=(table(("what", Column("which", "data")), rows),))


def narrowed(summary: Mapping[str, Any]) -> Iterator[str]:
    """Of which requests alone a verdict is, where it is not of all."""
    start, end, where = (summary[name] for name in ("window_start", "window_end", "where"))
    parts = [
        f"made from {_values.moment(start)} on" if start else "",
        f"made before {_values.moment(end)}" if end else "",
        f"where {visible(where, _SENTENCE)}" if where else "",
    ]
    if any(parts):
        yield f"The verdict is of requests {', '.join(filter(None, parts))}, and of no others."


def watch(report: Report) -> Iterator[Section]:
    """What the gate's intervals rest on: how requests cluster by user."""
    found = report.watch
    if not found:
        return
    rows = [
        ("users", f"{found.users:,} of {found.requests:,} requests"),
        ("requests worth one, of disagreement", f"{found.of_disagreement:,.2f}"),
        ("requests worth one, of errors", f"{found.of_errors:,.2f}"),
        ("requests worth one, of slowness", f"{found.of_slowness:,.2f}"),
        ("shadow p99", _values.between(found.shadow_p99_ms, _values.milliseconds)),
        ("shadow p99 by primary p99", _values.between(found.p99_ratio, _values.number)),
        ("CPU p99", _values.between(found.cpu_p99_ms, _values.milliseconds)),
    ]
    lead = f"The gate's intervals hold at {found.level * 100:g} % however often one looks."
    shown = table(("what", *right("value")), [row for row in rows if row[1] != _values.NOTHING])
    yield Section(key="watch", title="Looking often", lead=(lead,), tables=(shown,))


def _version(name: str) -> str:
    return visible(name, 60) or "(none)"


def versions_of(tables: Any) -> str:
    """`comparisons @7, ledger absent`."""
    return ", ".join(f"{visible(name)} {'absent' if at is None else f'@{at}'}" for name, at in tables.items())


def methods(report: Report) -> Section:
    """By which formulas, in a few sentences."""
    said = [
        "A request counts once.",
        "The error rate is over all requests; agreement, latency and distributions over the compared ones.",
        f"Percentiles are exact over the rows: {QUANTILE_METHOD}.",
        "The distance is Jensen-Shannon's, natural logarithm, square root.",
    ]
    used = sorted({(f"{each.level:g}", each.method) for each in _intervals(report)})
    if used:
        named = ", ".join(f"{visible(method, 60)} ({float(level) * 100:g} %)" for level, method in used)
        said.append(f"Intervals: {named}.")
    return Section(key="methods", title="Methods", lead=tuple(said))


def _intervals(value: Any) -> Iterator[Interval]:
    """Every interval in the report, however deep."""
    if isinstance(value, Interval):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _intervals(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _intervals(getattr(value, field.name))
