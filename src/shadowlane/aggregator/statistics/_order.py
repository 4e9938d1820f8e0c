"""Where a percentile lies, from the ranks of the sorted values alone: no shape of theirs is assumed."""

from __future__ import annotations

import math
from collections.abc import Callable

from shadowlane.aggregator.statistics._binomial import at_least, fewest
from shadowlane.aggregator.statistics._normal import outside
from shadowlane.aggregator.statistics._sequences import log_evidence


def quantile_ranks(n: int, q: float, level: float) -> tuple[int, int] | None:
    """Between which two of n sorted values (counted from 0) the q-quantile lies, for one look.

    None where there are too few values to bound it on both sides: for the 99th percentile at 0.95, below 368.
    """
    tail = outside(level) / 2
    low = fewest(tail, n, q) - 1
    high = _first(-1, n, lambda k: at_least(k + 1, n, q) <= tail)
    return (low, high) if low >= 0 and high < n else None


def quantile_sequence_ranks(n: int, q: float, level: float) -> tuple[int, int] | None:
    """The same, valid however often one looks; None where the values cannot bound it on both sides.

    How many values lie below the quantile is a count of rate q, so the ranks are those counts that the
    beta-binomial sequence does not hold against a rate of q, with a prior whose mean is q. The values must
    not depend on each other, nor their order on them. Ties do no harm.
    """
    evidence = -math.log(outside(level))
    prior = (q / min(q, 1 - q), (1 - q) / min(q, 1 - q))

    def too_far(count: int) -> bool:
        return log_evidence(count, n, q, prior) >= evidence

    if not (too_far(0) and too_far(n)):
        return None
    expected = round(n * q)
    return -_first(-expected, 0, lambda k: too_far(-k)), _first(expected, n, too_far) - 1


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The first number above low for which it holds, knowing that it holds for high."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
