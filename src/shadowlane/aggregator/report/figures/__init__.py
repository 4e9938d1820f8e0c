"""The values that a report is made of: a section a file.

A figure that cannot be computed is None: never 0, never NaN. A *rate* is a share between 0 and 1.
"""

from shadowlane.aggregator.report.figures._agreement import (
    Agreement,
    ComparatorAgreement,
    NoiseFloor,
    TimePoint,
    TolerancePoint,
)
from shadowlane.aggregator.report.figures._completeness import (
    Completeness,
    Duplicates,
    Ledger,
    Station,
    WorkerCounts,
)
from shadowlane.aggregator.report.figures._context import (
    Coverage,
    DayCoverage,
    FeatureFigure,
    Features,
    Freshness,
    Resources,
    Slice,
)
from shadowlane.aggregator.report.figures._disagreements import (
    DISAGREEMENT_ORDER,
    Disagreement,
    DisagreementFigures,
)
from shadowlane.aggregator.report.figures._distributions import (
    Divergence,
    LabelCount,
    LabelDistribution,
    LabelFlip,
    ScoreDistribution,
)
from shadowlane.aggregator.report.figures._errors import ErrorCluster, ErrorStage, ErrorType
from shadowlane.aggregator.report.figures._headline import Finding
from shadowlane.aggregator.report.figures._latency import (
    Latency,
    LatencyBasis,
    PairedLatency,
    SlowRequest,
    Tail,
)
from shadowlane.aggregator.report.figures._rate import Interval, Rate
from shadowlane.aggregator.report.figures._rules import Rule, Rules
from shadowlane.aggregator.report.figures._segments import (
    SMALL_GROUP,
    Segment,
    SegmentGroup,
    Standout,
    Term,
)
from shadowlane.aggregator.report.figures._truth import (
    Calibration,
    CalibrationBin,
    Correctness,
    CoverageGroup,
    GroundTruth,
    Horizon,
    NumericError,
    Outcome,
    Reweighted,
)
from shadowlane.aggregator.report.figures._watch import CohortWatch, Watch

__all__ = [
    "DISAGREEMENT_ORDER",
    "SMALL_GROUP",
    "Agreement",
    "Calibration",
    "CalibrationBin",
    "CohortWatch",
    "ComparatorAgreement",
    "Completeness",
    "Correctness",
    "Coverage",
    "CoverageGroup",
    "DayCoverage",
    "Disagreement",
    "DisagreementFigures",
    "Divergence",
    "Duplicates",
    "ErrorCluster",
    "ErrorStage",
    "ErrorType",
    "FeatureFigure",
    "Features",
    "Finding",
    "Freshness",
    "GroundTruth",
    "Horizon",
    "Interval",
    "LabelCount",
    "LabelDistribution",
    "LabelFlip",
    "Latency",
    "LatencyBasis",
    "Ledger",
    "NoiseFloor",
    "NumericError",
    "Outcome",
    "PairedLatency",
    "Rate",
    "Resources",
    "Reweighted",
    "Rule",
    "Rules",
    "ScoreDistribution",
    "Segment",
    "SegmentGroup",
    "Slice",
    "SlowRequest",
    "Standout",
    "Station",
    "Tail",
    "Term",
    "TimePoint",
    "TolerancePoint",
    "Watch",
    "WorkerCounts",
]
