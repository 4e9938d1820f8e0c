"""What failed, and what those requests share."""

from __future__ import annotations

from collections.abc import Iterator

from shadowlane.aggregator.forms.content._parts import Column, Section, Table, right, table
from shadowlane.aggregator.forms.content._rules import rules_table
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import ErrorCluster
from shadowlane.visible import visible

_MOST_CLUSTERS = 20
_WITH_RULES = 5


def errors(report: Report) -> Iterator[Section]:
    """The requests that the shadow did not answer: by stage and type, and by what was said."""
    if not report.errors:
        if report.requests:
            yield Section(key="errors", title="Errors", lead=("No errors.",))
        return
    lead = [f"Requests that the shadow did not answer: {report.errored:,} of {report.requests:,}."]
    if report.undecodable:
        lead.append(f"Besides, not readable and in no count: {_values.unreadable(report.undecodable)}.")
    tables = [_stages(report), *_clusters(report.error_clusters or ())]
    yield Section(key="errors", title="Errors", lead=tuple(lead), tables=tuple(tables))


def _stages(report: Report) -> Table:
    rows: list[tuple[str, ...]] = []
    for stage in report.errors:
        name = visible(stage.stage, 40)
        for each in stage.types:
            share = _values.percent(each.rate) if stage.counted else "not counted"
            rows.append(
                (
                    name,
                    visible(each.error_type, 60),
                    f"{each.requests:,}",
                    share,
                    visible(each.example, 120),
                )
            )
        if stage.other_types:
            rows.append((name, "(all other types)", f"{stage.other_types:,}", "", ""))
    columns = (
        "stage",
        Column("error", "data"),
        *right("requests", "of all requests"),
        Column("an example", "data"),
    )
    return table(columns, rows, title="By stage and type")


def _clusters(found: tuple[ErrorCluster, ...]) -> Iterator[Table]:
    if not found:
        return
    columns = (
        "stage",
        Column("error", "data"),
        Column("message", "data"),
        *right("requests", "rate", "first seen", "last seen"),
        Column("for example", "data"),
    )
    more = len(found) - _MOST_CLUSTERS
    note = f"And {_values.many(more, 'more cluster')}." if more > 0 else ""
    yield table(columns, [_cluster(each) for each in found[:_MOST_CLUSTERS]], title="By message", note=note)
    for each in found[:_WITH_RULES]:
        title = f"What these share: {visible(each.error_type, 40)}, {visible(each.shape, 60)}"
        yield from rules_table(each.rules, title, "failed")


def _cluster(each: ErrorCluster) -> tuple[str, ...]:
    return (
        visible(each.stage, 12),
        visible(each.error_type, 40),
        visible(each.shape, 120),
        _values.count(each.rate.part),
        _values.percent(each.rate.value),
        *(f"{when:%m-%d %H:%M}" if when else _values.NOTHING for when in (each.first_seen, each.last_seen)),
        ", ".join(visible(example, 64) for example in each.examples[:3]),
    )
