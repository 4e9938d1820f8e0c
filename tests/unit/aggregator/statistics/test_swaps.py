"""Swaps of two models' answers: the null that a paired comparison has."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial import distance

from shadowlane.aggregator.statistics import (
    jensen_shannon,
    jensen_shannon_bias_bits,
    jensen_shannon_bits,
    permutation_p,
    swap_null,
)

Bins = NDArray[np.int64]


def _joint(primary: Bins, shadow: Bins, bins: int) -> NDArray[np.int64]:
    table = np.zeros((bins, bins), np.int64)
    np.add.at(table, (primary, shadow), 1)
    return table


def _distance(p: Bins, q: Bins) -> float:
    return jensen_shannon(p, q) or 0.0


def _most_apart(p: Bins, q: Bins) -> float:
    return float(np.abs(np.cumsum(p - q)).max())


def test_the_null_is_scipys() -> None:
    """As all 2**9 swaps of nine requests' answers give it, each as often."""
    primary, shadow = np.array([0, 0, 1, 2, 2, 0, 1, 1, 2]), np.array([1, 0, 2, 2, 0, 2, 1, 0, 1])

    def statistic(one: Bins, other: Bins) -> float:
        found = distance.jensenshannon(np.bincount(one, minlength=3), np.bincount(other, minlength=3))
        return float(np.nan_to_num(found))

    exact = stats.permutation_test(
        (primary, shadow), statistic, permutation_type="samples", n_resamples=2**9, alternative="greater"
    )
    joint = _joint(primary, shadow, 3)
    null = swap_null(joint, _distance, draws=20_000, seed=1)
    assert len(exact.null_distribution) == 2**9
    values = np.unique(exact.null_distribution.round(9))
    assert np.array_equal(np.unique(null.round(9)), values)
    for value in values:
        share = np.mean(null <= value + 1e-9)
        assert share == pytest.approx(np.mean(exact.null_distribution <= value + 1e-9), abs=0.015)
    observed = statistic(primary, shadow)
    assert permutation_p(observed, null) == pytest.approx(exact.pvalue, abs=0.015)


def test_p_values_are_uniform_where_the_models_are_alike() -> None:
    """Of 400 comparisons of models that differ by chance alone, p is up to any limit as often as it says."""
    rng = np.random.default_rng(9)
    found = []
    for seed in range(400):
        truth = rng.beta(2, 5, 1000)
        primary, shadow = (np.clip(truth + rng.normal(0, 0.05, 1000), 0, 0.999) * 20 for _ in range(2))
        joint = _joint(primary.astype(np.int64), shadow.astype(np.int64), 20)
        null = swap_null(joint, _distance, draws=99, seed=seed)
        found.append(permutation_p(_distance(joint.sum(axis=1), joint.sum(axis=0)), null))
    assert stats.kstest(np.array(found) - rng.random(400) / 100, "uniform").pvalue > 0.01


def test_a_small_shift_of_all_scores_is_found() -> None:
    """A shift that two independent samples would hide is beyond any swap of the pairs."""
    rng = np.random.default_rng(10)
    primary = rng.beta(2, 5, 2000) * 0.98
    shadow = primary + 0.01
    assert stats.ks_2samp(primary, shadow).pvalue > 0.05
    joint = _joint((primary * 50).astype(np.int64), (shadow * 50).astype(np.int64), 50)
    null = swap_null(joint, _most_apart)
    assert permutation_p(_most_apart(joint.sum(axis=1), joint.sum(axis=0)), null) == 1 / 201


def test_swaps_that_cancel_are_no_shift() -> None:
    """Half of the requests up a bin and half down leave both distributions alike."""
    joint = np.array([[0, 500, 0], [500, 0, 500], [0, 500, 0]])
    null = swap_null(joint, _distance)
    assert permutation_p(_distance(joint.sum(axis=1), joint.sum(axis=0)), null) > 0.9


def test_models_that_never_differ_have_a_null_of_zero() -> None:
    """There is nothing to swap; and no table has none at all."""
    assert not swap_null(np.diag([5, 3, 0]), _distance, draws=5).any()
    assert np.isnan(swap_null(np.zeros((3, 3), np.int64), jensen_shannon, draws=5)).all()


def test_a_draw_keeps_every_answer() -> None:
    """Swapping moves answers between the models, and makes or loses none."""
    rng = np.random.default_rng(12)
    joint = rng.integers(0, 10**6, (7, 7))
    both = joint.sum(axis=0) + joint.sum(axis=1)
    seen: list[Bins] = []

    def statistic(p: Bins, q: Bins) -> float:
        assert np.array_equal(p + q, both)
        assert p.sum() == joint.sum()
        assert min(p.min(), q.min()) >= 0
        seen.append(p)
        return 0.0

    swap_null(joint, statistic, draws=50)
    assert len({tuple(p.tolist()) for p in seen}) == 50


def test_the_same_seed_gives_the_same_draws() -> None:
    """A verdict can be computed again to the same bytes."""
    joint = np.random.default_rng(13).integers(0, 1000, (10, 10))
    one, again, other = (swap_null(joint, _distance, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_paired_models_differ_less_than_independent_samples() -> None:
    """The swaps' mean is the bias where the models share nothing, and far below it where they do."""
    rng = np.random.default_rng(14)
    shares = rng.dirichlet(np.ones(30))
    unpaired = rng.multinomial(20_000, np.outer(shares, shares).ravel()).reshape(30, 30)
    bias = jensen_shannon_bias_bits(20_000, 20_000, 30)
    assert bias is not None

    def bits(p: Bins, q: Bins) -> float | None:
        return jensen_shannon_bits(p, q)

    assert swap_null(unpaired, bits).mean() == pytest.approx(bias, rel=0.1)
    paired = np.diag(np.diag(unpaired) * 100) + unpaired
    n = int(paired.sum())
    assert swap_null(paired, bits).mean() < 0.5 * (jensen_shannon_bias_bits(n, n, 30) or 0)


def test_p_is_never_zero_and_counts_what_is_equal() -> None:
    """What was seen is one of the draws; rounding does not make it rarer."""
    null = np.array([0.1, 0.2, 0.3, 0.1 + 0.2])
    assert permutation_p(0.31, null) == 1 / 5
    assert permutation_p(0.1 + 0.2, null) == 3 / 5
    assert permutation_p(0.0, null) == 1
