"""Which days, weekdays and hours the requests come from, against a full week."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np

from shadowlane.aggregator.report._hours import hours
from shadowlane.aggregator.report._strata import Strata
from shadowlane.aggregator.report.figures import Coverage, DayCoverage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 24
_WEEK = 7 * _DAY
_THURSDAY = 3 * _DAY  # the week's hour at which 1970 began


def coverage(strata: Strata) -> Coverage | None:
    """The days and hours of all requests, compared or errored; None where there are none with a time."""
    found = hours(strata)
    if not len(found.hour) or strata.moments_us is None:
        return None
    days, first_of_day, seen = np.unique(found.hour // _DAY, return_index=True, return_counts=True)
    requests = np.add.reduceat(found.compared + found.errored, first_of_day)
    gap = int(np.diff(found.hour).max(initial=1)) - 1
    weekdays = len(np.unique((found.hour + _THURSDAY) % _WEEK // _DAY))
    span = int(found.hour[-1] - found.hour[0]) + 1
    first, last = strata.moments_us
    return Coverage(
        days=tuple(
            DayCoverage(day=_day(day), requests=count, hours=of_day)
            for day, count, of_day in zip(days.tolist(), requests.tolist(), seen.tolist(), strict=True)
        ),
        weekdays=weekdays,
        hours_of_week=len(np.unique(found.hour % _WEEK)),
        first=_moment(first),
        last=_moment(last),
        longest_gap_hours=gap,
        # Not every hour must have had a request: nights may be still. A day without any is another matter.
        is_full_week=span >= _WEEK and weekdays == _WEEK // _DAY and gap < _DAY,
    )


def _day(days: int) -> date:
    return _EPOCH.date() + timedelta(days=days)


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
