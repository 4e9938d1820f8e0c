"""The checks that a policy may ask for beyond the five, but those of segments and of labels."""

from __future__ import annotations

from collections.abc import Iterator

from shadowlane.aggregator.gate._asked import (
    CompletenessCriteria,
    CoverageCriteria,
    FeatureCriteria,
    NoiseCriteria,
    ResourceCriteria,
)
from shadowlane.aggregator.gate._check import Check
from shadowlane.aggregator.gate._defaults import latency_doubts
from shadowlane.aggregator.gate._intervals import difference_interval
from shadowlane.aggregator.gate._look import At, Look, in_sentence
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report.figures import Interval, NoiseFloor
from shadowlane.visible import visible


def further(look: Look) -> Iterator[Check]:
    """Each check that is asked for."""
    policy = look.policy
    if policy.max_latency_ratio is not None:
        yield _latency_ratio(look, policy.max_latency_ratio)
    if policy.noise:
        yield _noise(look, policy.noise)
    if policy.features:
        yield from _features(look, policy.features)
    if policy.coverage:
        yield from _coverage(look, policy.coverage)
    if policy.completeness:
        yield _completeness(look, policy.completeness)
    if policy.resources:
        yield from _resources(look, policy.resources)


def _latency_ratio(look: Look, bound: float) -> Check:
    found = look.report.latency
    primary, shadow = (found.primary, found.shadow) if found else (None, None)
    value = None
    if primary and shadow and primary.p99_ms and shadow.p99_ms is not None:
        value = shadow.p99_ms / primary.p99_ms
    doubts = [*latency_doubts(look.report)]
    if primary and (lacking := primary.unmeasured + primary.unusable):
        doubts.append(f"The primary's latency is not known on {_values.many(lacking, 'request')}.")
    elif not doubts and value is None:
        doubts.append("The primary's 99th percentile is nothing to compare with.")
    return look.conclude(
        "latency_ratio_ok",
        value,
        "<=",
        bound,
        n=shadow.measured if shadow else 0,
        sentence="The shadow's 99th percentile is {} times the primary's over the same requests; "
        "at most {} times is asked for.",
        write=_values.distance,
        doubts=doubts,
        interval=look.watch.p99_ratio if look.watch else None,
    )


def _noise(look: Look, asked: NoiseCriteria) -> Check:
    report, bound = look.report, asked.min_corrected_agreement_rate
    judged = report.compared - report.ignored
    floor = report.agreement.noise_floor if report.agreement else None
    if floor and (floor.shadow, floor.run) != (asked.control, asked.control_run):
        floor = None  # another control than the one that is asked for
    is_known = floor is not None and floor.disagreement.whole > 0 and judged > 0
    value = min(1.0, 1 - floor.excess) if floor and is_known and floor.excess is not None else None
    control = f"{visible(asked.control)} (run {visible(asked.control_run)})"
    return look.conclude(
        "corrected_agreement_ok",
        value,
        ">=",
        bound,
        n=judged,
        sentence=f"Beyond the noise of the control {in_sentence(control)} the two agree on {{}}; "
        "at least {} is asked for.",
        write=_values.percent,
        doubts=_noise_doubts(floor if is_known else None, control, asked.min_control_requests),
        at=_corrected(look, floor, report.disagreements, judged, bound) if floor and is_known else None,
        of=asked.control,
    )


def _noise_doubts(floor: NoiseFloor | None, control: str, least: int) -> tuple[str, ...]:
    if floor is None:
        return (f"The control {control} has no comparisons to compare with.",)
    there = floor.disagreement.whole
    if there >= least:
        return ()
    seen = _values.many(there, "comparison")
    return (f"The control {control} has {seen}; at least {least:,} are asked for.",)


def _corrected(look: Look, floor: NoiseFloor, disagreements: int, judged: int, bound: float) -> At | None:
    level, noise = look.level, floor.disagreement
    if level is None:
        return None
    near = (1 - bound, 1 - bound)

    def at(scale: float) -> Interval:
        excess = difference_interval(
            (noise.part * scale, noise.whole * scale),
            (disagreements * scale, judged * scale),
            near,
            level,
            look.alike,
        )
        low, high = 1 - max(0.0, excess.high), 1 - max(0.0, excess.low)
        return Interval(low=low, high=high, level=level, method=excess.method)

    return at


def _features(look: Look, asked: FeatureCriteria) -> Iterator[Check]:
    found = look.report.features
    none = "No request was seen whose features are known."
    if asked.max_missing_rate is not None:
        rate = found.requests_with_missing if found else None
        yield look.rate(
            "features_complete",
            (rate.part, rate.whole) if rate else (0, 0),
            "<=",
            asked.max_missing_rate,
            effect=look.alike,
            sentence="On {} of the requests the shadow had to do without a feature; at most {} is asked for.",
            none=none,
        )
    if asked.max_feature_missing_rate is not None:
        every = found.features if found else ()
        worst = max(every, key=lambda each: each.missing.value or 0.0, default=None)
        whole = worst.missing.whole if worst else found.requests_with_missing.whole if found else 0
        name = f", {in_sentence(worst.name)}," if worst else ""
        yield look.rate(
            "each_feature_present",
            (worst.missing.part if worst else 0, whole),
            "<=",
            asked.max_feature_missing_rate,
            effect=look.alike,
            sentence=f"The feature that is missing most{name} is missing on {{}} of the requests; "
            "at most {} is asked for.",
            none=none,
            of=worst.name if worst else None,
        )


def _coverage(look: Look, asked: CoverageCriteria) -> Iterator[Check]:
    found, report = look.report.coverage, look.report
    if asked.full_week:
        seen = "nothing is known of the days" if found is None else (
            f"{found.weekdays} of 7 weekdays and {found.hours_of_week} of a week's 168 hours were seen"
        )  # fmt: skip
        is_full = found is not None and found.is_full_week
        yield Check(
            name="full_week_seen",
            value=None if found is None else float(is_full),
            operator=">=",
            bound=1.0,
            n=report.requests,
            passed=None if found is None else is_full,
            why=f"A full week is asked for: {seen}.",
            kind="evidence",
        )
    if asked.min_days is not None:
        days = None if found is None else len(found.days)
        yield Check(
            name="days_seen",
            value=days,
            operator=">=",
            bound=asked.min_days,
            n=report.requests,
            passed=None if days is None else days >= asked.min_days,
            why=f"Days with requests: {_values.count(days)}; at least {asked.min_days:,} are asked for.",
            kind="evidence",
        )


def _completeness(look: Look, asked: CompletenessCriteria) -> Check:
    found = look.report.completeness
    value = found.unexplained_rate if found else None
    return look.conclude(
        "complete",
        value,
        "<=",
        asked.max_unexplained_rate,
        n=look.report.ledger.delivered if look.report.ledger else 0,
        sentence="Of the delivered requests {} are in no count; at most {} is asked for.",
        write=_values.percent,
        doubts=()
        if value is not None
        else ("There are no hooks' counts that are of these requests, so what is missing is unknown.",),
        is_counted=True,
        kind="evidence",
    )


def _resources(look: Look, asked: ResourceCriteria) -> Iterator[Check]:
    found, compared = look.report.resources, look.report.compared
    measured = found.measured if found else 0
    lacking = compared - measured
    doubts = [f"Its cost was not measured on {_values.many(lacking, 'request')}."] if lacking else []
    if not compared:
        doubts = ["No request was compared, so the shadow's cost is unknown."]
    if asked.max_cpu_p99_ms is not None:
        yield look.conclude(
            "cpu_ok",
            found.cpu_p99_ms if found else None,
            "<=",
            asked.max_cpu_p99_ms,
            n=measured,
            sentence="99 % of the shadow's answers took at most {} of processor time; "
            "at most {} is asked for.",
            write=_values.milliseconds,
            doubts=doubts,
            interval=look.watch.cpu_p99_ms if look.watch else None,
        )
    if asked.max_memory_mb is not None:
        memory = found.memory_max_mb if found else None
        yield look.conclude(
            "memory_ok",
            memory,
            "<=",
            asked.max_memory_mb,
            n=measured,
            sentence="The shadow's process took up to {}; at most {} is asked for.",
            write=megabytes,
            doubts=[] if memory is not None else ["The shadow's memory was not measured."],
            is_counted=True,
        )


def megabytes(value: float, decimals: int = 1) -> str:
    """1,234.5 MB."""
    return f"{value:,.{decimals}f} MB"
