"""The requests on which the two disagree."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shadowlane.aggregator.report.figures._rate import Interval, Rate
from shadowlane.aggregator.report.figures._rules import Rules
from shadowlane.schemas import Prediction

#: How the largest disagreements are put in order, for those who read them.
DISAGREEMENT_ORDER = (
    "Different labels first, by the sum of both confidences; then by the size of the difference."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """One request on which the two disagree."""

    request_id: str
    event_time: datetime | None
    primary: Prediction
    shadow: Prediction
    difference: float | None  # None between different labels: their scores are not of the same thing


@dataclass(frozen=True, slots=True, kw_only=True)
class DisagreementFigures:
    """All of them together; differences are the shadow's score less the primary's."""

    rate: Rate
    shadow_higher: Rate  # of those with two finite scores that differ
    mean_difference: float | None  # over all compared requests with two finite scores
    mean_difference_interval: Interval | None
    mean_absolute_difference: float | None
    mean_difference_of_disagreements: float | None
    rules: Rules | None  # None where they were not sought
