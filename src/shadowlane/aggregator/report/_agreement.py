"""How often the two agree: by comparator, by tolerance, over time, and beyond a control's noise."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from shadowlane.aggregator.report._hours import Hours
from shadowlane.aggregator.report._rates import interval, rate_of
from shadowlane.aggregator.report._scope import Control
from shadowlane.aggregator.report.figures import (
    Agreement,
    ComparatorAgreement,
    NoiseFloor,
    Rate,
    TimePoint,
    TolerancePoint,
)
from shadowlane.aggregator.statistics import newcombe_difference
from shadowlane.lake import OpenLake

LEVEL = 0.95
#: At most so many points are drawn over time; each is as long as one of these.
MOST_POINTS = 240
_MOST_STRETCHES = 2_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEPS = (3_600, 3 * 3_600, 6 * 3_600, 86_400, 7 * 86_400, 28 * 86_400)

_STRATA = """
SELECT coalesce(comparator, ''), coalesce(sampling_rate, 1),
  count(*) FILTER (agreement IS NOT NULL), count(*) FILTER (agreement), count(*)
FROM compared GROUP BY ALL ORDER BY ALL
"""

# Ten steps a decade, each the least tolerance of that form that takes the difference in.
_DIFFERENCES = """
SELECT CASE WHEN difference = 0 THEN NULL ELSE ceil(10 * log10(abs(difference)))::INTEGER END AS step,
  count(*)
FROM compared WHERE difference IS NOT NULL AND NOT isnan(difference) GROUP BY step ORDER BY step NULLS FIRST
"""

# Each of the control's requests once, as of the shadow's: its first comparison counts.
_CONTROL = """
SELECT count(agreement), count(*) FILTER (NOT agreement)
FROM (SELECT arg_min(agreement, event_time) AS agreement FROM control GROUP BY hash(request))
"""


def agreement(lake: OpenLake, hours: Hours, control: Control | None = None) -> Agreement:
    """Agreement over the compared requests, and beyond the noise of an A/A control where there is one."""
    strata = lake.rows(_STRATA)
    compared, agreements = sum(row[2] for row in strata), sum(row[3] for row in strata)
    rate = rate_of(agreements, compared)
    rates = _by_rate(strata)
    step = step_of(hours)
    return Agreement(
        rate=rate,
        weighted=_weighted(strata) if len(rates) > 1 else None,
        sampling_rates=tuple(sorted(rates.items())),
        by_comparator=_by_comparator(strata),
        tolerance_curve=_tolerance_curve(lake),
        step_seconds=step,
        over_time=over_time(hours, step),
        noise_floor=_noise_floor(lake, rate, control) if control else None,
    )


def _by_rate(strata: Sequence[tuple[str, float, int, int, int]]) -> dict[float, int]:
    total: dict[float, int] = defaultdict(int)
    for _, rate, _, _, requests in strata:
        total[rate] += requests
    return dict(total)


def _weighted(strata: Sequence[tuple[str, float, int, int, int]]) -> float | None:
    """A request that was sampled at one in four stands for four."""
    usable = [(1 / rate, compared, agreed) for _, rate, compared, agreed, _ in strata if 0 < rate <= 1]
    whole = math.fsum(weight * compared for weight, compared, _ in usable)
    return math.fsum(weight * agreed for weight, _, agreed in usable) / whole if whole else None


def _by_comparator(
    strata: Sequence[tuple[str, float, int, int, int]],
) -> tuple[ComparatorAgreement, ...]:
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, _, compared, agreed, _ in strata:
        found[name][0] += compared
        found[name][1] += agreed
    ordered = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
    return tuple(
        ComparatorAgreement(comparator=name, rate=rate_of(agreed, compared))
        for name, (compared, agreed) in ordered
        if compared
    )


def _tolerance_curve(lake: OpenLake) -> tuple[TolerancePoint, ...]:
    rows = lake.rows(_DIFFERENCES)
    whole, within, points = sum(count for _, count in rows), 0, []
    for step, count in rows:
        within += count
        # Beyond what a float can say there is one infinite difference.
        tolerance = 0.0 if step is None else min(10 ** min(step / 10, 308.0), 1e308)
        points.append(TolerancePoint(tolerance=tolerance, rate=within / whole))
    return tuple(points)


def step_of(hours: Hours) -> int:
    """How long a stretch must be so that there are not too many of them."""
    if not len(hours.hour):
        return _STEPS[0]
    span = int(hours.hour[-1] - hours.hour[0] + 1) * 3_600
    return next((step for step in _STEPS if span / step <= MOST_POINTS), _STEPS[-1])


def over_time(hours: Hours, step: int) -> tuple[TimePoint, ...]:
    """The counts of each stretch that has any request, in order; of too many, the newest."""
    stretches, place = np.unique(hours.hour * 3_600 // step, return_inverse=True)
    columns = (hours.compared, hours.ignored, hours.agreements, hours.errored)
    sums = [np.bincount(place, column, minlength=len(stretches)).astype(int) for column in columns]
    rows = zip(stretches.tolist(), *(each.tolist() for each in sums), strict=True)
    return tuple(
        TimePoint(
            start=_EPOCH + timedelta(seconds=stretch * step),
            requests=compared + errored,
            compared=compared,
            ignored=ignored,
            agreements=agreements,
            errored=errored,
        )
        for stretch, compared, ignored, agreements, errored in [*rows][-_MOST_STRETCHES:]
    )


def _noise_floor(lake: OpenLake, rate: Rate, control: Control) -> NoiseFloor:
    [(compared, disagreements)] = lake.rows(_CONTROL)
    noise = rate_of(disagreements, compared)
    excess = bounds = None
    if rate.value is not None and noise.value is not None:
        excess = (1 - rate.value) - noise.value
        bounds = newcombe_difference(disagreements, compared, rate.whole - rate.part, rate.whole, LEVEL)
    return NoiseFloor(
        shadow=control.shadow,
        run=control.run,
        disagreement=noise,
        excess=excess,
        excess_interval=interval(bounds, LEVEL, "Newcombe, of two samples"),
        corrected_agreement=None if excess is None else min(1.0, 1 - excess),
    )
