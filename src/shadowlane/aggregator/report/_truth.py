"""Ground truth: where outcomes have become known, which of the two models was right.

`docs/ground-truth.md` says which label counts and how it is compared with an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shadowlane.aggregator.report._cohorts import Cohorts
from shadowlane.aggregator.report._hours import Hours
from shadowlane.aggregator.report._rates import LEVEL, rate_of
from shadowlane.aggregator.report._truth_calibration import calibrations
from shadowlane.aggregator.report._truth_figures import (
    Users,
    correctness,
    horizons,
    numeric_error,
)
from shadowlane.aggregator.report._truth_judged import (
    DAY,
    HORIZONS,
    HOUR,
    Flags,
    Judged,
    chief,
    judge,
    judged,
)
from shadowlane.aggregator.report._truth_kinds import Rule, settle
from shadowlane.aggregator.report._truth_load import counts, load_labels
from shadowlane.aggregator.report._truth_segments import (
    Group,
    coverage,
    load_segments,
    reweighted,
    sizes,
    truth_by_segment,
)
from shadowlane.aggregator.report.figures import GroundTruth, Outcome
from shadowlane.aggregator.statistics import rate
from shadowlane.lake import OpenLake

_NOTHING = GroundTruth(outcomes=(), corrected=0, withdrawn=0, contradictory=0, unknown=0)

# A cut lies within an hour: the hours before it are counted already, and of files by time few are read.
_WITHIN = """
SELECT count(*) FROM compared
WHERE event_time >= make_timestamptz($begin::BIGINT) AND event_time <= make_timestamptz($cut::BIGINT)
"""


@dataclass(frozen=True, slots=True)
class Labels:
    """What labels there are, loaded."""

    rules: tuple[Rule, ...]
    more_names: int
    first: str | None  # the outcome by which segments are judged; None: it cannot be said who was right
    is_whole: bool  # whether those of other requests than the scope's are loaded, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The compared requests, with labels and without."""

    requests: int
    agreement: float | None
    hours: Hours
    cohorts: Cohorts | None = None  # None: nothing by segment


def load_truth(lake: OpenLake, threshold: float | None = None) -> Labels | None:
    """Hold the labels of the scope's requests, and who was right; where there are none no comparison is read.

    Args:
        lake: The lake, with the scope's comparisons and errors loaded.
        threshold: From which score on an answer is 1; by default 0.5, for scores between 0 and 1.
    """
    loaded = load_labels(lake)
    if loaded is None:
        return None
    rules, more_names = settle(lake, loaded.names, threshold)
    judge(lake)
    return Labels(rules, more_names, chief(lake), loaded.is_whole)


def ground_truth(
    lake: OpenLake, labels: Labels | None, compared: Compared, level: float = LEVEL
) -> GroundTruth:
    """Both models against each outcome that labels have come for."""
    if labels is None:
        return _NOTHING
    groups = sizes(compared.cohorts) if compared.cohorts else {}
    load_segments(lake, groups)
    found = counts(lake, is_whole=labels.is_whole)
    return GroundTruth(
        outcomes=tuple(_outcome(lake, rule, compared, groups, level) for rule in labels.rules),
        corrected=found.corrected,
        withdrawn=found.withdrawn,
        contradictory=found.contradictory,
        unknown=found.unknown,
        errored=found.errored,
        more_names=labels.more_names,
    )


def _due(lake: OpenLake, hours: Hours, newest: int | None) -> tuple[int, ...]:
    """Of each horizon, the requests that are so much older than the newest label."""
    if newest is None:
        return (0,) * len(HORIZONS)
    found = []
    for days in HORIZONS:
        cut = int(newest - days * DAY)
        begin = cut // HOUR
        older = int(hours.compared[hours.hour < begin].sum())
        if hours.compared[hours.hour == begin].any():
            [(within,)] = lake.rows(_WITHIN, {"begin": begin * HOUR, "cut": cut})
            older += within
        found.append(older)
    return tuple(found)


def _outcome(
    lake: OpenLake,
    rule: Rule,
    compared: Compared,
    groups: Mapping[Group, int],
    level: float,
) -> Outcome:
    labels = judged(lake, rule.name, rule.newest)
    is_latest = labels.is_latest == 1
    users = Users.among(labels.entity, is_latest)
    labelled = int(np.count_nonzero(is_latest))
    right = correctness(labels, users, is_latest, level)
    apart = correctness(labels, users, is_latest & (labels.agreement == 0), level)
    by_segment = truth_by_segment(lake, groups, rule.name)
    found = calibrations(labels, users, rule, level)
    return Outcome(
        name=rule.name,
        kind=rule.kind,
        labelled=rate_of(labelled, compared.requests, level),
        correctness=right,
        on_disagreements=apart,
        threshold=rule.threshold,
        primary_calibration=found.primary,
        shadow_calibration=found.shadow,
        brier_difference=found.brier_difference,
        brier_difference_interval=found.brier_difference_interval,
        numeric=numeric_error(labels, users, level),
        horizons=horizons(labels, users, _due(lake, compared.hours, rule.newest), level),
        coverage=coverage(by_segment, groups, labelled, compared.requests),
        agreement_labelled=_agreement(labels, is_latest),
        agreement_all=compared.agreement,
        reweighted=reweighted(by_segment, groups, right, compared.requests) if right else (),
        calibration_difference=found.difference,
        calibration_difference_interval=found.difference_interval,
        users=users.count(is_latest),
        primary_correct_on_disagreements=apart.primary.value if apart else None,
        shadow_correct_on_disagreements=apart.shadow.value if apart else None,
    )


def _agreement(labels: Judged, where: Flags) -> float | None:
    counted = where & (labels.agreement >= 0)
    return rate(int(np.count_nonzero(counted & (labels.agreement == 1))), int(np.count_nonzero(counted)))
