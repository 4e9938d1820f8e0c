"""How both models' predictions are spread."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """How far apart two distributions are, and how far they would be if the models were alike."""

    distance: float  # Jensen-Shannon distance, natural logarithm: from 0 to 0.8326
    bits: float  # Jensen-Shannon divergence in bits: from 0 to 1
    bias_bits: float  # what two samples of this size from one distribution come to on average
    null_p95: float | None  # 95 of 100 swaps of the two models' answers, request by request, stay below
    p_value: float | None  # by those swaps
    psi: float  # population stability index


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreDistribution:
    """Both models' scores, counted in bins that share out the range of both."""

    edges: tuple[float, ...]
    primary: tuple[int, ...]
    shadow: tuple[int, ...]
    primary_not_finite: int  # NaN or infinite: in no bin
    shadow_not_finite: int
    one_sided: int  # requests where one model gave a score and the other none
    primary_median: float | None  # of the finite scores
    shadow_median: float | None
    distance: float | None
    divergence: Divergence | None = None
    #: These two over the raw scores; of more than a million requests, to within a bucket of 262,144.
    kolmogorov_smirnov: float | None = None
    wasserstein: float | None = None
    primary_mean: float | None = None
    shadow_mean: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCount:
    """How often each model answered with this label."""

    label: str | None
    primary: int
    shadow: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFlip:
    """How often the primary said the one, and the shadow the other."""

    primary: str
    shadow: str
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelDistribution:
    """Both models' labels; the distance is over all of them, the list holds the most frequent."""

    labels: tuple[LabelCount, ...]
    other: LabelCount | None
    one_sided: int
    distance: float | None
    divergence: Divergence | None = None
    flips: tuple[LabelFlip, ...] = ()
