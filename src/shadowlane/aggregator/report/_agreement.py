"""How often the two agree: by comparator, by tolerance, over time, and beyond a control's noise."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np

from shadowlane.aggregator.report._hours import Hours, hours
from shadowlane.aggregator.report._rates import LEVEL, interval, rate_of
from shadowlane.aggregator.report._scope import Control
from shadowlane.aggregator.report._strata import Strata, summed
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

#: At most so many points are drawn over time; each is as long as one of these.
MOST_POINTS = 240
_MOST_STRETCHES = 2_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEPS = (3_600, 3 * 3_600, 6 * 3_600, 86_400, 7 * 86_400, 28 * 86_400)

# Ten steps a decade, each the least tolerance of that form that takes the difference in. One that is NaN or
# infinite is within none.
_DIFFERENCES = """
SELECT CASE WHEN difference <> 0 AND isfinite(difference) THEN ceil(10 * log10(abs(difference)))::INTEGER
    END AS step,
  count(*) FILTER (isfinite(difference)), count(*)
FROM compared WHERE difference IS NOT NULL GROUP BY step ORDER BY step NULLS FIRST
"""

# Each of the control's requests once, as of the shadow's: its first comparison counts.
_CONTROL = """
SELECT count(agreement), count(*) FILTER (NOT agreement)
FROM (SELECT arg_min(agreement, event_time) AS agreement FROM control GROUP BY hash(request))
"""


def agreement(lake: OpenLake, strata: Strata, control: Control | None = None) -> Agreement:
    """Agreement over the compared requests, and beyond the noise of an A/A control where there is one."""
    judged = Strata(tuple(each for each in strata.compared if each.agreement is not None), ())
    rate = rate_of(judged.count(lambda each: bool(each.agreement)), judged.count())
    rates = summed(strata, lambda each: each.sampling_rate)
    by_hour = hours(strata)
    step = step_of(by_hour)
    return Agreement(
        rate=rate,
        weighted=_weighted(judged) if len(rates) > 1 else None,
        sampling_rates=tuple(sorted(rates.items())),
        by_comparator=_by_comparator(judged),
        tolerance_curve=_tolerance_curve(lake),
        step_seconds=step,
        over_time=over_time(by_hour, step),
        noise_floor=_noise_floor(lake, rate, control) if control else None,
    )


def _weighted(judged: Strata) -> float | None:
    """A request that was sampled at one in four stands for four."""
    usable = [each for each in judged.compared if 0 < each.sampling_rate <= 1]
    whole = math.fsum(each.requests / each.sampling_rate for each in usable)
    agreed = math.fsum(each.requests / each.sampling_rate for each in usable if each.agreement)
    return agreed / whole if whole else None


def _by_comparator(judged: Strata) -> tuple[ComparatorAgreement, ...]:
    agreed = summed(judged, lambda each: (each.comparator, bool(each.agreement)))
    return tuple(
        ComparatorAgreement(comparator=name, rate=rate_of(agreed.get((name, True), 0), compared))
        for name, compared in summed(judged, lambda each: each.comparator).items()
    )


def _tolerance_curve(lake: OpenLake) -> tuple[TolerancePoint, ...]:
    rows = lake.rows(_DIFFERENCES)
    whole, within, points = sum(count for *_, count in rows), 0, []
    for step, finite, _ in rows:
        within += finite
        if finite:
            tolerance = 0.0 if step is None else 10 ** min(step / 10, 308.0)
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
