"""Which of the two was right, where the outcome has become known."""

from __future__ import annotations

from dataclasses import dataclass

from shadowlane.aggregator.report.figures._rate import Interval, Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Correctness:
    """Both models against the labels, over the same requests."""

    requests: int
    primary: Rate
    shadow: Rate
    difference: float | None  # the shadow's less the primary's
    difference_interval: Interval | None
    only_primary: int  # the primary was right and the shadow was not
    only_shadow: int
    mcnemar_p: float | None  # exact, of these two


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBin:
    """Requests with about the same score: what it promised, and what came of it."""

    requests: int
    mean_score: float
    outcome_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How good one model's scores are as probabilities of an outcome of 0 or 1."""

    brier: float
    expected_error: float  # expected calibration error, bins of equal mass
    bins: tuple[CalibrationBin, ...]
    #: "outcome": the score is the probability of 1; "label": of the model's own label being right.
    of: str = "outcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericError:
    """Both models' distance from a label that is a number."""

    requests: int
    primary_mean_absolute: float
    shadow_mean_absolute: float
    difference: float  # the shadow's less the primary's: below 0 the shadow is nearer
    difference_interval: Interval | None
    left_out: int = 0  # labelled requests without two finite scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """What is known from labels that came within so many days of the request."""

    days: int
    due: int  # requests made at least so long before the newest label
    labelled: int
    correctness: Correctness | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageGroup:
    """How many requests of one cohort have a label."""

    segment: str
    value: str | None
    labelled: Rate
    p_value: float | None  # against the rest, corrected for how many were looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Reweighted:
    """Both models' correctness, had each value of a segment its share of the labels."""

    segment: str
    primary: float
    shadow: float
    difference: float
    reached: float  # the share of the compared requests whose value of the segment has any judged label


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One name of labels (`label`, `click`, …) against both models."""

    name: str
    #: "class" (labels), "binary" (0 or 1 against scores), "number", or "other": nothing to compare with.
    kind: str
    labelled: Rate  # of the compared requests
    correctness: Correctness | None
    on_disagreements: Correctness | None
    threshold: float | None  # a score from this on says 1; None where no score was cut
    primary_calibration: Calibration | None
    shadow_calibration: Calibration | None
    brier_difference: float | None
    brier_difference_interval: Interval | None
    numeric: NumericError | None
    horizons: tuple[Horizon, ...]
    coverage: tuple[CoverageGroup, ...]  # the least covered first
    #: Agreement among the labelled and among all: apart, labels do not speak for all requests.
    agreement_labelled: float | None
    agreement_all: float | None
    reweighted: tuple[Reweighted, ...] = ()  # by segment, the one that shifts the difference most first
    calibration_difference: float | None = None  # of the expected errors, the shadow's less the primary's
    calibration_difference_interval: Interval | None = None
    users: int | None = None  # of how many, where requests cluster by entity_id: intervals then go by them
    primary_correct_on_disagreements: float | None = None  # the rates of `on_disagreements`
    shadow_correct_on_disagreements: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundTruth:
    """Every outcome that labels have come for."""

    outcomes: tuple[Outcome, ...]
    corrected: int  # labels that a later one took the place of
    withdrawn: int
    contradictory: int  # requests with different labels of one name, observed at the same time
    #: Labels of requests that this scope does not have; None: far too many to count.
    unknown: int | None
    errored: int = 0  # labels of requests that the shadow gave no answer to: in no figure here
    more_names: int = 0  # names of labels beyond the most frequent ones
