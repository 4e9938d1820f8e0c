"""The criteria that are looked at when a policy asks for them: a section of its file each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from shadowlane.aggregator.gate._kinds import AMOUNT, COUNT, FLAG, NAME, NAMES, NUMBER, SHARE, criterion


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseCriteria:
    """Agreement beyond the noise of an A/A control: the primary replayed under the name of a shadow."""

    control: str = criterion(NAME, example="primary-again")
    control_run: str = criterion(NAME, "live")
    min_corrected_agreement_rate: float = criterion(SHARE, example=0.98)
    min_control_requests: int = criterion(COUNT, 1_000)  # fewer say too little of the noise

    REQUIRED: ClassVar = ("control", "min_corrected_agreement_rate")


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentCriteria:
    """Floors for each value of these segments; one with a smaller share of the requests is not judged."""

    names: tuple[str, ...] = criterion(NAMES, example=["country"])
    min_requests: int = criterion(COUNT, 100)
    min_share: float = criterion(SHARE, 0.001)
    min_agreement_rate: float | None = criterion(SHARE, example=0.85)
    max_error_rate: float | None = criterion(SHARE, example=0.01)
    max_correctness_loss: float | None = criterion(SHARE, example=0.05)

    REQUIRED: ClassVar = ("names",)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCriteria:
    """What the outcome of this name must show; losses are the primary's figure less the shadow's."""

    name: str = criterion(NAME, "label")
    threshold: float | None = criterion(NUMBER, example=0.5)  # from which score on an answer is 1
    min_labelled: int = criterion(COUNT, 1_000)
    max_correctness_loss: float | None = criterion(SHARE, example=0.01)
    max_correctness_loss_on_disagreements: float | None = criterion(SHARE, example=0.05)
    max_brier_increase: float | None = criterion(SHARE, example=0.005)
    max_absolute_error_increase: float | None = criterion(AMOUNT, example=0.5)

    #: One of these at least: the section would ask for nothing.
    REQUIRED: ClassVar = (
        (
            "max_correctness_loss",
            "max_correctness_loss_on_disagreements",
            "max_brier_increase",
            "max_absolute_error_increase",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureCriteria:
    """How often features may be missing: any of a request's, and the one that is missing most."""

    max_missing_rate: float | None = criterion(SHARE, example=0.02)
    max_feature_missing_rate: float | None = criterion(SHARE, example=0.01)

    REQUIRED: ClassVar = (("max_missing_rate", "max_feature_missing_rate"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageCriteria:
    """Which part of a business cycle must have been seen."""

    full_week: bool | None = criterion(FLAG, example=True)
    min_days: int | None = criterion(COUNT, example=7)

    REQUIRED: ClassVar = (("full_week", "min_days"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletenessCriteria:
    """How many of the delivered requests may be in no count."""

    max_unexplained_rate: float = criterion(SHARE, 0.001)

    REQUIRED: ClassVar = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceCriteria:
    """What the shadow may cost."""

    max_cpu_p99_ms: float | None = criterion(AMOUNT, example=20)
    max_memory_mb: float | None = criterion(AMOUNT, example=2000)

    REQUIRED: ClassVar = (("max_cpu_p99_ms", "max_memory_mb"),)
