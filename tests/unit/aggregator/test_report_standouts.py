"""Groups that stand out: planted losses are found and named where they lie, and none in noise."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shadowlane.aggregator.report._cohorts import COUNTS, NONE, OTHER, Block, Cohorts
from shadowlane.aggregator.report._groups import crossings, singles, whole_of
from shadowlane.aggregator.report._losses import is_material
from shadowlane.aggregator.report._mix import mix_shifts
from shadowlane.aggregator.report._standouts import judge, standouts
from shadowlane.aggregator.report.figures import Standout, Term

Counts = NDArray[np.float64]


def counts(
    requests: int, disagreements: int = 0, errored: int = 0, judged: tuple[int, int, int, int] = (0, 0, 0, 0)
) -> list[float]:
    """A cohort's counts; `judged`: both right, only the primary, only the shadow, neither."""
    both, primary, shadow, neither = judged
    compared = requests - errored
    right = [both + primary, both + shadow, primary, shadow]
    return [requests, compared, 0, compared - disagreements, 0, 0, both + primary + shadow + neither, *right]


def cut(
    names: Sequence[str],
    values: Sequence[Sequence[str]],
    places: Sequence[Sequence[int]],
    rows: Sequence[Sequence[float]] | Counts,
    is_later: Sequence[bool] | None = None,
) -> Cohorts:
    """Cohorts of one block."""
    block = Block(
        tuple(names),
        tuple(map(tuple, values)),
        np.array(places, np.int64).reshape(len(places), len(names)),
        np.array(is_later or [False] * len(places)),
        np.array(rows, np.float64).reshape(len(places), COUNTS),
    )
    return Cohorts(
        (block,), 0, {name: len(each) for name, each in zip(names, values, strict=True)}, None, None
    )


def named(cohorts: Cohorts) -> tuple[Standout, ...]:
    """The groups that stand out."""
    findings = judge(singles(cohorts), crossings(cohorts))
    return standouts(findings, cohorts, whole_of(cohorts))


def by_country(*rows: list[float]) -> Cohorts:
    """Countries A, B, …, a row of counts each."""
    letters = [chr(ord("A") + place) for place in range(len(rows))]
    return cut(["country"], [letters], [[place] for place in range(len(rows))], rows)


def test_a_loss_of_agreement_is_told_in_a_sentence() -> None:
    """The group, its rate, its size and the whole's rate, as a person would say it."""
    [found] = named(by_country(counts(28_796, 1_152), counts(1_204, 347)))
    assert found.sentence == (
        "country=B: the two agree on 71.2 % of 1,204 requests (4.0 % of all), against 95.0 % overall."
    )
    assert (found.segment, found.value, found.figure, found.requests) == ("country", "B", "agreement", 1204)
    assert found.terms == (Term(segment="country", value="B"),)
    assert (found.group, found.share) == pytest.approx((857 / 1204, 1204 / 30_000))
    assert found.p_value < 1e-100


def test_errors_stand_out_when_they_double() -> None:
    """Six errors in a thousand against fewer than two overall are material, three are not."""
    [found] = named(by_country(counts(90_000, errored=90), counts(10_000, errored=60)))
    assert found.sentence == (
        "country=B: the shadow fails on 0.6 % of 10,000 requests (10.0 % of all), against 0.1 % overall."
    )
    assert named(by_country(counts(90_000, errored=180), counts(10_000, errored=30))) == ()


@pytest.mark.parametrize(
    ("bad", "elsewhere", "expected"),
    [
        (0.07, 0.05, True),
        (0.0699, 0.05, False),
        (0.004, 0.002, True),
        (0.0039, 0.002, False),
        (0.001, 0.0, True),
        (0.0009, 0.0, False),
        (0.05, 0.07, False),
        (0.05, 0.05, False),
    ],
)
def test_what_matters(bad: float, elsewhere: float, expected: bool) -> None:
    """Two points, or twice as bad and a tenth of a point."""
    assert is_material(bad, elsewhere) is expected


def test_a_gain_that_hides_a_loss_comes_first() -> None:
    """A shadow that is 2 points better overall and 15 worse in one country: that country is at the top."""
    good = counts(20_000, 4_000, judged=(17_000, 500, 1_150, 1_350))
    lost = counts(1_000, 150, judged=(800, 160, 10, 30))
    noisy = counts(3_000, 1_500)
    found = named(by_country(good, lost, noisy))
    assert [(each.figure, each.value) for each in found] == [("correctness", "B"), ("agreement", "C")]
    assert found[0].sentence == (
        "country=B: on 1,000 labelled requests (the group is 4.2 % of all) the shadow is right on 81.0 %, "
        "the primary on 96.0 %, although overall the shadow is the better one: 90.3 % and 87.9 %."
    )
    assert (found[0].group, found[0].whole) == pytest.approx((-0.15, 500 / 21_000))
    assert found[0].p_value < 1e-25


def test_a_shadow_that_is_worse_everywhere_names_no_group() -> None:
    """One loss, the same in all countries, is no group's; the group that loses far more is named."""
    alike = [counts(5_000, judged=(4_400, 300, 150, 150)) for _ in range(3)]
    assert named(by_country(*alike)) == ()
    found = named(by_country(*alike, counts(2_000, judged=(1_500, 380, 20, 100))))
    assert [(each.value, each.figure) for each in found] == [("D", "correctness")]
    assert "against overall" in found[0].sentence


def test_a_loss_in_a_crossing_is_named_there() -> None:
    """Only BR on iOS fails: the crossing is named, and neither BR nor iOS, whose other requests are fine."""
    places = [*product(range(3), range(3))]
    rows = [counts(2_000, 600 if place == (1, 2) else 80) for place in places]
    found = named(cut(["country", "device"], [["DE", "BR", "US"], ["web", "android", "ios"]], places, rows))
    assert [each.name for each in found] == ["country=BR and device=ios"]
    assert (found[0].segment, found[0].value) == ("country, device", "BR, ios")
    assert found[0].sentence.startswith(
        "country=BR and device=ios: the two agree on 70.0 % of 2,000 requests"
    )


def test_a_loss_of_a_country_is_not_told_for_each_device() -> None:
    """BR loses on all devices: BR is named once, and no crossing with it."""
    places = [*product(range(3), range(3))]
    rows = [counts(2_000, 500 if place[0] == 1 else 80) for place in places]
    found = named(cut(["country", "device"], [["DE", "BR", "US"], ["web", "android", "ios"]], places, rows))
    assert [each.name for each in found] == ["country=BR"]


def test_a_group_that_only_stands_beside_the_loss_is_not_named() -> None:
    """Most requests of BR are of the tier gold, which is fine elsewhere: BR is named, gold is not."""
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    rows = [counts(1_000, 40), counts(9_000, 360), counts(1_800, 540), counts(200, 60)]
    found = named(cut(["country", "tier"], [["DE", "BR"], ["gold", "none"]], places, rows))
    assert [each.name for each in found] == ["country=BR"]


def test_two_names_for_the_same_requests_are_told_once() -> None:
    """A segment that repeats another one adds no second sentence."""
    rows = [counts(9_000, 360), counts(1_000, 300)]
    found = named(cut(["code", "country"], [["de", "br"], ["DE", "BR"]], [(0, 0), (1, 1)], rows))
    assert [each.name for each in found] == ["code=br"]


def test_small_groups_never_stand_out() -> None:
    """Ninety-nine requests that all fail are too few to be named, a hundred are not."""
    assert named(by_country(counts(10_000), counts(99, errored=99))) == ()
    assert [each.value for each in named(by_country(counts(10_000), counts(100, errored=100)))] == ["B"]


def test_requests_without_the_segment_and_the_rest_can_stand_out() -> None:
    """A loss where the segment is missing, or in all the rare values together, is named in words."""
    rows = [counts(9_000, 90), counts(500, 200), counts(500, 150)]
    found = named(cut(["country"], [["DE"]], [[0], [NONE], [OTHER]], rows))
    assert [(each.name, each.value, each.terms[0].is_other) for each in found] == [
        ("no country", None, False),
        ("the rarer values of country", None, True),
    ]


def test_names_from_data_are_made_visible() -> None:
    """A value cannot move the cursor or break the line, nor can a name; an empty one is seen."""
    rows = [counts(9_000, 90), counts(500, 200), counts(500, 300)]
    found = named(cut(["a\x1b[31m"], [["fine", "x\ny", ""]], [[0], [1], [2]], rows))
    assert [each.name for each in found] == ["a\\x1b[31m=(empty)", "a\\x1b[31m=x\\ny"]


@pytest.mark.parametrize("base", [0.3, 0.05, 0.002])
def test_noise_names_no_group(base: float) -> None:
    """Over 200 runs of noise with 60 groups of all sizes, at most one in twenty names one."""
    rng = np.random.default_rng(11)
    sizes = np.geomspace(100, 20_000, 60).astype(int)
    places = [(n // 6, n % 6) for n in range(60)]
    values = [[f"c{n}" for n in range(10)], [f"d{n}" for n in range(6)]]
    alarms = 0
    for _ in range(200):
        errored = rng.binomial(sizes, base / 2)
        disagree = rng.binomial(sizes - errored, base)
        moved = rng.multinomial(sizes // 2, [1 - base, base / 2, base / 2])
        rows = [
            counts(int(n), int(d), int(e), (int(m[0]), int(m[1]), int(m[2]), 0))
            for n, d, e, m in zip(sizes, disagree, errored, moved, strict=True)
        ]
        alarms += bool(named(cut(["country", "device"], values, places, rows)))
    assert alarms <= 10


def test_noise_on_a_common_loss_names_no_group() -> None:
    """A shadow that is three points worse everywhere is that by chance more or less so, here and there."""
    rng = np.random.default_rng(17)
    sizes = np.geomspace(100, 20_000, 60).astype(int)
    alarms = 0
    for _ in range(200):
        moved = [[int(each) for each in rng.multinomial(n, [0.9, 0.05, 0.02, 0.03])] for n in sizes]
        rows = [counts(int(n), 0, 0, (m[0], m[1], m[2], m[3])) for n, m in zip(sizes, moved, strict=True)]
        alarms += bool(named(by_country(*rows)))
    assert alarms <= 10


@pytest.mark.parametrize("loss", [0.05, 0.1, 0.15])
def test_a_planted_loss_is_found_among_sixty_groups(loss: float) -> None:
    """A loss of agreement in one of sixty groups of a thousand requests each is the one that is named."""
    rng = np.random.default_rng(13)
    rates = np.full(60, 0.05)
    rates[17] += loss
    found = [
        named(by_country(*(counts(1_000, int(bad)) for bad in rng.binomial(1_000, rates)))) for _ in range(20)
    ]
    hits = [[each.value for each in one] == [chr(ord("A") + 17)] for one in found]
    assert sum(hits) >= 18


halves = [False, True]


def shifted(
    rates: Sequence[float], mixes: Sequence[Sequence[int]], later: Sequence[float] | None = None
) -> Cohorts:
    """Countries with these rates of disagreement, and so many requests in the earlier and the later half."""
    rows, places, is_later = [], [], []
    for half, mix in enumerate(mixes):
        for place, requests in enumerate(mix):
            rate = (later or rates)[place] if half else rates[place]
            rows.append(counts(requests, round(requests * rate)))
            places.append([place])
            is_later.append(halves[half])
    letters = [chr(ord("A") + place) for place in range(len(rates))]
    return cut(["country"], [letters], places, rows, is_later)


def test_a_shift_of_the_mix_is_told_from_a_change() -> None:
    """Agreement falls as a country grows that always agreed less: that no value got worse is said."""
    cohorts = shifted([0.03, 0.25], [[9_500, 500], [7_000, 3_000]])
    [found] = mix_shifts(cohorts, whole_of(cohorts))
    assert (found.figure, found.segment, found.name) == ("mix", "country", "the mix of country")
    assert (found.group, found.whole) == pytest.approx((0, -0.055))
    assert found.sentence == (
        "the mix of country changed: from the earlier half of the time to the later, agreement went from "
        "95.9 % to 90.4 %, but not within its values; country=B went from 5.0 % to 30.0 % of the requests."
    )


def test_simpsons_paradox_is_found() -> None:
    """Agreement rises on the whole and falls in each country: the mix became easier, and hides it."""
    cohorts = shifted([0.02, 0.3], [[4_000, 6_000], [9_000, 1_000]], [0.05, 0.36])
    [found] = mix_shifts(cohorts, whole_of(cohorts))
    assert found.whole > 0.09
    assert found.group == pytest.approx(-(0.65 * 0.03 + 0.35 * 0.06))
    assert found.p_value < 1e-3


def test_a_true_change_is_no_shift_of_the_mix() -> None:
    """What got worse within each value got worse; and without any change there is nothing to tell."""
    worse = shifted([0.03, 0.25], [[9_500, 500], [9_400, 600]], [0.08, 0.3])
    assert mix_shifts(worse, whole_of(worse)) == ()
    same = shifted([0.03, 0.25], [[9_500, 500], [9_500, 500]])
    assert mix_shifts(same, whole_of(same)) == ()


def test_a_half_without_the_other_halfs_values_says_nothing() -> None:
    """Where the values are others altogether, what changed within them is not known."""
    cohorts = shifted([0.03, 0.25], [[9_500, 0], [0, 3_000]])
    assert mix_shifts(cohorts, whole_of(cohorts)) == ()


@given(st.integers(0, 2**32 - 1))
def test_no_counts_are_too_odd(seed: int) -> None:
    """Whatever the counts, figures stay within their bounds and each standout has a sentence."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(12):
        requests = int(rng.integers(0, 400))
        errored = int(rng.integers(0, requests + 1))
        judged = rng.multinomial(int(rng.integers(0, requests - errored + 1)), rng.dirichlet([1.0] * 4))
        both, primary, shadow, neither = map(int, judged)
        disagreements = int(rng.integers(0, requests - errored + 1))
        rows.append(counts(requests, disagreements, errored, (both, primary, shadow, neither)))
    places = rng.integers(0, 3, (12, 2))
    cohorts = cut(
        ["a", "b"], [["x", "y", "z"]] * 2, places.tolist(), rows, rng.random(12).round().astype(bool).tolist()
    )
    for each in (*named(cohorts), *mix_shifts(cohorts, whole_of(cohorts))):
        assert 0 <= each.p_value < 0.05
        assert -1 <= each.group <= 1
        assert 0 < each.share <= 1
        assert each.name in each.sentence
