"""How both models' predictions are spread: scores in bins, labels by category."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shadowlane.aggregator.report._apart import apart
from shadowlane.aggregator.report._at_once import at_once
from shadowlane.aggregator.report._columns import SCORES, Columns, Floats, Part, finite, is_finite
from shadowlane.aggregator.report._ranked import Buckets, Counts, Places, Ranked, Shelves
from shadowlane.aggregator.report.figures import Divergence, ScoreDistribution
from shadowlane.aggregator.statistics import (
    BINS,
    bin_edges,
    jensen_shannon,
    jensen_shannon_bias_bits,
    jensen_shannon_bits,
    permutation_p,
    psi,
    swap_null,
)

_SHARED_BUCKETS = 1 << 18
_DRAWS = 200


@dataclass(frozen=True, slots=True)
class Binned:
    """Both models' scores in bins; the bin after the last holds what has no finite score."""

    edges: tuple[float, ...]
    places: tuple[tuple[Places, ...], ...]  # of each part, the primary's and the shadow's bins
    joint: Counts  # how many requests have the primary's score in this bin and the shadow's in that
    primary: Ranked
    shadow: Ranked


def binned(columns: Columns) -> Binned | None:
    """Put the scores in bins; None where neither model gives a finite one."""
    primary, shadow = ([finite(part.numbers(name)) for part in columns.parts] for name in SCORES)
    every = [piece for piece in (*primary, *shadow) if len(piece)]
    if not every:
        return None
    edges = bin_edges(min(float(each.min()) for each in every), max(float(each.max()) for each in every))
    buckets = Buckets.over(every, _SHARED_BUCKETS)
    shelves = Shelves(buckets, edges[1:-1])
    places = tuple(
        at_once(lambda part: tuple(_places(part, name, buckets, shelves) for name in SCORES), columns.parts)
    )
    ranked = at_once(lambda pieces: Ranked(pieces, buckets), (primary, shadow))
    return Binned(edges, places, _joint(places), *ranked)


def _places(part: Part, name: str, buckets: Buckets, shelves: Shelves) -> Places:
    values: Floats = part.numbers(name)
    flags = is_finite(values)
    if flags is None:
        return shelves.of(values, buckets.codes(values))
    places = np.full(len(values), BINS, np.uint8)
    places[flags] = shelves.of(values[flags], buckets.codes(values[flags]))
    return places


def _joint(places: tuple[tuple[Places, ...], ...]) -> Counts:
    side = BINS + 1
    found = np.zeros(side * side, np.int64)
    for primary, shadow in places:
        found += np.bincount(primary.astype(np.int64) * side + shadow, minlength=side * side)
    return found.reshape(side, side)


def scores(columns: Columns, found: Binned | None) -> ScoreDistribution | None:
    """Both models' scores in shared bins; None where neither model gives scores."""
    primary_given, shadow_given = (sum(part.given(name) for part in columns.parts) for name in SCORES)
    if not (primary_given or shadow_given):
        return None
    nothing = np.zeros((BINS + 1, BINS + 1), np.int64)
    joint = nothing if found is None else found.joint
    primary, shadow = joint.sum(axis=1)[:-1], joint.sum(axis=0)[:-1]
    sides = (Ranked(()), Ranked(())) if found is None else (found.primary, found.shadow)
    (primary_median, *_), (shadow_median, *_) = ((*each.quantiles([0.5]), None) for each in sides)
    most, distance = apart(*sides)
    return ScoreDistribution(
        edges=() if found is None else found.edges,
        primary=tuple(primary.tolist()),
        shadow=tuple(shadow.tolist()),
        primary_not_finite=primary_given - sides[0].count,
        shadow_not_finite=shadow_given - sides[1].count,
        one_sided=sum(map(_one_sided, columns.parts)),
        primary_median=primary_median,
        shadow_median=shadow_median,
        distance=jensen_shannon(primary, shadow),
        divergence=divergence(primary, shadow, joint),
        kolmogorov_smirnov=most,
        wasserstein=distance,
        primary_mean=sides[0].mean(),
        shadow_mean=sides[1].mean(),
    )


def _one_sided(part: Part) -> int:
    if all(part.given(name) == len(part) for name in SCORES):
        return 0
    return int(np.count_nonzero(part.is_given(SCORES[0]) ^ part.is_given(SCORES[1])))


def divergence(primary: Counts, shadow: Counts, joint: Counts | None) -> Divergence | None:
    """How far apart the two are, beside what swapping their answers request by request comes to.

    The joint counts may have a last row and column more, for requests with an answer of one model alone.
    """
    distance, bits = jensen_shannon(primary, shadow), jensen_shannon_bits(primary, shadow)
    in_use = int(np.count_nonzero(primary + shadow))
    bias = jensen_shannon_bias_bits(int(primary.sum()), int(shadow.sum()), in_use)
    stability = psi(primary, shadow)
    if distance is None or bits is None or bias is None or stability is None:
        return None
    null_p95 = p_value = None
    if joint is not None:
        null = swap_null(joint, lambda one, other: jensen_shannon(one[:-1], other[:-1]), _DRAWS)
        null_p95, p_value = float(np.quantile(null, 0.95)), permutation_p(distance, null)
    return Divergence(
        distance=distance, bits=bits, bias_bits=bias, null_p95=null_p95, p_value=p_value, psi=stability
    )
