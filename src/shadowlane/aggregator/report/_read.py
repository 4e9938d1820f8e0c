"""Reads a report: from the lake's files to the report's figures, top to bottom."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from shadowlane.aggregator.report import _distributions, _query, _segments
from shadowlane.aggregator.report._cohorts import cohorts
from shadowlane.aggregator.report._known import known_runs
from shadowlane.aggregator.report._ledger import ledger, load_counts
from shadowlane.aggregator.report._load import load
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report._scope import Control, Scope
from shadowlane.aggregator.report._strata import strata
from shadowlane.aggregator.report._watch import watch
from shadowlane.aggregator.statistics import rate
from shadowlane.lake import COMPARISONS, ERRORS, LEDGER, Lake, OpenLake, Versions, read_lake


def read_report(
    lake: Lake,
    scope: Scope,
    *,
    by: Sequence[str] = (),
    control: Control | None = None,  # noqa: ARG001 - soon
    sections: Collection[str] | None = None,
    confidence: float | None = None,
    at: Versions | None = None,
) -> Report:
    """The figures of a scope, from one version of each of the lake's tables.

    Args:
        lake: The lake's folder. A table that is not there yet counts as empty.
        scope: Which requests count.
        by: Names of segments to break the figures down by.
        control: An A/A control, whose noise agreement is held against.
        sections: Which of the sections are read; None: all but `clusters`.
        confidence: At which the section `clusters` is read.
        at: The versions of the tables; None: the present ones.

    Raises:
        SettingsError: no request has a segment of that name.
        DamagedLakeError: a file that a table lists is gone, cut or altered; it says which.
    """
    wanted = frozenset(() if sections is None else sections)
    return read_lake(
        lake,
        scope,
        (COMPARISONS, ERRORS, LEDGER),
        lambda tables: _report(tables, scope, by, wanted, confidence),
        at,
    )


def _report(
    tables: OpenLake, scope: Scope, by: Sequence[str], wanted: frozenset[str], confidence: float | None
) -> Report:
    load(tables, scope, by)
    load_counts(tables, scope)
    counted = strata(tables)
    scores = _distributions.scores(tables)
    looked = _segments.look(tables, cohorts(tables, counted), by, edges=scores.edges if scores else ())
    compared, agreements, ignored, errored, first, last = _query.totals(counted)
    is_empty = compared + errored == 0
    return Report(
        scope=scope,
        table_versions=tables.versions,
        compared=compared,
        agreements=agreements,
        ignored=ignored,
        agreement_rate=rate(agreements, compared - ignored),
        errored=errored,
        error_rate=rate(errored, compared + errored),
        undecodable=_query.undecodable(tables),
        first_request=first,
        last_request=last,
        latencies=_query.latencies(tables),
        errors=_query.errors(tables, compared + errored),
        scores=scores,
        labels=_distributions.labels(tables),
        segments=looked.asked,
        standouts=looked.standouts,
        ledger=ledger(tables, scope),
        duplicates=_query.duplicates(tables),
        versions=_query.versions(counted),
        comparators=_query.comparators(counted),
        largest_disagreements=_query.largest_disagreements(tables),
        known_runs=known_runs(tables) if is_empty else (),
        watch=watch(tables, confidence) if "clusters" in wanted else None,
    )
