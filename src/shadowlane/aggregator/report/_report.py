"""The report: the figures of a scope, as plain values. Its sections are in `figures/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shadowlane.aggregator.report._scope import Scope
from shadowlane.aggregator.report.figures import (
    Agreement,
    Completeness,
    Coverage,
    Disagreement,
    DisagreementFigures,
    Duplicates,
    ErrorCluster,
    ErrorStage,
    Features,
    Finding,
    Freshness,
    GroundTruth,
    LabelDistribution,
    LatencyBasis,
    Ledger,
    Resources,
    ScoreDistribution,
    Segment,
    Standout,
    Watch,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPair:
    """Which versions were compared, and over how many requests."""

    model_version: str
    shadow_version: str
    compared: int


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
    #: The sections below are None where they were not asked for (the gate asks for what its policy needs).
    headline: tuple[Finding, ...] = ()
    completeness: Completeness | None = None
    agreement: Agreement | None = None
    error_clusters: tuple[ErrorCluster, ...] | None = None
    disagreement_figures: DisagreementFigures | None = None
    truth: GroundTruth | None = None
    standouts: tuple[Standout, ...] | None = None
    errors_left_out: int = 0  # a condition spoke of what errors lack, so they are in no count
    segment_notes: tuple[str, ...] = ()  # what of the segments was not looked at
    features: Features | None = None
    freshness: Freshness | None = None
    resources: Resources | None = None
    coverage: Coverage | None = None
    watch: Watch | None = None  # only where a gate's policy names a confidence

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
