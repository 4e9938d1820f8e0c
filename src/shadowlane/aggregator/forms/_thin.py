"""Keeps pictures small whatever the data: many points become few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from shadowlane.aggregator.report.figures import TimePoint

ItemT = TypeVar("ItemT")


def merged(points: Sequence[TimePoint], most: int) -> tuple[TimePoint, ...]:
    """At most so many stretches of time; each is what the stretches in it add up to."""
    size = -(-len(points) // most) or 1
    groups = [points[at : at + size] for at in range(0, len(points), size)]
    return tuple(
        TimePoint(
            start=group[0].start,
            requests=sum(each.requests for each in group),
            compared=sum(each.compared for each in group),
            ignored=sum(each.ignored for each in group),
            agreements=sum(each.agreements for each in group),
            errored=sum(each.errored for each in group),
        )
        for group in groups
    )


def spread(items: Sequence[ItemT], most: int) -> Sequence[ItemT]:
    """At most so many of the items, evenly apart, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]
