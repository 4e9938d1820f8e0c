"""Reads a report: from the lake's files to the report's figures, top to bottom."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import duckdb

from shadowlane.aggregator.report import _query
from shadowlane.aggregator.report._agreement import agreement
from shadowlane.aggregator.report._asked import FEATURE
from shadowlane.aggregator.report._cohorts import cohorts
from shadowlane.aggregator.report._columns import EVERY, LATENCIES, SCORES, columns
from shadowlane.aggregator.report._completeness import completeness
from shadowlane.aggregator.report._coverage import coverage
from shadowlane.aggregator.report._disagreements import disagreement_figures
from shadowlane.aggregator.report._distributions import binned, scores
from shadowlane.aggregator.report._errors import error_clusters
from shadowlane.aggregator.report._features import features
from shadowlane.aggregator.report._freshness import freshness
from shadowlane.aggregator.report._headline import headline
from shadowlane.aggregator.report._hours import hours
from shadowlane.aggregator.report._known import known_runs
from shadowlane.aggregator.report._labels import labels
from shadowlane.aggregator.report._latency import latencies
from shadowlane.aggregator.report._ledger import ledger, load_counts
from shadowlane.aggregator.report._load import errors_left_out, load, load_control
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report._resources import resources
from shadowlane.aggregator.report._scope import Control, Scope
from shadowlane.aggregator.report._segments import look
from shadowlane.aggregator.report._shared import slow_tail_rules
from shadowlane.aggregator.report._strata import Strata, strata
from shadowlane.aggregator.report._truth import Compared, ground_truth, load_truth
from shadowlane.aggregator.report._watch import watch
from shadowlane.aggregator.report.figures import Agreement, LatencyBasis
from shadowlane.aggregator.statistics import rate
from shadowlane.errors import LakeError, SettingsError
from shadowlane.lake import (
    COMPARISONS,
    ERRORS,
    LABELS,
    LEDGER,
    REQUESTS,
    Lake,
    OpenLake,
    TableSpec,
    Versions,
    read_lake,
)
from shadowlane.visible import visible

# What the engine says of a value that an expression of the user's cannot take.
_OF_A_CONDITION = (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException)

#: What a report has when nothing else is asked for.
SECTIONS = frozenset(
    {
        *("agreement", "completeness", "coverage", "disagreements", "distributions", "errors", "features"),
        *("freshness", "latency", "resources", "rules", "segments", "totals", "truth"),
    }
)


_ROW_BY_ROW = frozenset({"distributions", "latency", "freshness", "resources", "features"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What of a scope is to be told."""

    by: Sequence[str] = ()
    control: Control | None = None
    sections: frozenset[str] = SECTIONS
    threshold: float | None = None
    confidence: float | None = None


def read_report(
    lake: Lake,
    scope: Scope,
    *,
    by: Sequence[str] = (),
    control: Control | None = None,
    sections: Collection[str] = SECTIONS,
    threshold: float | None = None,
    confidence: float | None = None,
    at: Versions | None = None,
) -> Report:
    """The figures of a scope, from one version of each of the lake's tables.

    Args:
        lake: The lake's folder. A table that is not there yet counts as empty.
        scope: Which requests count.
        by: Names of segments, or of features as `feature:NAME`, to tell more of.
        control: An A/A control, whose noise agreement is held against; None: the run's own, where it has one.
        sections: Which of the sections are read.
        threshold: From which score on an answer is 1, where labels are 0 or 1.
        confidence: At which the section `clusters` is read.
        at: The versions of the tables; None: the present ones.

    Raises:
        SettingsError: no request has a segment of that name.
        DamagedLakeError: a file that a table lists is gone, cut or altered; it says which.
    """
    if control and (control.shadow, control.run) == (scope.shadow, scope.run):
        raise SettingsError(
            f"the control {scope.shadow} (run {scope.run}) is the shadow itself: its disagreement is not the "
            "primary's noise; a worker's --control makes a run of its own, control or RUN-control"
        )
    if threshold is not None and not math.isfinite(threshold):
        raise SettingsError(f"threshold = {threshold}: a number is wanted, such as 0.5")
    asked = Asked(
        by=by, control=control, sections=frozenset(sections), threshold=threshold, confidence=confidence
    )
    try:
        report = read_lake(lake, scope, [*_tables(asked)], lambda tables: _report(tables, scope, asked), at)
    except LakeError as error:
        if scope.where is None or not isinstance(error.__cause__, _OF_A_CONDITION):
            raise
        said = visible(str(error.__cause__).splitlines()[0], 200)
        raise SettingsError(f"the condition cannot be asked of every request: {said}") from error
    return replace(report, headline=headline(report))


def _tables(asked: Asked) -> Iterator[TableSpec]:
    yield from (COMPARISONS, ERRORS, LEDGER)
    if "truth" in asked.sections:
        yield LABELS
    # The archive is large, and what it has of a request is looked at by two.
    if "rules" in asked.sections or any(name.startswith(FEATURE) for name in asked.by):
        yield REQUESTS


def _report(lake: OpenLake, scope: Scope, asked: Asked) -> Report:
    load(lake, scope)
    load_counts(lake, scope)
    counted = strata(lake)
    report = _totals(lake, scope, counted)
    report = _answers(lake, report, counted, asked)
    return _circumstances(lake, report, counted, asked)


def _totals(lake: OpenLake, scope: Scope, counted: Strata) -> Report:
    """How many requests there are, and where they went."""
    compared, agreements, ignored, errored, first, last = _query.totals(counted)
    return Report(
        scope=scope,
        table_versions=lake.versions,
        compared=compared,
        agreements=agreements,
        ignored=ignored,
        agreement_rate=rate(agreements, compared - ignored),
        errored=errored,
        error_rate=rate(errored, compared + errored),
        undecodable=_query.undecodable(lake),
        first_request=first,
        last_request=last,
        latencies=(),
        errors=_query.errors(lake, compared + errored),
        scores=None,
        labels=None,
        segments=(),
        ledger=ledger(lake, scope),
        duplicates=_query.duplicates(lake),
        versions=_query.versions(counted),
        comparators=_query.comparators(counted),
        largest_disagreements=(),
        known_runs=() if compared + errored else known_runs(lake),
        errors_left_out=errors_left_out(lake, scope),
    )


def _answers(lake: OpenLake, report: Report, counted: Strata, asked: Asked) -> Report:
    """What the two models answered, how fast, on what they differ, and what they had to go by."""
    wants, with_rules = asked.sections.__contains__, "rules" in asked.sections
    if asked.sections & _ROW_BY_ROW:
        read = columns(lake, counted, _columns(asked.sections))
        in_bins = binned(read) if asked.sections & {"distributions", "freshness"} else None
        report = replace(
            report,
            latencies=latencies(lake, read) if wants("latency") else (),
            scores=scores(read, in_bins) if wants("distributions") else None,
            labels=labels(lake) if wants("distributions") else None,
            freshness=freshness(read, in_bins) if wants("freshness") else None,
            resources=resources(read) if wants("resources") else None,
            features=features(lake, read, counted) if wants("features") else None,
        )
    if wants("errors"):
        clusters = error_clusters(lake, report.requests, with_rules=with_rules)
        report = replace(report, error_clusters=clusters)
    if wants("disagreements"):
        largest = _query.largest_disagreements(lake)
        figures = disagreement_figures(lake, with_rules=with_rules)
        report = replace(report, largest_disagreements=largest, disagreement_figures=figures)
    return replace(report, latencies=_with_tails(lake, report.latencies) if with_rules else report.latencies)


def _columns(sections: Collection[str]) -> tuple[str, ...]:
    """What is read row by row."""
    wanted = {"distributions": SCORES, "latency": (*LATENCIES, "basis")}
    if not wanted.keys() >= {*sections} & _ROW_BY_ROW:
        return EVERY
    return tuple(name for section, names in wanted.items() if section in sections for name in names)


def _with_tails(lake: OpenLake, found: tuple[LatencyBasis, ...]) -> tuple[LatencyBasis, ...]:
    """With what the slow requests share, of those that were timed alone and warm."""
    return tuple(
        replace(each, tail=replace(tail, rules=slow_tail_rules(lake, each.basis, tail.threshold_ms)))
        if each.basis == "single" and (tail := each.tail) and tail.slow.part
        else each
        for each in found
    )


def _circumstances(lake: OpenLake, report: Report, counted: Strata, asked: Asked) -> Report:
    """Who was right, of whom all this is so, and what the figures rest on."""
    wants = asked.sections.__contains__
    outcomes = load_truth(lake, asked.threshold) if wants("truth") else None
    groups = None
    if wants("segments") or asked.by:
        groups = cohorts(lake, counted, outcomes.first if outcomes else None)
        edges = report.scores.edges if report.scores else ()
        looked = look(lake, groups, asked.by, edges=edges, in_detail=wants("segments"))
        others = tuple(each for each in looked.found if each.name not in asked.by)
        report = replace(
            report, segments=(*looked.asked, *others), standouts=looked.standouts, segment_notes=looked.notes
        )
    if wants("truth"):
        compared = Compared(
            requests=report.compared, agreement=report.agreement_rate, hours=hours(counted), cohorts=groups
        )
        report = replace(report, truth=ground_truth(lake, outcomes, compared))
    if wants("completeness"):
        balance = completeness(lake, report.ledger, report.compared, report.errored)
        report = replace(report, completeness=balance)
    return replace(
        report,
        agreement=_agreement(lake, report.scope, counted, asked) if wants("agreement") else None,
        coverage=coverage(counted) if wants("coverage") else None,
        watch=watch(lake, asked.confidence, asked.by) if wants("clusters") else None,
    )


def _agreement(lake: OpenLake, scope: Scope, counted: Strata, asked: Asked) -> Agreement:
    return agreement(lake, counted, load_control(lake, scope, asked.control))
