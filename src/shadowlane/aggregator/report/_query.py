"""The report's figures, each asked of what `_load` read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from shadowlane.aggregator.report._report import VersionPair
from shadowlane.aggregator.report._strata import Strata, summed
from shadowlane.aggregator.report.figures import (
    Disagreement,
    Duplicates,
    ErrorStage,
    ErrorType,
)
from shadowlane.aggregator.statistics import rate
from shadowlane.lake import OpenLake
from shadowlane.schemas import Prediction

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ERROR_TYPES = 10

_ERRORS = """
SELECT stage, is_undecodable, error_type, count(*), arg_min(message, (event_time, request)),
  sum(count(*)) OVER (PARTITION BY stage, is_undecodable) AS of_stage
FROM unanswered GROUP BY stage, is_undecodable, error_type
ORDER BY is_undecodable, of_stage DESC, stage, count(*) DESC, error_type
"""

_DUPLICATES = """
SELECT
  (SELECT count(*) FROM repeated WHERE is_same_place),
  (SELECT count(*) FROM repeated WHERE NOT is_same_place),
  (SELECT count(*) FROM error WHERE seat > 1),
  (SELECT count(*) FROM error WHERE seat = 1) - (SELECT count(*) FROM unanswered)
"""

# Between different labels the difference of the confidences says nothing (two sure models that
# contradict each other have none), so those rank by how sure the two are together.
# A difference that is no number is the largest of all; one that was never a number comes last.
_FURTHEST = """
CREATE TEMP TABLE furthest AS
SELECT event_time, filename, file_row_number
FROM compared WHERE NOT agreement
ORDER BY {by} DESC NULLS LAST,
  event_time, landed_partition, landed_offset, filename, file_row_number
LIMIT 10
"""
_HAS_LABELS = "SELECT count(primary_label) + count(shadow_label) > 0 FROM compared"
_BY_DIFFERENCE = "abs(difference)"
_FLIPS_FIRST = """
  primary_label IS DISTINCT FROM shadow_label DESC,
  CASE WHEN primary_label IS DISTINCT FROM shadow_label
    THEN coalesce(primary_score, 0) + coalesce(shadow_score, 0) ELSE abs(difference) END"""

# What is wide is read of these rows alone: files are in the order of time, so of few groups of rows.
_LARGEST = """
SELECT request, epoch_us(compared.event_time),
  primary_score, primary_label, primary_vector[:8], primary_ranking[:8],
  shadow_score, shadow_label, shadow_vector[:8], shadow_ranking[:8],
  CASE WHEN primary_label IS NOT DISTINCT FROM shadow_label THEN difference END
FROM compared JOIN furthest USING (filename, file_row_number)
ORDER BY furthest.rowid
"""


def totals(found: Strata) -> tuple[int, int, int, int, datetime | None, datetime | None]:
    """Compared requests, agreements, ignored ones, errored requests, first and last event time."""
    first, last = found.moments_us or (None, None)
    return (
        found.count(),
        found.count(lambda each: each.agreement is True),
        found.count(lambda each: each.agreement is None),
        sum(each.requests for each in found.errored),
        _moment(first),
        _moment(last),
    )


def errors(lake: OpenLake, requests: int) -> tuple[ErrorStage, ...]:
    """The errored requests by stage, and by type within; last, what could not be decoded."""
    by_stage: dict[tuple[str, bool], list[tuple[Any, ...]]] = {}
    for stage, is_undecodable, *row in lake.rows(_ERRORS):
        by_stage.setdefault((stage, not is_undecodable), []).append(tuple(row))
    return tuple(
        _error_stage(stage, rows, requests, counted=counted) for (stage, counted), rows in by_stage.items()
    )


def undecodable(lake: OpenLake) -> int:
    """How many messages could not be read as a request."""
    [(messages,)] = lake.rows("SELECT count(*) FROM undecodable")
    return int(messages)


def _error_stage(stage: str, rows: list[tuple[Any, ...]], requests: int, *, counted: bool) -> ErrorStage:
    count, whole = sum(row[1] for row in rows), requests if counted else 0
    return ErrorStage(
        stage=stage,
        requests=count,
        counted=counted,
        rate=rate(count, whole),
        types=tuple(
            ErrorType(error_type=name, requests=n, rate=rate(n, whole), example=example)
            for name, n, example, _ in rows[:_ERROR_TYPES]
        ),
        other_types=sum(row[1] for row in rows[_ERROR_TYPES:]),
    )


def duplicates(lake: OpenLake) -> Duplicates:
    """What was found and not counted."""
    [(repeated_rows, repeated_requests, repeated_errors, recovered)] = lake.rows(_DUPLICATES)
    return Duplicates(
        repeated_rows=repeated_rows,
        repeated_requests=repeated_requests,
        repeated_errors=repeated_errors,
        recovered=recovered,
    )


def versions(found: Strata) -> tuple[VersionPair, ...]:
    """Which versions were compared."""
    pairs = summed(found, lambda each: (each.model_version, each.shadow_version))
    return tuple(
        VersionPair(model_version=model, shadow_version=shadow, compared=compared)
        for (model, shadow), compared in pairs.items()
    )


def comparators(found: Strata) -> tuple[str, ...]:
    """Which rules decided on agreement, the most used first."""
    judged = Strata(tuple(each for each in found.compared if each.agreement is not None), ())
    return tuple(name for name in summed(judged, lambda each: each.comparator) if name)


def largest_disagreements(lake: OpenLake) -> tuple[Disagreement, ...]:
    """The ten requests on which the two are furthest apart, in the order that `DISAGREEMENT_ORDER` tells."""
    [(has_labels,)] = lake.rows(_HAS_LABELS)
    lake.rows(_FURTHEST.format(by=_FLIPS_FIRST if has_labels else _BY_DIFFERENCE))
    return tuple(
        Disagreement(
            request_id=request,
            event_time=_moment(microseconds),
            primary=_prediction(*row[:4]),
            shadow=_prediction(*row[4:8]),
            difference=row[8],
        )
        for request, microseconds, *row in lake.rows(_LARGEST)
    )


def _prediction(
    score: float | None, label: str | None, vector: list[float] | None, ranking: list[str] | None
) -> Prediction:
    return Prediction(score=score, label=label, vector=vector, ranking=ranking)


def _moment(microseconds: int | None) -> datetime | None:
    # The engine's own conversion of a time with a zone wants another package.
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
