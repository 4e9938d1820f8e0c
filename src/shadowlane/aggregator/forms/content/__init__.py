"""What the page says, whatever form it takes: a file for each of its parts, top to bottom here."""

from __future__ import annotations

from shadowlane.aggregator.forms.content._agreement import agreement
from shadowlane.aggregator.forms.content._context import coverage, features, freshness, resources
from shadowlane.aggregator.forms.content._disagreements import disagreements
from shadowlane.aggregator.forms.content._distributions import distributions
from shadowlane.aggregator.forms.content._errors import errors
from shadowlane.aggregator.forms.content._evidence import (
    evidence,
    methods,
    narrowed,
    remarks,
    versions_of,
    watch,
)
from shadowlane.aggregator.forms.content._latency import latency
from shadowlane.aggregator.forms.content._parts import Cell, Column, Section, Table, table
from shadowlane.aggregator.forms.content._segments import all_groups, group_name, segments
from shadowlane.aggregator.forms.content._totals import balance, findings, headline, totals
from shadowlane.aggregator.forms.content._truth import truth
from shadowlane.aggregator.report._report import Report

__all__ = [
    "Cell",
    "Column",
    "Section",
    "Table",
    "all_groups",
    "findings",
    "group_name",
    "narrowed",
    "sections",
    "table",
    "versions_of",
]


def sections(report: Report) -> tuple[Section, ...]:
    """The page, what must be seen first at its top. A form puts the verdict after the headline."""
    return (
        *headline(report),
        totals(report),
        *balance(report),
        *agreement(report),
        *segments(report),
        *latency(report),
        *errors(report),
        *distributions(report),
        *disagreements(report),
        *truth(report),
        *features(report),
        *freshness(report),
        *resources(report),
        *coverage(report),
        *watch(report),
        *remarks(report),
        evidence(report),
        methods(report),
    )
