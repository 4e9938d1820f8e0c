"""Makes reports for the tests of the gate and of the report's forms, with no lake behind them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from typing import Any

from shadowlane.aggregator.report._report import KnownRun, Report, VersionPair
from shadowlane.aggregator.report._scope import Scope
from shadowlane.aggregator.report.figures import Duplicates, Latency, LatencyBasis, ScoreDistribution
from shadowlane.aggregator.statistics import bin_edges, rate
from unit.aggregator import report_sections as sections

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def latency(p99: float | None, **changes: Any) -> Latency:
    """One model's latencies, by their p99."""
    measured = 0 if p99 is None else 1000
    curve = () if p99 is None else ((0.0, p99 / 4), (0.5, p99 / 2), (0.99, p99), (0.999, p99 * 2))
    half = None if p99 is None else p99 / 2
    found = Latency(
        measured=measured, unmeasured=0, unusable=0, p50_ms=half, p95_ms=p99, p99_ms=p99, curve=curve
    )
    return replace(found, **changes)


def latencies(p99: float | None, basis: str = "single", **changes: Any) -> tuple[LatencyBasis, ...]:
    """Both models' latencies, by the shadow's p99."""
    return (LatencyBasis(basis=basis, requests=1000, primary=latency(20.0), shadow=latency(p99, **changes)),)


def scores(distance: float | None, **changes: Any) -> ScoreDistribution:
    """A distribution of scores with this distance."""
    found = ScoreDistribution(
        edges=bin_edges(0, 1),
        primary=(20,) * 50,
        shadow=(20,) * 50,
        primary_not_finite=0,
        shadow_not_finite=0,
        one_sided=0,
        primary_median=0.5,
        shadow_median=0.5,
        distance=distance,
    )
    return replace(found, **changes)


def report(compared: int = 20_000, agreements: int = 19_000, errored: int = 10, **changes: Any) -> Report:
    """A report that meets the default policy, with these changes."""
    found = Report(
        scope=Scope("ranker", "challenger"),
        table_versions={"comparisons": 7, "errors": 3, "ledger": None},
        compared=compared,
        agreements=agreements,
        ignored=0,
        agreement_rate=rate(agreements, compared),
        errored=errored,
        error_rate=rate(errored, compared + errored),
        undecodable=0,
        first_request=NOON,
        last_request=NOON.replace(hour=18),
        latencies=latencies(80.0) if compared else (),
        errors=(),
        scores=scores(0.05) if compared else None,
        labels=None,
        segments=(),
        ledger=None,
        duplicates=Duplicates(repeated_rows=0, repeated_requests=0, repeated_errors=0, recovered=0),
        versions=(VersionPair(model_version="1", shadow_version="2", compared=compared),),
        comparators=("score:0.05",),
        largest_disagreements=(),
        known_runs=(),
    )
    return replace(found, **changes)


def full() -> Report:
    """A report with something in each of its sections."""
    return report(
        errored=1_740,
        undecodable=12,
        ignored=0,
        headline=sections.HEADLINE,
        completeness=sections.COMPLETENESS,
        agreement=sections.AGREEMENT,
        latencies=sections.LATENCIES,
        errors=sections.ERRORS,
        error_clusters=sections.CLUSTERS,
        scores=sections.SCORES,
        labels=sections.LABELS,
        segments=sections.SEGMENTS,
        standouts=sections.STANDOUTS,
        ledger=sections.LEDGER,
        duplicates=sections.DUPLICATES,
        largest_disagreements=sections.LARGEST,
        disagreement_figures=sections.DISAGREEMENTS,
        truth=sections.TRUTH,
        features=sections.FEATURES,
        freshness=sections.FRESHNESS,
        resources=sections.RESOURCES,
        coverage=sections.coverage(17),
        watch=sections.WATCH,
        known_runs=(KnownRun(model="ranker", shadow="challenger", run="march"),),
    )


#: The text of these is ours and never data's: a word that a form goes by, or a name that was checked.
_OURS = {"scope", "weight", "section", "figure", "kind", "basis", "method"}


def planted(value: Any, text: str) -> Any:
    """The same with this text in every field that holds any, at every depth; and as keys of mappings."""
    if isinstance(value, str):
        return text
    if is_dataclass(value) and not isinstance(value, type):
        found = {each.name: getattr(value, each.name) for each in fields(value) if each.init}
        return replace(
            value, **{name: planted(item, text) for name, item in found.items() if name not in _OURS}
        )
    if isinstance(value, dict):
        return {planted(key, text): planted(item, text) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(planted(item, text) for item in value)
    return value


def hostile(text: str) -> Report:
    """A full report in which every name, message and sentence is this text."""
    return planted(full(), text)  # type: ignore[no-any-return]
