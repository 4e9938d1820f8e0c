"""Scores as probabilities, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from shadowlane.aggregator.statistics import brier, calibration

rows = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.integers(0, 2000).map(lambda each: each / 2000)),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=200,
)


@given(rows, st.sampled_from([1, 2, 4, 8, 16]))
def test_the_figures_are_scikit_learns(pairs: list[tuple[float, int]], bins: int) -> None:
    """Brier's score, and the bins of equal mass (in numbers whose shares a float holds)."""
    scores, outcomes = np.array([s for s, _ in pairs]), np.array([o for _, o in pairs])
    assume(0 < outcomes.sum() < len(outcomes))
    assert brier(scores, outcomes) == pytest.approx(brier_score_loss(outcomes, scores), abs=1e-12)
    came, promised = calibration_curve(outcomes, scores, n_bins=bins, strategy="quantile")
    error, found = calibration(scores, outcomes, bins)
    assert [mean for _, mean, _ in found] == pytest.approx(promised.tolist())
    assert [share for _, _, share in found] == pytest.approx(came.tolist())
    assert sum(many for many, _, _ in found) == len(scores)
    assert error == pytest.approx(sum(m * abs(p - c) for m, p, c in found) / len(scores), abs=1e-12)


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(
    pairs: list[tuple[float, int]], shuffled: np.random.Generator
) -> None:
    """Requests with one score are never parted, so no order of them can change a bin."""
    other = list(pairs)
    shuffled.shuffle(other)
    (error, bins), (again, same) = (
        calibration([s for s, _ in each], [o for _, o in each]) for each in (pairs, other)
    )
    assert error == pytest.approx(again, abs=1e-12)
    assert [many for many, _, _ in bins] == [many for many, _, _ in same]


def test_bins_hold_about_as_many_each() -> None:
    """Fifteen bins of 10,000 different scores."""
    scores = np.random.default_rng(0).random(10_000)
    _, bins = calibration(scores, scores > 0.5)
    assert len(bins) == 15
    assert all(many == pytest.approx(10_000 / 15, abs=2) for many, _, _ in bins)


def test_scores_that_keep_their_promise_have_a_small_error() -> None:
    """As small as the docstring says by chance alone, and scores of half the rate an error of that half."""
    rng = np.random.default_rng(1)
    scores = rng.random(30_000)
    outcomes = rng.random(30_000) < scores
    honest, _ = calibration(scores, outcomes)
    assert honest == pytest.approx(0.8 * np.sqrt(15 * np.mean(scores * (1 - scores)) / 30_000), rel=0.6)
    halved, _ = calibration(scores / 2, outcomes)
    assert halved == pytest.approx(0.25, abs=0.01)


def test_one_score_for_all_is_one_bin() -> None:
    """Ties are not spread over bins."""
    assert calibration([0.25] * 8, [0, 0, 0, 0, 0, 0, 1, 1]) == (0.0, ((8, 0.25, 0.25),))


def test_nothing_has_no_calibration() -> None:
    """No labels, no figure; not 0, which would be perfect."""
    assert brier([], []) is None
    assert calibration([], []) == (None, ())
