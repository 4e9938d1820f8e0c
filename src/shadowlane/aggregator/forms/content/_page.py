"""The page's parts, top to bottom."""

from __future__ import annotations

from shadowlane.aggregator.forms.content._agreement import agreement
from shadowlane.aggregator.forms.content._context import coverage, features, freshness, resources
from shadowlane.aggregator.forms.content._disagreements import disagreements
from shadowlane.aggregator.forms.content._distributions import distributions
from shadowlane.aggregator.forms.content._errors import errors
from shadowlane.aggregator.forms.content._evidence import evidence, methods, remarks, watch
from shadowlane.aggregator.forms.content._latency import latency
from shadowlane.aggregator.forms.content._parts import Section
from shadowlane.aggregator.forms.content._segments import segments
from shadowlane.aggregator.forms.content._totals import balance, headline, totals
from shadowlane.aggregator.forms.content._truth import truth
from shadowlane.aggregator.report._report import Report


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
