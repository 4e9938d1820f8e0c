"""Intervals of rates and of their differences, against scipy's and statsmodels'."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats import proportion, weightstats

from shadowlane.aggregator.statistics import (
    clopper_pearson,
    mean_interval,
    newcombe_difference,
    paired_difference,
    rate,
    wilson,
)

Interval = Callable[[int, int, float], tuple[float, float]]
levels = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99, 0.9999])


@st.composite
def parts(draw: st.DrawFn, most: int = 10**9) -> tuple[int, int]:
    """A part and its whole; the ends are as likely as the middle."""
    whole = draw(st.integers(1, 10 ** draw(st.integers(0, round(math.log10(most))))))
    part = draw(st.one_of(st.sampled_from([0, 1, whole - 1, whole]), st.integers(0, whole)))
    return part, whole


def test_a_rate_of_nothing_is_unknown() -> None:
    """No requests have no error rate; it is not 0."""
    assert rate(0, 0) is None
    assert rate(0, 5) == 0.0
    assert rate(2, 5) == 0.4


@given(parts(), levels)
@example((0, 10**9), 0.95)
@example((10**9 - 1, 10**9), 0.9999)
def test_wilsons_is_scipys(counts: tuple[int, int], level: float) -> None:
    """At any counts and level."""
    expected = stats.binomtest(*counts).proportion_ci(level, method="wilson")
    assert wilson(*counts, level) == pytest.approx(tuple(expected), rel=1e-6, abs=1e-15)


@given(parts(10**4), levels)
def test_the_exact_interval_is_scipys(counts: tuple[int, int], level: float) -> None:
    """The exact interval is Clopper and Pearson's."""
    expected = stats.binomtest(*counts).proportion_ci(level, method="exact")
    assert clopper_pearson(*counts, level) == pytest.approx(tuple(expected), rel=1e-8, abs=1e-11)


@given(parts(), levels)
def test_the_exact_interval_is_statsmodels_at_any_size(counts: tuple[int, int], level: float) -> None:
    """At a billion scipy's own search stops too early; the quantiles that statsmodels takes do not."""
    expected = proportion.proportion_confint(*counts, alpha=1 - level, method="beta")
    assert clopper_pearson(*counts, level) == pytest.approx(expected, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize("whole", [1, 300, 10**7, 10**9])
def test_no_failure_at_all_has_a_closed_form(whole: int) -> None:
    """Of n requests without a failure, the exact upper end is 1 - (alpha / 2)^(1 / n)."""
    expected = -math.expm1(math.log(0.025) / whole)
    assert clopper_pearson(0, whole, 0.95) == pytest.approx((0, expected), rel=1e-7)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
@given(counts=parts(), level=levels)
def test_an_interval_holds_its_point_and_stays_within(
    interval: Interval, counts: tuple[int, int], level: float
) -> None:
    """Between 0 and 1 with the rate inside, and where nothing or all was seen, up to that end."""
    low, high = interval(*counts, level)
    part, whole = counts
    assert 0 <= low <= part / whole <= high <= 1
    assert (low == 0) == (part == 0)
    assert (high == 1) == (part == whole)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
@given(counts=parts())
def test_more_confidence_is_a_wider_interval(interval: Interval, counts: tuple[int, int]) -> None:
    """Nobody is surer of a narrower one."""
    all_of_them = [interval(*counts, level) for level in (0.5, 0.9, 0.95, 0.999)]
    assert [low for low, _ in all_of_them] == sorted((low for low, _ in all_of_them), reverse=True)
    assert [high for _, high in all_of_them] == sorted(high for _, high in all_of_them)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
@given(counts=parts(), level=levels)
def test_what_is_no_part_is_the_mirror_image(
    interval: Interval, counts: tuple[int, int], level: float
) -> None:
    """The interval of the agreement is that of the disagreement, from the other side."""
    part, whole = counts
    low, high = interval(part, whole, level)
    assert interval(whole - part, whole, level) == pytest.approx((1 - high, 1 - low), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
def test_nothing_says_nothing_of_a_rate(interval: Interval) -> None:
    """Of no requests, any rate is possible."""
    assert interval(0, 0, 0.95) == (0.0, 1.0)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
@pytest.mark.parametrize("counts", [(5, 4), (-1, 4)])
def test_a_part_beyond_its_whole_is_an_error(interval: Interval, counts: tuple[int, int]) -> None:
    """Arguments in the wrong order are found, rather than turned into a NaN."""
    with pytest.raises(ValueError, match="order of the arguments"):
        interval(*counts, 0.95)


@pytest.mark.parametrize("p", [0.003, 0.05, 0.4])
def test_the_exact_interval_covers_as_it_says(p: float) -> None:
    """Over all outcomes of 500 requests, the rate is left out less often than alpha, and not by chance."""
    chances = stats.binom.pmf(np.arange(501), 500, p)
    covers = [low <= p <= high for low, high in (clopper_pearson(k, 500, 0.95) for k in range(501))]
    assert 0.95 <= chances[covers].sum() < 0.995


@given(parts(10**6), parts(10**6), levels)
def test_newcombes_is_statsmodels(one: tuple[int, int], other: tuple[int, int], level: float) -> None:
    """The difference of two groups is the second less the first."""
    expected = proportion.confint_proportions_2indep(
        *other, *one, compare="diff", method="newcomb", alpha=1 - level
    )
    assert newcombe_difference(*one, *other, level) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(parts(), parts(), levels)
def test_a_difference_stays_within_and_has_a_mirror_image(
    one: tuple[int, int], other: tuple[int, int], level: float
) -> None:
    """It holds the point, stays within -1 and 1, and turns its sign with the groups' order."""
    low, high = newcombe_difference(*one, *other, level)
    point = other[0] / other[1] - one[0] / one[1]
    assert -1 <= low <= point <= high <= 1
    assert newcombe_difference(*other, *one, level) == pytest.approx((-high, -low), abs=1e-12)


def test_an_empty_group_differs_by_anything() -> None:
    """With nothing on one side, the difference may be anything."""
    assert newcombe_difference(3, 10, 0, 0, 0.95) == (-1, 1)
    assert paired_difference(0, 0, 0, 0.95) == (-1, 1)


def test_tangos_interval_is_the_published_one() -> None:
    """Fagerland, Lydersen and Laake (2014): airway hyper-responsiveness, 1 against 7 of 21 patients."""
    assert paired_difference(7, 1, 21, 0.95) == pytest.approx((-0.517, -0.026), abs=5e-4)


def _score(difference: float, gained: int, lost: int, whole: int) -> float:
    """Tango's score statistic, with the likeliest nuisance parameter found by search."""

    def unlikelihood(share: float) -> float:
        rest = 1 - 2 * share - difference
        logs = [(gained, share + difference), (lost, share), (whole - gained - lost, rest)]
        return -sum(count * math.log(max(chance, 1e-300)) for count, chance in logs)

    ends = (max(0.0, -difference), (1 - difference) / 2)
    found = optimize.minimize_scalar(unlikelihood, bounds=ends, method="bounded", options={"xatol": 1e-12})
    share = float(found.x)
    return (gained - lost - whole * difference) / math.sqrt(
        whole * (2 * share + difference - difference * difference)
    )


@pytest.mark.parametrize(
    ("lost", "gained", "whole"), [(7, 1, 21), (3, 12, 50), (400, 460, 10_000), (1, 1, 9)]
)
def test_tangos_interval_ends_where_the_score_test_rejects(lost: int, gained: int, whole: int) -> None:
    """At both ends the score is as many deviations as the level has, by a maximum likelihood of its own."""
    low, high = paired_difference(lost, gained, whole, 0.95)
    assert _score(low, gained, lost, whole) == pytest.approx(1.959964, abs=1e-3)
    assert _score(high, gained, lost, whole) == pytest.approx(-1.959964, abs=1e-3)


@given(parts(), st.floats(0, 1), levels)
def test_a_paired_difference_stays_within_and_has_a_mirror_image(
    apart: tuple[int, int], share: float, level: float
) -> None:
    """It holds the point, stays within -1 and 1, and turns its sign with the models' order."""
    different, whole = apart
    lost = round(different * share)
    gained = different - lost
    low, high = paired_difference(lost, gained, whole, level)
    assert -1 <= low <= (gained - lost) / whole <= high <= 1
    assert paired_difference(gained, lost, whole, level) == (-high, -low)


@given(parts(10**6), levels)
def test_where_only_one_side_ever_differs_or_none(apart: tuple[int, int], level: float) -> None:
    """No disagreement among n has the closed form z² / (n + z²); all on one side reaches the end."""
    _, whole = apart
    z = float(stats.norm.isf((1 - level) / 2))
    end = z * z / (whole + z * z)
    assert paired_difference(0, 0, whole, level) == pytest.approx((-end, end), rel=1e-9)
    assert paired_difference(0, whole, whole, level)[1] == 1
    assert paired_difference(whole, 0, whole, level)[0] == -1


def test_a_paired_difference_of_many_is_walds() -> None:
    """At 10**7 requests it comes to the plain normal interval."""
    lost, gained, whole = 210_000, 190_000, 10**7
    deviation = math.sqrt(lost + gained - (gained - lost) ** 2 / whole) / whole
    expected = (gained - lost) / whole + np.array([-1.959964, 1.959964]) * deviation
    assert paired_difference(lost, gained, whole, 0.95) == pytest.approx(expected, rel=1e-4)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), levels)
def test_a_means_interval_is_statsmodels(values: list[float], level: float) -> None:
    """Student's interval of a mean."""
    x = np.array(values)
    assume(x.std() > 1e-3)
    expected = weightstats.DescrStatsW(x).tconfint_mean(alpha=1 - level)
    found = mean_interval(float(x.mean()), float(x.std(ddof=1)), len(x), level)
    assert found == pytest.approx(expected, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("n", [0, 1])
def test_one_value_leaves_the_mean_open(n: int) -> None:
    """No spread can be known from one value."""
    assert mean_interval(3.0, 0.0, n, 0.95) == (-math.inf, math.inf)
