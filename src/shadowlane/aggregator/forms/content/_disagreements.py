"""The requests on which the two disagree: how many, which way, what they share, and the largest."""

from __future__ import annotations

from collections.abc import Iterator

from shadowlane.aggregator.forms.content._parts import Column, Section, Table, right, table
from shadowlane.aggregator.forms.content._rules import rules_table
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import DISAGREEMENT_ORDER, DisagreementFigures
from shadowlane.visible import visible


def disagreements(report: Report) -> Iterator[Section]:
    """Differences are the shadow's score less the primary's."""
    found, tables = report.disagreement_figures, []
    if found:
        tables.append(_figures(found))
        tables += rules_table(found.rules, "What the disagreements share", "disagreeing", brief=True)
    if report.largest_disagreements:
        tables.append(_largest(report))
    if tables:
        many = f"On {report.disagreements:,} requests the two do not agree."
        yield Section(key="disagreements", title="Disagreements", lead=(many,), tables=tuple(tables))


def _figures(found: DisagreementFigures) -> Table:
    rows = [
        (
            "disagreement",
            _values.percent(found.rate.value),
            _values.between(found.rate.interval, _values.percent),
        ),
        (
            f"the shadow is higher, of {found.shadow_higher.whole:,} with two scores",
            _values.percent(found.shadow_higher.value),
            _values.between(found.shadow_higher.interval, _values.percent),
        ),
        (
            "mean difference over all, shadow less primary",
            _values.signed(found.mean_difference),
            _values.between(found.mean_difference_interval, _values.signed),
        ),
        ("mean size of the difference", _values.number(found.mean_absolute_difference), ""),
        ("mean difference where they disagree", _values.signed(found.mean_difference_of_disagreements), ""),
    ]
    return table(("figure", *right("value", "interval")), rows)


def _largest(report: Report) -> Table:
    rows = [
        (
            visible(each.request_id),
            visible(_values.prediction(each.primary), 40),
            visible(_values.prediction(each.shadow), 40),
            _values.number(each.difference),
            _values.moment(each.event_time),
        )
        for each in report.largest_disagreements
    ]
    columns = (
        Column("request", "whole"),
        Column("primary", "data"),
        Column("shadow", "data"),
        *right("difference", "made"),
    )
    return table(columns, rows, title="Largest disagreements", note=DISAGREEMENT_ORDER)
