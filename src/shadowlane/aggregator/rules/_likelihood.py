"""How much a rule explains, and how likely chance would do as well."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_ENOUGH = 1e-15


class Explained:
    """How much more likely the sought ones are once a rule is known: the gain in log likelihood.

    It weighs how many a rule covers against how pure it is, as the entropy cuts of a decision tree do.
    """

    def __init__(self, sought: int, among: int) -> None:
        counts = np.arange(among + 1, dtype=np.float64)
        counts[1:] *= np.log(counts[1:])
        self._table: Floats = counts  # n log n, for each n that can come
        self._sought, self._among = sought, among
        self._without = counts[sought] + counts[among - sought] - counts[among]

    def by(self, hits: NDArray[Any], requests: NDArray[Any]) -> Floats:
        """The gain of rules that hold for so many requests, hits among them; 0 where the others gain."""
        table, outside = self._table, self._among - requests
        missed = self._sought - hits
        gain = (
            table[hits]
            + table[requests - hits]
            - table[requests]
            + table[missed]
            + table[outside - missed]
            - table[outside]
            - self._without
        )
        return np.where(hits * float(self._among) > requests * float(self._sought), gain, 0.0)

    def odds_ratio(self, hits: NDArray[Any], requests: NDArray[Any]) -> Floats:
        """The odds to be sought where the rule holds by those where it does not; half a request is added."""
        missed, outside = self._sought - hits, self._among - requests
        inside = (hits + 0.5) / (requests - hits + 0.5)
        return np.asarray(inside * (outside - missed + 0.5) / (missed + 0.5), np.float64)


def log_tail(hits: int, requests: int, sought: int, among: int) -> float:
    """The logarithm of how likely at least so many hits are by chance (hypergeometric, one-sided Fisher)."""
    most = min(requests, sought)
    if hits <= max(0, requests + sought - among):
        return 0.0
    first = (
        _log_choose(sought, hits)
        + _log_choose(among - sought, requests - hits)
        - _log_choose(among, requests)
    )
    total = term = 1.0
    for found in range(hits, most):
        others = among - sought - requests + found + 1
        term *= (sought - found) * (requests - found) / ((found + 1) * others)
        total += term
        if term < total * _ENOUGH:
            break
    return min(0.0, first + math.log(total))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
