"""How often the two agree, and what that depends on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shadowlane.aggregator.report.figures._rate import Interval, Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparatorAgreement:
    """The requests that one comparator decided."""

    comparator: str
    rate: Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class TolerancePoint:
    """If scores no further apart than this agreed: how many would."""

    tolerance: float
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePoint:
    """One stretch of time, by when the requests were made."""

    start: datetime
    requests: int
    compared: int
    ignored: int
    agreements: int
    errored: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """An A/A control (the primary replayed against itself), and what is left beyond its noise."""

    shadow: str
    run: str
    disagreement: Rate  # of the control
    excess: float | None  # the shadow's disagreement beyond the control's
    excess_interval: Interval | None
    corrected_agreement: float | None  # 1 - excess, at most 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Agreement over the compared requests that no rule ignores."""

    rate: Rate
    #: Each request counted as the 1/sampling_rate that it stands for; None where all rates are alike.
    weighted: float | None
    sampling_rates: tuple[tuple[float, int], ...]  # (rate, requests)
    by_comparator: tuple[ComparatorAgreement, ...]
    tolerance_curve: tuple[TolerancePoint, ...]  # over the requests with a difference
    step_seconds: int  # how long a stretch of `over_time` is
    over_time: tuple[TimePoint, ...]
    noise_floor: NoiseFloor | None
