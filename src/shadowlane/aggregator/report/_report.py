"""The report: the figures of a scope, as plain values.

A figure that cannot be computed is None: never 0, never NaN. A *rate* is a share between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shadowlane.aggregator.report._scope import Scope
from shadowlane.schemas import Prediction

#: A group of fewer requests than this is marked as small: its rates say little.
SMALL_GROUP = 100

#: How the largest disagreements are put in order, for those who read them.
DISAGREEMENT_ORDER = (
    "Different labels first, by the sum of both confidences; then by the size of the difference."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """One model's latencies in milliseconds, exact over the rows."""

    measured: int
    unmeasured: int  # no latency was reported
    unusable: int  # NaN, infinite or negative
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    curve: tuple[tuple[float, float], ...]  # (share of the requests, no slower than this)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBasis:
    """Both models' latencies over the same requests: those whose shadow was timed in one way."""

    basis: str
    requests: int
    primary: Latency
    shadow: Latency


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorType:
    """One kind of error within a stage."""

    error_type: str
    requests: int
    rate: float | None
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorStage:
    """The requests that failed at one stage; the rate is over all requests of the report."""

    stage: str
    requests: int
    counted: bool  # False: messages that could not be decoded, in no count of requests and in no rate
    rate: float | None
    types: tuple[ErrorType, ...]
    other_types: int  # requests with a type beyond the most frequent ones


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreDistribution:
    """Both models' scores, counted in bins that share out the range of both."""

    edges: tuple[float, ...]
    primary: tuple[int, ...]
    shadow: tuple[int, ...]
    primary_not_finite: int  # NaN or infinite: in no bin
    shadow_not_finite: int
    one_sided: int  # requests where one model gave a score and the other none
    primary_median: float | None  # of the finite scores (a mean would depend on the order of addition)
    shadow_median: float | None
    distance: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCount:
    """How often each model answered with this label."""

    label: str | None
    primary: int
    shadow: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelDistribution:
    """Both models' labels; the distance is over all of them, the list holds the most frequent."""

    labels: tuple[LabelCount, ...]
    other: LabelCount | None
    one_sided: int
    distance: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentGroup:
    """The requests of one value of a segment (None: those that do not have it)."""

    value: str | None
    requests: int
    compared: int
    agreement_rate: float | None
    errored: int
    error_rate: float | None
    is_small: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The figures by one segment, the worst group first; `other` is what the rarest values add up to."""

    name: str
    groups: tuple[SegmentGroup, ...]
    other: SegmentGroup | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Where the requests went, by the hooks' own counts (of the model, whatever the window)."""

    hooks: int
    still_counting: int  # hooks whose last entry is not their final one
    observed: int
    primary_failed: int
    sampled_out: int
    published: int
    dropped: Mapping[str, int]
    delivered: int
    failed: int
    #: Delivered, and neither compared nor failed: waiting, or lost. None where a window or a named replay
    #: makes the two counts incomparable.
    unexplained: int | None
    uncounted: int | None  # in the lake, and beyond what the hooks' counts say; None as above


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Rows that were found and not counted."""

    repeated_rows: int  # the same place of the source topic landed again
    repeated_requests: int  # a request published twice: its first comparison counts
    repeated_errors: int  # a request that failed more than once: its last error counts
    recovered: int  # a request that failed and was compared later: the comparison counts


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPair:
    """Which versions were compared, and over how many requests."""

    model_version: str
    shadow_version: str
    compared: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """One request on which the two disagree."""

    request_id: str
    event_time: datetime | None
    primary: Prediction
    shadow: Prediction
    difference: float | None  # None between different labels: their scores are not of the same thing


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRun:
    """A model, shadow and run that the lake has comparisons or errors of."""

    model: str
    shadow: str
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The figures of a scope, from one version of each table."""

    scope: Scope
    table_versions: Mapping[str, int | None]
    compared: int
    agreements: int
    ignored: int  # compared, and by a rule neither agreement nor disagreement
    agreement_rate: float | None
    errored: int
    error_rate: float | None
    undecodable: int  # messages of the topic that could not be read: no request, and no model was asked
    first_request: datetime | None
    last_request: datetime | None
    latencies: tuple[LatencyBasis, ...]
    errors: tuple[ErrorStage, ...]
    scores: ScoreDistribution | None
    labels: LabelDistribution | None
    segments: tuple[Segment, ...]
    ledger: Ledger | None
    duplicates: Duplicates
    versions: tuple[VersionPair, ...]
    comparators: tuple[str, ...]
    largest_disagreements: tuple[Disagreement, ...]
    known_runs: tuple[KnownRun, ...]  # what the lake has instead, where the scope has no request

    @property
    def requests(self) -> int:
        """Distinct requests: compared or errored."""
        return self.compared + self.errored

    @property
    def disagreements(self) -> int:
        """Compared requests on which the two do not agree."""
        return self.compared - self.ignored - self.agreements

    @property
    def latency(self) -> LatencyBasis | None:
        """The latencies to judge by: of requests that the shadow answered alone and warm."""
        return next((each for each in self.latencies if each.basis == "single"), None)

    @property
    def distribution_of(self) -> Literal["scores", "labels"] | None:
        """What the distance speaks of: scores where both models have them, else labels."""
        if self.scores and self.scores.distance is not None:
            return "scores"
        return "labels" if self.labels and self.labels.distance is not None else None

    @property
    def distance(self) -> float | None:
        """The Jensen-Shannon distance of the two models' predictions."""
        judged = {"scores": self.scores, "labels": self.labels, None: None}[self.distribution_of]
        return judged.distance if judged else None
