"""Sampling rates: how much they replay and tell, and which rate a number of days asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from shadowlane.aggregator.planning._inputs import Inputs, Segment
from shadowlane.aggregator.planning._needs import most

DAY_SECONDS = 86_400
_DIGITS = 3


def sampling_of(segment: Segment, base: float) -> float:
    """A segment's rate: its own where that is larger, as the hook decides."""
    return max(base, segment.sampling or 0.0)


def with_rates(segments: Sequence[Segment], rates: Mapping[str, float]) -> list[Segment]:
    """The segments, with other rates of their own."""
    return [Segment(each.name, each.share, rates.get(each.name)) for each in segments]


def replayed_share(segments: Sequence[Segment], base: float) -> float:
    """The share of all requests that is replayed; of segments that overlap, at most."""
    return min(1.0, sum(share * rate for share, rate in _parts(segments, base)))


def telling_share(segments: Sequence[Segment], base: float) -> float:
    """The rate that tells as much of all requests as these rates do, each request weighted by 1/rate.

    A figure of all requests is as sure as with the harmonic mean of the rates: requests that stand for
    many make it less sure than their number says.
    """
    return min(1.0, 1 / sum(share / rate for share, rate in _parts(segments, base)))


def rate_for(inputs: Inputs, days: float) -> float:
    """The least rate for all that meets each need in so many days; above 1 where none does."""
    traffic = inputs.traffic
    a_day = traffic.requests_per_second * DAY_SECONDS * traffic.usable
    rates = [surely(most(inputs, None)) / (a_day * days)]
    for each in traffic.segments:
        own = surely(most(inputs, each)) / (a_day * each.share * days)
        if own > (each.sampling or 0.0):
            rates.append(own)
    return max(rates)


def surely(count: int) -> float:
    """How many must be expected so that chance hardly ever leaves fewer than these."""
    return count + 2 * math.sqrt(count)


def rounded_up(rate: float) -> float:
    """To three digits, so that it can be typed, and no less."""
    return min(1.0, _rounded(rate, ROUND_CEILING))


def rounded_down(rate: float) -> float:
    """To three digits, and no more."""
    return min(1.0, _rounded(rate, ROUND_FLOOR))


def _rounded(rate: float, how: str) -> float:
    if rate <= 0:
        return 0.0
    step = Decimal(10) ** (math.floor(math.log10(rate)) - _DIGITS + 1)
    return float((Decimal(str(rate)) / step).to_integral_value(how) * step)


def _parts(segments: Sequence[Segment], base: float) -> list[tuple[float, float]]:
    """Shares of all requests with their rates: the segments with rates of their own, and the rest."""
    own = [(each.share, sampling_of(each, base)) for each in segments if sampling_of(each, base) > base]
    together = sum(share for share, _ in own)
    scale = max(1.0, together)
    return [*((share / scale, rate) for share, rate in own), (max(0.0, 1 - together), base)]
