"""How many comparisons all requests, and each segment, must yield, and what for."""

from __future__ import annotations

import math

from shadowlane.aggregator.planning._figures import Need
from shadowlane.aggregator.planning._inputs import Inputs, Segment
from shadowlane.aggregator.planning._samples import detectable, for_precision, needed

QUANTILE = 0.99


def needs(inputs: Inputs, segment: Segment | None) -> tuple[Need, ...]:
    """What all requests need, or a segment."""
    return _of_segment(inputs) if segment else _of_all(inputs)


def most(inputs: Inputs, segment: Segment | None) -> int:
    """The need that contains the others."""
    return max(need.comparisons for need in needs(inputs, segment))


def found(inputs: Inputs, comparisons: float, segment: Segment | None) -> float | None:
    """The smallest difference that so many comparisons find."""
    independent = comparisons / inputs.traffic.design_effect
    level = _segment_level(inputs) if segment else None
    return detectable(inputs.aim, inputs.truth, independent, level)


def _of_all(inputs: Inputs) -> tuple[Need, ...]:
    aim = inputs.aim
    independent = needed(aim, inputs.truth, aim.difference)
    return (
        Need("minimum", aim.min_requests),
        Need("difference", math.ceil(independent * inputs.traffic.design_effect)),
        Need("latency", for_precision(QUANTILE, aim.latency_precision, aim.level)),
    )


def _of_segment(inputs: Inputs) -> tuple[Need, ...]:
    aim = inputs.aim
    minimum = Need("minimum", aim.min_segment_requests)
    if aim.segment_difference is None:
        return (minimum,)
    independent = needed(aim, inputs.truth, aim.segment_difference, _segment_level(inputs))
    return minimum, Need("difference", math.ceil(independent * inputs.traffic.design_effect))


def _segment_level(inputs: Inputs) -> float:
    """The more segments are looked at, the surer each must be (Bonferroni, which Holm begins with)."""
    return 1 - (1 - inputs.aim.level) / max(1, len(inputs.traffic.segments))
