"""How far apart two distributions are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Counts = Sequence[int] | Sequence[float] | NDArray[np.int64] | NDArray[np.float64]
Values = Sequence[float] | NDArray[np.float64]

_STRIDE = 64


def jensen_shannon(primary: Counts, shadow: Counts) -> float | None:
    """How far apart two distributions are, from counts over the same bins.

    It is the Jensen-Shannon *distance*: the square root of the divergence, with the natural logarithm,
    so from 0 (the same) to 0.8326 (nothing in common). None where either model has no counts.
    """
    divergence = _divergence(primary, shadow)
    return None if divergence is None else math.sqrt(divergence)


def jensen_shannon_bits(primary: Counts, shadow: Counts) -> float | None:
    """The Jensen-Shannon *divergence* in bits, from 0 (the same) to 1 (nothing in common)."""
    divergence = _divergence(primary, shadow)
    return None if divergence is None else min(divergence / math.log(2), 1.0)


def jensen_shannon_bias_bits(n1: int, n2: int, bins: int) -> float | None:
    """The divergence in bits that two samples of one distribution come to on average, in so many bins in use.

    For samples that share no request: it is too much for two models' answers to the same requests, which
    `swap_null` is for. None of an empty sample.
    """
    if not (n1 and n2):
        return None
    return min(max(bins - 1, 0) * (1 / n1 + 1 / n2) / (8 * math.log(2)), 1.0)


def _divergence(primary: Counts, shadow: Counts) -> float | None:
    p, q = np.asarray(primary, np.float64), np.asarray(shadow, np.float64)
    if not (p.sum() and q.sum()):
        return None
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    return max((_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2, 0.0)


def _relative_entropy(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    some = p > 0
    return float(np.sum(p[some] * np.log(p[some] / q[some])))


def psi(primary: Counts, shadow: Counts) -> float | None:
    """The population stability index. Half a request is added to each bin: an empty one is no infinity.

    None where either model has no counts.
    """
    p, q = np.asarray(primary, np.float64), np.asarray(shadow, np.float64)
    if not (p.sum() and q.sum()):
        return None
    p, q = (p + 0.5) / (p + 0.5).sum(), (q + 0.5) / (q + 0.5).sum()
    return float(np.sum((q - p) * np.log(q / p)))


def kolmogorov_smirnov(sorted1: Values, sorted2: Values) -> float | None:
    """The most by which the shares of values up to a point differ, over all points; None of nothing.

    Both must be sorted and free of NaN.
    """
    one, other = np.asarray(sorted1, np.float64), np.asarray(sorted2, np.float64)
    if not (len(one) and len(other)):
        return None
    if np.array_equal(one, other):
        return 0.0
    return max(_most_above(one, other), _most_above(other, one))


def _most_above(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The most by which the first's share is above the second's: always at one of the first's values.

    Looked for at each 64th value, and then only between those where there may be more.
    """
    lasts = np.append(np.arange(_STRIDE - 1, len(one) - 1, _STRIDE), len(one) - 1)
    found = _above(one, other, one[lasts]).max()
    firsts = np.append(0, lasts[:-1] + 1)
    at_best = (lasts + 1) / len(one) - np.searchsorted(other, one[firsts], side="right") / len(other)
    inside = np.repeat(at_best > found, np.diff(lasts, prepend=-1))
    return float(max(found, _above(one, other, one[inside]).max(initial=0.0)))


def _above(
    one: NDArray[np.float64], other: NDArray[np.float64], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    shares = [np.searchsorted(each, points, side="right") / len(each) for each in (one, other)]
    return np.asarray(shares[0] - shares[1], np.float64)


def wasserstein(sorted1: Values, sorted2: Values) -> float | None:
    """How far, on average, the values of the one would have to move to become the other's; None of nothing.

    Both must be sorted and finite.
    """
    one, other = np.asarray(sorted1, np.float64), np.asarray(sorted2, np.float64)
    if not (len(one) and len(other)):
        return None
    if len(one) == len(other):
        return float(np.mean(np.abs(one - other)))
    both = np.concatenate([one, other])
    both.sort(kind="stable")  # two sorted runs: merged, not sorted anew
    return float(np.dot(np.abs(_above(one, other, both[:-1])), np.diff(both)))
