"""Sections of reports for the tests of the gate, in which all is well but for the changes asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from shadowlane.aggregator.gate import Check, GateResult, Policy, decide
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import (
    Agreement,
    Completeness,
    Correctness,
    Coverage,
    DayCoverage,
    FeatureFigure,
    Features,
    GroundTruth,
    Interval,
    NoiseFloor,
    NumericError,
    Outcome,
    Rate,
    Resources,
    Segment,
    SegmentGroup,
    Watch,
)

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def gate(of: Report, **policy: Any) -> GateResult:
    """The verdict on a report, under the default policy with these changes."""
    return decide(of, Policy(**policy), NOW)


def check(of: Report, name: str, **policy: Any) -> Check:
    """One check of the verdict on a report."""
    return next(each for each in gate(of, **policy).checks if each.name == name)


def rate(part: int, whole: int) -> Rate:
    """So many of so many."""
    return Rate(part=part, whole=whole, value=part / whole if whole else None, interval=None)


def interval(low: float, high: float, level: float = 0.95) -> Interval:
    """Where a figure lies."""
    return Interval(low=low, high=high, level=level, method="test")


def watch(level: float = 0.95, **changes: Any) -> Watch:
    """What a confidence needs, of requests that each have a user of their own."""
    found = Watch(
        level=level,
        users=20_010,
        requests=20_010,
        alike=1.0,
        of_disagreement=1.0,
        of_errors=1.0,
        of_slowness=1.0,
        shadow_p99_ms=interval(75.0, 85.0),
        p99_ratio=interval(1.1, 1.3),
        cpu_p99_ms=interval(4.0, 6.0),
    )
    return replace(found, **changes)


def noise(control: Rate, excess: float | None, shadow: str = "again") -> Agreement:
    """Agreement with an A/A control."""
    floor = NoiseFloor(
        shadow=shadow,
        run="live",
        disagreement=control,
        excess=excess,
        excess_interval=None,
        corrected_agreement=None if excess is None else min(1.0, 1 - excess),
    )
    return Agreement(
        rate=rate(19_000, 20_000),
        weighted=None,
        sampling_rates=((1.0, 20_000),),
        by_comparator=(),
        tolerance_curve=(),
        step_seconds=3600,
        over_time=(),
        noise_floor=floor,
    )


def group(
    value: str | None, requests: int, agreement: float, errored: int = 0, **changes: Any
) -> SegmentGroup:
    """The requests of one value of a segment."""
    compared = requests - errored
    agreements = round(compared * agreement)
    found = SegmentGroup(
        value=value,
        requests=requests,
        compared=compared,
        agreement_rate=agreements / compared if compared else None,
        errored=errored,
        error_rate=errored / requests,
        is_small=requests < 100,
        agreement=rate(agreements, compared),
    )
    return replace(found, **changes)


def country(*groups: SegmentGroup, other: SegmentGroup | None = None) -> tuple[Segment, ...]:
    """One segment of these groups."""
    return (Segment(name="country", groups=groups, other=other),)


def correctness(requests: int, only_primary: int, only_shadow: int, both: int = 0) -> Correctness:
    """Both models against labels."""
    return Correctness(
        requests=requests,
        primary=rate(both + only_primary, requests),
        shadow=rate(both + only_shadow, requests),
        difference=(only_shadow - only_primary) / requests if requests else None,
        difference_interval=None,
        only_primary=only_primary,
        only_shadow=only_shadow,
        mcnemar_p=None,
    )


def truth(**changes: Any) -> GroundTruth:
    """The outcome `label`, of which 5,000 are known; both models are as good."""
    found = Outcome(
        name="label",
        kind="binary",
        labelled=rate(5_000, 20_000),
        correctness=correctness(5_000, 50, 50, 4_500),
        on_disagreements=correctness(400, 50, 50),
        threshold=0.5,
        primary_calibration=None,
        shadow_calibration=None,
        brier_difference=0.0,
        brier_difference_interval=interval(-0.0005, 0.0005),
        numeric=NumericError(
            requests=5_000,
            primary_mean_absolute=10.0,
            shadow_mean_absolute=10.0,
            difference=0.0,
            difference_interval=interval(-0.05, 0.05),
        ),
        horizons=(),
        coverage=(),
        agreement_labelled=None,
        agreement_all=None,
    )
    return GroundTruth(
        outcomes=(replace(found, **changes),), corrected=0, withdrawn=0, contradictory=0, unknown=0
    )


def features(missing: int, name: str = "age", whole: int = 20_010) -> Features:
    """One feature is missing on so many requests."""
    figure = FeatureFigure(
        name=name,
        missing=rate(missing, whole),
        missing_of_disagreements=None,
        unexpected=0,
        fetched_differently=None,
    )
    return Features(
        features=(figure,), requests_with_missing=rate(missing, whole), source="comparisons and errors"
    )


def coverage(days: int, *, full: bool) -> Coverage:
    """So many days, which are a full week or not."""
    return Coverage(
        days=tuple(DayCoverage(day=date(2026, 3, 1 + each), requests=100, hours=24) for each in range(days)),
        weekdays=min(days, 7),
        hours_of_week=min(days, 7) * 24,
        first=None,
        last=None,
        longest_gap_hours=0,
        is_full_week=full,
    )


def completeness(unexplained: float | None) -> Completeness:
    """This share of the delivered requests is in no count."""
    return Completeness(
        stations=(),
        pending=None if unexplained is None else 0,
        unexplained=None if unexplained is None else 20,
        unexplained_rate=unexplained,
        workers=None,
    )


def resources(cpu: float | None = 5.0, memory: float | None = 300.0, measured: int = 20_000) -> Resources:
    """What the shadow costs."""
    return Resources(
        measured=measured,
        cpu_mean_ms=cpu,
        cpu_p50_ms=cpu,
        cpu_p99_ms=cpu,
        gpu_mean_ms=None,
        memory_p50_mb=memory,
        memory_max_mb=memory,
        cpu_hours=None,
        primary_busy_ms=None,
    )


def whole(**changes: Any) -> dict[str, Any]:
    """Every section, with nothing wrong in it."""
    return {
        "agreement": noise(rate(400, 20_000), 0.03),
        "segments": country(group("BR", 12_000, 0.95), group("DE", 8_010, 0.95, errored=10)),
        "truth": truth(),
        "features": features(20),
        "coverage": coverage(8, full=True),
        "completeness": completeness(0.0),
        "resources": resources(),
        "watch": watch(),
    } | changes


#: All that can be asked for, in bounds that `whole` meets.
ASKED: dict[str, Any] = {
    "max_latency_ratio": 5.0,
    "segments": {
        "names": ["country"],
        "min_agreement_rate": 0.9,
        "max_error_rate": 0.01,
    },
    "labels": {
        "max_correctness_loss": 0.01,
        "max_correctness_loss_on_disagreements": 0.2,
        "max_brier_increase": 0.01,
        "max_absolute_error_increase": 1.0,
    },
    "noise": {"control": "again", "min_corrected_agreement_rate": 0.95},
    "features": {"max_missing_rate": 0.01, "max_feature_missing_rate": 0.01},
    "coverage": {"full_week": True, "min_days": 7},
    "completeness": {},
    "resources": {"max_cpu_p99_ms": 20, "max_memory_mb": 2000},
}
