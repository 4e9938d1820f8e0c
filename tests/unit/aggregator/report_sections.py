"""Every section of a report, filled: a shadow that is better on the whole and fails one country."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from shadowlane.aggregator.report.figures import (
    Agreement,
    Calibration,
    CalibrationBin,
    ComparatorAgreement,
    Completeness,
    Correctness,
    Coverage,
    CoverageGroup,
    DayCoverage,
    Disagreement,
    DisagreementFigures,
    Divergence,
    Duplicates,
    ErrorCluster,
    ErrorStage,
    ErrorType,
    FeatureFigure,
    Features,
    Finding,
    Freshness,
    GroundTruth,
    Horizon,
    Interval,
    LabelCount,
    LabelDistribution,
    LabelFlip,
    Latency,
    LatencyBasis,
    Ledger,
    NoiseFloor,
    NumericError,
    Outcome,
    PairedLatency,
    Rate,
    Resources,
    Reweighted,
    Rule,
    Rules,
    ScoreDistribution,
    Segment,
    SegmentGroup,
    Slice,
    SlowRequest,
    Standout,
    Station,
    Tail,
    Term,
    TimePoint,
    TolerancePoint,
    Watch,
    WorkerCounts,
)
from shadowlane.aggregator.statistics import bin_edges, jensen_shannon
from shadowlane.schemas import Prediction

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHADOW_MEDIAN_MS = 21.0


def rate(part: int, whole: int) -> Rate:
    """A share with an interval about it, wide enough to be seen."""
    if not whole:
        return Rate(part=part, whole=whole, value=None, interval=None)
    share = part / whole
    half = 1.96 * math.sqrt(max(share * (1 - share), 1 / whole) / whole)
    ends = interval(max(0.0, share - half), min(1.0, share + half), "wilson")
    return Rate(part=part, whole=whole, value=share, interval=ends)


def interval(low: float, high: float, method: str = "order statistics") -> Interval:
    """An interval of 95 %."""
    return Interval(low=low, high=high, level=0.95, method=method)


HEADLINE = (
    Finding(
        weight="alarm",
        section="segments",
        sentence="country = BR: the two agree on 78.20 % of 2,400 requests, against 95.00 % of all.",
    ),
    Finding(
        weight="warning",
        section="errors",
        sentence="KeyError on 8.0 % of the requests: all of them have no value for history.",
    ),
    Finding(
        weight="remark",
        section="truth",
        sentence="The shadow is right more often.",
    ),
)

COMPLETENESS = Completeness(
    stations=(
        Station(name="observed", requests=80_000, means="what the hooks saw"),
        Station(name="primary_failed", requests=12, means="the primary gave no answer"),
        Station(name="sampled_out", requests=57_900, means="not in the sample"),
        Station(name="dropped:queue_full", requests=40, means="the hook's queue was full"),
        Station(name="delivered", requests=22_048, means="in Kafka"),
        Station(name="compared", requests=20_000, means="in the lake, with both answers"),
        Station(name="errored", requests=1_740, means="in the lake, without the shadow's answer"),
        Station(name="duplicate", requests=3, means="a client's retry"),
    ),
    pending=300,
    unexplained=5,
    unexplained_rate=5 / 22_048,
    workers=WorkerCounts(
        workers=4,
        still_counting=1,
        compared=20_000,
        errors={"predict": 1_700, "timeout": 40},
        lost=0,
        restarts=2,
        missing_features={"history": 1_700},
        unexpected_features={"utm_source": 20_000},
    ),
)

LEDGER = Ledger(
    hooks=3,
    still_counting=1,
    observed=80_000,
    primary_failed=12,
    sampled_out=57_900,
    published=22_048,
    dropped={"queue_full": 40},
    delivered=22_048,
    failed=0,
    unexplained=5,
    uncounted=0,
)


def _time_point(n: int) -> TimePoint:
    compared = 200 + round(150 * math.sin(n / 24 * 2 * math.pi))
    wave = 0.95 + 0.02 * math.sin(n / 12 * 2 * math.pi) - (0.12 if 60 <= n < 64 else 0.0)
    errored = 18 if 60 <= n < 64 else 2
    return TimePoint(
        start=NOON + timedelta(hours=n),
        requests=compared + errored,
        compared=compared,
        ignored=0,
        agreements=round(compared * wave),
        errored=errored,
    )


AGREEMENT = Agreement(
    rate=rate(19_000, 20_000),
    weighted=0.9471,
    sampling_rates=((0.25, 18_000), (1.0, 2_000)),
    by_comparator=(
        ComparatorAgreement(comparator="score:0.05", rate=rate(17_200, 18_000)),
        ComparatorAgreement(comparator="label", rate=rate(1_800, 2_000)),
    ),
    tolerance_curve=tuple(
        TolerancePoint(tolerance=0.005 * 1.35**n, rate=1 - 0.5 * math.exp(-n / 4)) for n in range(18)
    ),
    step_seconds=3600,
    over_time=tuple(_time_point(n) for n in range(100)),
    noise_floor=NoiseFloor(
        shadow="ranker",
        run="a-a",
        disagreement=rate(180, 20_000),
        excess=0.041,
        excess_interval=interval(0.037, 0.045, "newcombe"),
        corrected_agreement=0.959,
    ),
)

_TEXT = "country = BR and amount > 500"
RULES = Rules(
    rules=(
        Rule(
            text=_TEXT,
            terms=(
                {"field": "country", "operator": "=", "value": "BR"},
                {"field": "amount", "operator": ">", "value": 500.0},
            ),
            requests=1_100,
            hits=512,
            share=0.512,
            rate=rate(512, 1_100),
            lift=9.31,
            lift_interval=interval(8.6, 10.1),
            p_value=1e-30,
            examples=("r-17", "r-2042", "r-11"),
        ),
        Rule(
            text="history is missing",
            terms=({"field": "history", "operator": "missing", "value": None},),
            requests=1_600,
            hits=190,
            share=0.19,
            rate=rate(190, 1_600),
            lift=2.4,
            lift_interval=interval(2.0, 2.8),
            p_value=0.0004,
            examples=("r-3",),
        ),
    ),
    sought=1_000,
    among=20_000,
    fields=("country", "amount", "history"),
    uncovered=298,
    note="Of 40 fields the 30 most often present were looked at.",
)

DISAGREEMENTS = DisagreementFigures(
    rate=rate(1_000, 20_000),
    shadow_higher=rate(640, 990),
    mean_difference=0.0123,
    mean_difference_interval=interval(0.011, 0.0136, "normal"),
    mean_absolute_difference=0.031,
    mean_difference_of_disagreements=0.142,
    rules=RULES,
)

LARGEST = tuple(
    Disagreement(
        request_id=f"0b6e-{n:04}-4f2a",
        event_time=NOON + timedelta(minutes=n),
        primary=Prediction(label="fraud", score=0.98 - n / 100),
        shadow=Prediction(label="ok" if n < 4 else "fraud", score=0.93 - n / 20),
        difference=None if n < 4 else 0.05 + n / 25,
    )
    for n in range(8)
)

ERRORS = (
    ErrorStage(
        stage="predict",
        requests=1_700,
        counted=True,
        rate=1_700 / 21_740,
        types=(
            ErrorType(error_type="KeyError", requests=1_690, rate=1_690 / 21_740, example="'history'"),
            ErrorType(error_type="ValueError", requests=8, rate=8 / 21_740, example="amount is negative: -5"),
        ),
        other_types=2,
    ),
    ErrorStage(
        stage="timeout",
        requests=40,
        counted=True,
        rate=40 / 21_740,
        types=(
            ErrorType(
                error_type="PredictTimeout", requests=40, rate=40 / 21_740, example="no answer after 500 ms"
            ),
        ),
        other_types=0,
    ),
)

CLUSTERS = (
    ErrorCluster(
        stage="predict",
        error_type="KeyError",
        shape="'history'",
        rate=rate(1_690, 21_740),
        first_seen=NOON,
        last_seen=NOON + timedelta(days=4),
        examples=("r-1", "r-90", "r-91"),
        rules=RULES,
    ),
    ErrorCluster(
        stage="timeout",
        error_type="PredictTimeout",
        shape="no answer after <number> ms",
        rate=rate(40, 21_740),
        first_seen=NOON + timedelta(days=2),
        last_seen=NOON + timedelta(days=2, hours=4),
        examples=("r-700",),
        rules=None,
    ),
)


def _bell(x: float, peak: float, width: float) -> float:
    return math.exp(-(((x - peak) / width) ** 2))


def _scores() -> ScoreDistribution:
    def shape(peak: float, width: float, second: float) -> tuple[int, ...]:
        centres = [(n + 0.5) / 50 for n in range(50)]
        return tuple(
            round(
                900 * math.exp(-(((x - peak) / width) ** 2)) + second * math.exp(-(((x - 0.9) / 0.05) ** 2))
            )
            for x in centres
        )

    primary, shadow = shape(0.15, 0.12, 90), shape(0.2, 0.13, 160)
    return ScoreDistribution(
        edges=bin_edges(0, 1),
        primary=primary,
        shadow=shadow,
        primary_not_finite=0,
        shadow_not_finite=3,
        one_sided=0,
        primary_median=0.16,
        shadow_median=0.21,
        distance=jensen_shannon(primary, shadow),
        divergence=Divergence(
            distance=0.17, bits=0.0427, bias_bits=0.0009, null_p95=0.021, p_value=1 / 201, psi=0.21
        ),
        kolmogorov_smirnov=0.141,
        wasserstein=0.052,
        primary_mean=0.21,
        shadow_mean=0.26,
    )


SCORES = _scores()

LABELS = LabelDistribution(
    labels=(
        LabelCount(label="ok", primary=17_000, shadow=16_600),
        LabelCount(label="review", primary=2_000, shadow=2_300),
        LabelCount(label="fraud", primary=900, shadow=1_000),
    ),
    other=LabelCount(label=None, primary=100, shadow=100),
    one_sided=4,
    distance=0.021,
    divergence=Divergence(
        distance=0.021, bits=0.0006, bias_bits=0.0001, null_p95=0.009, p_value=0.02, psi=0.01
    ),
    flips=(
        LabelFlip(primary="ok", shadow="review", requests=420),
        LabelFlip(primary="review", shadow="fraud", requests=130),
    ),
)


def _latency(median: float, spread: float) -> Latency:
    levels = (0.0, 0.01, *(step / 20 for step in range(1, 20)), 0.975, 0.99, 0.995, 0.999, 1.0)
    curve = tuple((q, median * (0.4 + q) * (1 + spread * -math.log(1 - min(q, 0.9999)) / 4)) for q in levels)
    at = dict(curve)
    return Latency(
        measured=19_900,
        unmeasured=100,
        unusable=0,
        p50_ms=at[0.5],
        p95_ms=at[0.95],
        p99_ms=at[0.99],
        curve=curve,
        p50_interval=interval(at[0.5] * 0.99, at[0.5] * 1.01),
        p95_interval=interval(at[0.95] * 0.97, at[0.95] * 1.04),
        p99_interval=interval(at[0.99] * 0.94, at[0.99] * 1.09),
    )


LATENCIES = (
    LatencyBasis(
        basis="single",
        requests=19_900,
        primary=_latency(16.0, 0.5),
        shadow=_latency(SHADOW_MEDIAN_MS, 1.1),
        paired=PairedLatency(
            requests=19_800,
            median_ms=5.1,
            median_interval=interval(5.0, 5.3),
            p95_ms=38.0,
            p99_ms=71.0,
            slower=rate(15_840, 19_800),
            median_ratio=1.31,
        ),
        tail=Tail(
            threshold_ms=210.0,
            slow=rate(42, 19_900),
            of_whole_time=0.034,
            slowest=tuple(
                SlowRequest(request_id=f"r-{n}", primary_ms=18.0 if n else None, shadow_ms=900.0 - 40 * n)
                for n in range(5)
            ),
            rules=RULES,
        ),
    ),
    LatencyBasis(basis="warmup", requests=100, primary=_latency(16.0, 0.5), shadow=_latency(90.0, 1.0)),
)


def _group(value: str | None, requests: int, agreement: float, errors: float) -> SegmentGroup:
    errored = round(requests * errors)
    compared = requests - errored
    agreements = round(compared * agreement)
    return SegmentGroup(
        value=value,
        requests=requests,
        compared=compared,
        agreement_rate=agreements / compared,
        errored=errored,
        error_rate=errored / requests,
        is_small=requests < 100,
        agreement=rate(agreements, compared),
        errors=rate(errored, requests),
        mean_difference=0.01 if value != "BR" else -0.094,
        shadow_p50_ms=21.0,
        primary_p50_ms=16.0,
        only_primary_correct=40,
        only_shadow_correct=44,
        shadow_p99_ms=88.0 if value != "BR" else 140.0,
        primary_p99_ms=51.0,
        distance=0.04 if value != "BR" else 0.31,
        primary_correct=rate(round(requests * 0.9), requests),
        shadow_correct=rate(round(requests * (0.92 if value != "BR" else 0.76)), requests),
        correct_p=0.3 if value != "BR" else 1e-9,
        agreement_p=0.7 if value != "BR" else 1e-40,
        errors_p=0.4 if value != "BR" else 0.01,
    )


SEGMENTS = (
    Segment(
        name="country",
        values=140,
        note="Requests without the segment are a group of their own.",
        groups=(
            _group("BR", 2_400, 0.782, 0.11),
            _group("IN", 3_000, 0.941, 0.08),
            _group("DE", 7_000, 0.975, 0.07),
            _group("FR", 6_200, 0.979, 0.07),
            _group(None, 2_600, 0.981, 0.09),
            _group("LI", 40, 0.9, 0.05),
        ),
        other=_group(None, 500, 0.97, 0.08),
    ),
)

STANDOUTS = (
    Standout(
        segment="country",
        value="BR",
        terms=(Term(segment="country", value="BR"),),
        name="country=BR",
        figure="agreement",
        group=0.782,
        whole=0.95,
        requests=2_400,
        share=0.11,
        p_value=1e-40,
        sentence="country = BR: the two agree on 78.20 % of 2,400 requests, against 95.00 % of all.",
    ),
    Standout(
        segment="country",
        value="BR",
        figure="correctness",
        group=-0.14,
        whole=0.012,
        requests=2_400,
        share=0.11,
        p_value=1e-9,
        sentence="country = BR: the shadow is right 14 points less often than the primary.",
    ),
    Standout(
        segment="device",
        value=None,
        figure="mix",
        group=-0.02,
        whole=0.01,
        requests=21_740,
        share=1.0,
        p_value=0.0004,
        sentence="Agreement rose by the mix of device alone; within each it fell.",
    ),
)


def _correctness(requests: int, primary: float, shadow: float) -> Correctness:
    return Correctness(
        requests=requests,
        primary=rate(round(requests * primary), requests),
        shadow=rate(round(requests * shadow), requests),
        difference=shadow - primary,
        difference_interval=interval(shadow - primary - 0.006, shadow - primary + 0.006, "paired"),
        only_primary=310,
        only_shadow=420,
        mcnemar_p=0.00005,
    )


def _calibration(bend: float) -> Calibration:
    return Calibration(
        brier=0.081 * bend,
        expected_error=0.021 * bend,
        bins=tuple(
            CalibrationBin(
                requests=800, mean_score=(n + 0.5) / 15, outcome_rate=min(1.0, ((n + 0.5) / 15) ** bend)
            )
            for n in range(15)
        ),
    )


def _outcome(name: str, kind: str) -> Outcome:
    is_number, is_binary = kind == "number", kind == "binary"
    right = None if is_number else _correctness(12_000, 0.902, 0.914)
    return Outcome(
        name=name,
        kind=kind,
        labelled=rate(12_000, 20_000),
        correctness=right,
        on_disagreements=None if is_number else _correctness(730, 0.42, 0.57),
        threshold=0.5 if is_binary else None,
        primary_calibration=_calibration(1.3) if is_binary else None,
        shadow_calibration=_calibration(1.05) if is_binary else None,
        brier_difference=-0.0043 if is_binary else None,
        brier_difference_interval=interval(-0.006, -0.0026, "normal") if is_binary else None,
        numeric=NumericError(
            requests=8_000,
            primary_mean_absolute=12.1,
            shadow_mean_absolute=11.4,
            difference=-0.7,
            difference_interval=interval(-0.9, -0.5, "normal"),
            left_out=7,
        )
        if is_number
        else None,
        horizons=tuple(
            Horizon(
                days=days,
                due=20_000 - 500 * days,
                labelled=9_000 + 100 * days,
                correctness=None if is_number else _correctness(9_000 + 100 * days, 0.9, 0.9 + days / 2_000),
            )
            for days in (1, 3, 7, 30)
        ),
        coverage=(
            CoverageGroup(segment="country", value="BR", labelled=rate(400, 2_400), p_value=1e-12),
            CoverageGroup(segment="country", value="DE", labelled=rate(4_700, 7_000), p_value=0.3),
        ),
        agreement_labelled=0.938,
        agreement_all=0.95,
        reweighted=(Reweighted(segment="country", primary=0.9, shadow=0.89, difference=-0.01, reached=0.98),),
        calibration_difference=-0.0052 if is_binary else None,
        calibration_difference_interval=interval(-0.009, -0.001, "normal") if is_binary else None,
        users=9_000,
    )


TRUTH = GroundTruth(
    outcomes=(_outcome("label", "class"), _outcome("click", "binary"), _outcome("revenue", "number")),
    corrected=31,
    withdrawn=2,
    contradictory=1,
    unknown=240,
    errored=12,
    more_names=2,
)

FEATURES = Features(
    features=(
        FeatureFigure(
            name="history",
            missing=rate(1_700, 21_740),
            missing_of_disagreements=0.19,
            unexpected=0,
            fetched_differently=None,
        ),
        FeatureFigure(
            name="utm_source",
            missing=rate(0, 21_740),
            missing_of_disagreements=None,
            unexpected=20_000,
            fetched_differently=None,
        ),
        FeatureFigure(
            name="balance",
            missing=rate(3, 21_740),
            missing_of_disagreements=0.0,
            unexpected=0,
            fetched_differently=rate(410, 5_000),
        ),
    ),
    requests_with_missing=rate(1_703, 21_740),
    source="comparisons and errors",
    others=3,
)


def _slices(names: Sequence[str]) -> tuple[Slice, ...]:
    sizes = [0 if n == 3 else 500 + round(400 * math.sin(n / 4)) for n in range(len(names))]
    return tuple(
        Slice(
            name=name,
            requests=size,
            agreement=rate(round(size * (0.95 - 0.01 * (n % 5))), size),
            distance=0.02 + 0.004 * n if size else None,
        )
        for n, (name, size) in enumerate(zip(names, sizes, strict=True))
    )


FRESHNESS = Freshness(
    lag_p50_ms=850.0,
    lag_p99_ms=12_400.0,
    lag_max_ms=7_200_000.0,
    by_hour=_slices([f"{hour:02}:00" for hour in range(24)]),
    by_lag=_slices(["under 1 s", "1 s to 10 s", "10 s to 1 min", "1 min to 1 h", "over 1 h"]),
)

RESOURCES = Resources(
    measured=19_900,
    cpu_mean_ms=14.2,
    cpu_p50_ms=12.0,
    cpu_p99_ms=48.0,
    gpu_mean_ms=None,
    memory_p50_mb=412.0,
    memory_max_mb=501.0,
    cpu_hours=0.079,
    primary_busy_ms=18.0,
)


def coverage(days: int) -> Coverage:
    """So many days in a row, with a gap in the second week."""
    first = date(2026, 2, 18)
    found = tuple(
        DayCoverage(day=first + timedelta(days=n), requests=900 - 7 * (n % 90), hours=24 if n % 5 else 15)
        for n in range(days)
        if n not in (8, 9)
    )
    return Coverage(
        days=found,
        weekdays=min(7, len(found)),
        hours_of_week=min(160, 24 * len(found)),
        first=datetime(2026, 2, 18, 3, tzinfo=UTC),
        last=datetime(2026, 2, 18, 3, tzinfo=UTC) + timedelta(days=days - 1),
        longest_gap_hours=49,
        is_full_week=False,
    )


WATCH = Watch(
    level=0.95,
    users=9_000,
    requests=21_740,
    alike=2.4,
    of_disagreement=1.3,
    of_errors=1.1,
    of_slowness=1.0,
    shadow_p99_ms=interval(60.0, 75.0),
    p99_ratio=interval(1.7, 2.1),
    cpu_p99_ms=None,
)

DUPLICATES = Duplicates(repeated_rows=2, repeated_requests=3, repeated_errors=1, recovered=4)
