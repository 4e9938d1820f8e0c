"""How many requests a second there are, by hour of the day (UTC), from what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

HOUR, DAY = 3_600, 86_400
_SECOND = 1_000_000
_HOURS = 24
# An hour of which less was seen says little of its traffic, where others were seen longer.
_ENOUGH = 600


@dataclass(frozen=True, slots=True)
class Hours:
    """The rate in each hour of the day, None where that hour was not seen; first and last in microseconds."""

    first: int
    last: int
    rates: tuple[float | None, ...]

    @property
    def seen(self) -> int:
        """How many hours of the day were seen."""
        return len(self._known)

    @property
    def average(self) -> float:
        """Each hour of the day counts once, so that it does not matter at which one watching began."""
        return sum(self._known) / self.seen

    @property
    def peak_factor(self) -> float | None:
        """The busiest hour's rate over the average; None where not all hours were seen."""
        return max(self._known) / self.average if self.seen == _HOURS else None

    @property
    def _known(self) -> list[float]:
        return [rate for rate in self.rates if rate is not None]


def hours(requests: Mapping[int, float], first: int, last: int) -> Hours | None:
    """The rates, from the requests of each hour since 1970; None where all came at one time.

    Days on which nothing came at all are left out: nobody watched. Within a day an hour without requests
    counts, as traffic that was not there.
    """
    arrived, watched = [0.0] * _HOURS, [0.0] * _HOURS
    for hour, count in requests.items():
        arrived[hour % _HOURS] += count
    for day in {hour // _HOURS for hour in requests}:
        for place in range(_HOURS):
            start = (day * _HOURS + place) * HOUR * _SECOND
            seconds = (min(start + HOUR * _SECOND, last) - max(start, first)) / _SECOND
            watched[place] += max(0.0, seconds)
    if not any(watched):
        return None
    enough = min(_ENOUGH, max(watched))
    rates = [count / time if time >= enough else None for count, time in zip(arrived, watched, strict=True)]
    return Hours(first, last, tuple(rates))
