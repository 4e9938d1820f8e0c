"""Rates of requests that cluster by user: against statsmodels, and the share of streams missed."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from statsmodels.regression.linear_model import OLS

from shadowlane.aggregator.statistics import (
    beta_binomial_sequence,
    clustered_n_needed,
    clustered_rate_interval,
    clustered_sequence,
    design_effect,
    wilson,
)

Counts = tuple[NDArray[np.int64], NDArray[np.int64]]

users = st.lists(
    st.integers(0, 40).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole))), max_size=30
).map(lambda pairs: (np.array([p for p, _ in pairs], np.int64), np.array([w for _, w in pairs], np.int64)))


def _some_users(rng: np.random.Generator, many: int, rate: float, alike: float) -> Counts:
    """Users with 50 requests each, whose requests correlate by so much within a user."""
    shape = 1 / alike - 1
    return rng.binomial(50, rng.beta(rate * shape, (1 - rate) * shape, many)), np.full(many, 50)


def test_the_design_effect_is_statsmodels() -> None:
    """The cluster-robust variance of a regression on nothing, over that of independent requests."""
    rng = np.random.default_rng(0)
    wholes = rng.integers(1, 60, 80)
    parts = rng.binomial(wholes, rng.beta(1, 4, 80))
    n, p = wholes.sum(), parts.sum() / wholes.sum()
    rows = np.concatenate(
        [np.repeat([1.0, 0.0], [part, whole - part]) for part, whole in zip(parts, wholes, strict=True)]
    )
    fitted = OLS(rows, np.ones(n)).fit(
        cov_type="cluster", cov_kwds={"groups": np.repeat(np.arange(80), wholes)}
    )
    assert design_effect(parts, wholes) == pytest.approx(
        float(fitted.bse[0]) ** 2 / (p * (1 - p) / n), rel=1e-9
    )


def test_the_design_effect_of_alike_requests_is_known() -> None:
    """One and the correlation times one less than the requests a user has."""
    parts, wholes = _some_users(np.random.default_rng(1), 20_000, 0.2, 0.1)
    assert design_effect(parts, wholes) == pytest.approx(1 + 49 * 0.1, rel=0.03)


@pytest.mark.parametrize(
    "counts", [([], []), ([3], [9]), ([0, 0], [5, 5]), ([5, 5], [5, 5]), ([1, 0], [2, 0])]
)
def test_no_design_effect_without_users_that_differ(counts: tuple[list[int], list[int]]) -> None:
    """From one user, or without a single event, nothing can be said."""
    assert design_effect(*counts) is None


@pytest.mark.parametrize("interval", [clustered_rate_interval, clustered_sequence])
@pytest.mark.parametrize("counts", [([], []), ([3], [9]), ([0, 3], [0, 9])])
def test_one_user_says_nothing_of_the_rate(interval: type, counts: tuple[list[int], list[int]]) -> None:
    """However many requests he has."""
    assert interval(*counts, 0.95) == (0, 1)
    assert clustered_n_needed(*counts, 0.5, 0.95) is None


@pytest.mark.parametrize("interval", [clustered_rate_interval, clustered_sequence, design_effect])
def test_a_part_beyond_its_whole_is_an_error(interval: type) -> None:
    """In any cluster."""
    with pytest.raises(ValueError, match="order of the arguments"):
        interval([1, 5], [2, 4], *(() if interval is design_effect else (0.95,)))


@given(users, st.sampled_from([0.8, 0.95, 0.999]))
def test_clusters_never_make_an_interval_narrower(counts: Counts, level: float) -> None:
    """Within 0 and 1, around the point, and around what independent requests would give."""
    parts, wholes = counts
    n, events = int(wholes.sum()), int(parts.sum())
    once, always = clustered_rate_interval(parts, wholes, level), clustered_sequence(parts, wholes, level)
    for (low, high), plain in (
        (once, wilson(events, n, level)),
        (always, beta_binomial_sequence(events, n, level)),
    ):
        assert 0 <= low <= plain[0] + 1e-12
        assert plain[1] - 1e-12 <= high <= 1
        assert low <= events / max(n, 1) <= high or n == 0


def test_users_with_a_request_each_are_requests() -> None:
    """Ten thousand users of one request each have the plain intervals, but for a hair."""
    parts, wholes = np.repeat([1, 0], [700, 9300]), np.ones(10_000, np.int64)
    assert clustered_rate_interval(parts, wholes, 0.95) == pytest.approx(wilson(700, 10_000, 0.95), abs=2e-5)
    assert clustered_sequence(parts, wholes, 0.95) == pytest.approx(
        beta_binomial_sequence(700, 10_000, 0.95), abs=2e-5
    )


def test_no_failure_is_no_worse_than_a_few() -> None:
    """No failure says nothing of how alike users are; it still does not look much worse than some."""
    wholes = np.full(2000, 50)
    ends = []
    for failures in range(40):
        parts = np.repeat([1, 0], [failures, 2000 - failures])
        ends.append(clustered_sequence(parts, wholes, 0.95)[1])
    assert ends[0] <= min(ends) * 1.4


def test_one_user_with_most_of_the_requests_counts_as_one() -> None:
    """A robot that agrees a million times does not prove agreement for the few users beside it."""
    rng = np.random.default_rng(3)
    wholes = np.append(np.full(30, 50), 1_000_000)
    parts = np.append(rng.binomial(50, 0.6, 30), 999_000)
    assert clustered_sequence(parts, wholes, 0.95)[0] < 0.6


def _looks(rng: np.random.Generator, *, one_after_another: bool) -> Iterator[Counts]:
    """Twenty looks at 200 users whose requests correlate by 0.1: as they come, or as all keep coming."""
    parts, wholes = _some_users(rng, 200, 0.2, 0.1)
    if one_after_another:
        for known in range(10, 210, 10):
            yield parts[:known], wholes[:known]
        return
    order = rng.permuted(np.arange(50) < parts[:, None], axis=1).cumsum(axis=1)
    for seen in np.linspace(2, 50, 20).astype(int):
        yield order[:, seen - 1], np.full(200, seen)


@pytest.mark.parametrize("one_after_another", [True, False])
def test_users_looked_at_often_are_still_right(*, one_after_another: bool) -> None:
    """Of 150 streams at 20 looks, at most 5 % are ever missed; as if independent, far more."""
    rng = np.random.default_rng(4)
    missed = plain = 0
    for _ in range(150):
        looks = list(_looks(rng, one_after_another=one_after_another))
        intervals = (clustered_sequence(*look, 0.95) for look in looks)
        missed += any(not low <= 0.2 <= high for low, high in intervals)
        intervals = (beta_binomial_sequence(int(p.sum()), int(w.sum()), 0.95) for p, w in looks)
        plain += any(not low <= 0.2 <= high for low, high in intervals)
    assert missed <= 7
    assert plain >= (45 if one_after_another else 12)


def test_a_handful_of_users_looked_at_often_is_still_right() -> None:
    """Of 300 streams of six users with requests much alike, at most 5 % (and two deviations) are missed."""
    rng = np.random.default_rng(9)
    missed = 0
    for _ in range(300):
        parts, wholes = _some_users(rng, 6, 0.5, 0.5)
        intervals = (clustered_sequence(parts[:known], wholes[:known], 0.95) for known in range(2, 7))
        missed += any(not low <= 0.5 <= high for low, high in intervals)
    assert missed <= 15 + 8


@pytest.mark.parametrize(("many", "rate", "alike"), [(8, 0.3, 0.1), (100, 0.02, 0.1), (400, 0.2, 0.3)])
def test_one_look_covers_as_it_says(many: int, rate: float, alike: float) -> None:
    """Of 1,000 samples, at most 5 % (and three deviations) miss the rate; Wilson's misses far more."""
    rng = np.random.default_rng(6)
    missed = plain = 0
    for _ in range(1000):
        parts, wholes = _some_users(rng, many, rate, alike)
        low, high = clustered_rate_interval(parts, wholes, 0.95)
        missed += not low <= rate <= high
        low, high = wilson(int(parts.sum()), int(wholes.sum()), 0.95)
        plain += not low <= rate <= high
    assert missed <= 50 + 3 * math.sqrt(47.5)
    assert plain >= 250


def test_more_users_settle_it() -> None:
    """With that many more requests, of users like these, the bound is outside."""
    parts, wholes = _some_users(np.random.default_rng(8), 100, 0.2, 0.1)
    bound = 0.15
    more = clustered_n_needed(parts, wholes, bound, 0.95)
    assert more
    low, high = clustered_sequence(parts, wholes, 0.95)
    assert low < bound < high
    times = math.ceil(1 + more / wholes.sum())
    low, high = clustered_sequence(np.tile(parts, times), np.tile(wholes, times), 0.95)
    assert not low < bound < high


def test_what_is_settled_needs_no_more_users() -> None:
    """And a rate that is the bound is never settled."""
    parts, wholes = _some_users(np.random.default_rng(8), 100, 0.2, 0.1)
    assert clustered_n_needed(parts, wholes, 0.7, 0.95) == 0
    assert clustered_n_needed(parts, wholes, parts.sum() / wholes.sum(), 0.95) is None
