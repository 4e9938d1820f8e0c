"""With a confidence a check passes or fails only when its whole interval is on one side of the bound."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.aggregator.gate import Check
from shadowlane.aggregator.gate._intervals import (
    difference_interval,
    distance_interval,
    mean_interval,
    more_needed,
    rate_interval,
    rate_is_settled,
)
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import LabelCount, LabelDistribution, ScoreDistribution
from shadowlane.aggregator.statistics import beta_binomial_sequence, jensen_shannon
from strategies import moderate
from unit.aggregator.gate.gate_reports import (
    ASKED,
    check,
    correctness,
    country,
    gate,
    group,
    interval,
    noise,
    rate,
    resources,
    truth,
    watch,
    whole,
)
from unit.aggregator.reports import latencies, report, scores

SURE = {"confidence": 0.95}


def peaks(n: int, shift: int = 0) -> ScoreDistribution:
    """So many scores of each model in five bins; the shadow's are moved by so many."""
    primary, shadow = [0] * 50, [0] * 50
    for place in range(5):
        primary[10 + place] = shadow[10 + place + shift] = n // 5
    distance = jensen_shannon(primary, shadow)
    return scores(distance, primary=tuple(primary), shadow=tuple(shadow))


def large(agreements: int = 190_000, **changes: Any) -> Report:
    """A report of so many requests that the five checks are settled."""
    return report(200_000, agreements, 20, **({"watch": watch(), "scores": peaks(200_000)} | changes))


def test_settled_checks_promote_and_say_where_the_figure_lies() -> None:
    """The interval is in the check, and in its sentence."""
    result = gate(large(), **SURE)
    assert (result.verdict, [each.passed for each in result.checks]) == ("promote", [True] * 5)
    traffic, *others = result.checks
    assert traffic.interval is None
    for each in others:
        assert each.interval is not None
        assert each.interval.level == 0.95
        assert "However often one looks, with 95 % confidence it is" in each.why
        assert each.more_needed is None


@pytest.mark.parametrize(
    ("agreements", "passed"),
    [(18_500, True), (18_040, None), (18_000, None), (17_950, None), (17_500, False)],
)
def test_a_bound_within_the_interval_settles_nothing(agreements: int, passed: bool | None) -> None:
    """A point estimate on the good side is no pass, and one on the bad no fail, until the interval is."""
    found = check(report(20_000, agreements, watch=watch()), "agreement_ok", **SURE)
    assert (found.passed, found.unsettled) == (passed, passed is None)
    point = check(report(20_000, agreements), "agreement_ok")
    assert point.passed is (agreements >= 18_000)
    assert ("does not settle it" in found.why) is (passed is None)


def test_it_says_how_many_more_requests_would_settle_it() -> None:
    """With so many more of the same the check is settled; with half of them it is not."""
    few = check(report(20_000, 18_120, watch=watch()), "agreement_ok", **SURE)
    assert few.more_needed is not None
    assert f"about {few.more_needed:,} more requests would" in few.why
    for share, passed in ((1.0, True), (0.5, None)):
        times = 1 + few.more_needed * share / 20_000
        more = report(round(20_000 * times), round(18_120 * times), watch=watch())
        assert check(more, "agreement_ok", **SURE).passed is passed
    assert check(report(20_000, 18_000, watch=watch()), "agreement_ok", **SURE).more_needed is None
    bad = check(report(20_000, 17_900, watch=watch()), "agreement_ok", **SURE)
    assert (bad.passed, bool(bad.more_needed)) == (None, True)


def test_an_unsettled_check_beside_a_failed_one_is_a_hold() -> None:
    """What has failed for sure does not come right by waiting; what cannot be said at all comes first."""
    failed = large(100_000)
    open_one = replace(failed, latencies=latencies(99.0), watch=watch(shadow_p99_ms=interval(90.0, 110.0)))
    result = gate(open_one, **SURE)
    assert (result.verdict, result.checks[2].unsettled) == ("hold", True)
    settled = gate(large(watch=watch(shadow_p99_ms=interval(90.0, 110.0)), latencies=latencies(99.0)), **SURE)
    assert settled.verdict == "inconclusive"
    assert settled.reason == "Not enough is known to decide (not settled yet: latency_ok)."
    unknown = gate(replace(open_one, scores=peaks(0)), **SURE)
    assert unknown.verdict == "inconclusive"


def test_users_that_are_alike_make_requests_worth_less() -> None:
    """Counts that are settled when each request has its own user are not when users repeat themselves."""
    counts = report(20_000, 18_500)
    apart = check(replace(counts, watch=watch()), "agreement_ok", **SURE)
    alike = check(replace(counts, watch=watch(of_disagreement=20.0)), "agreement_ok", **SURE)
    assert (apart.passed, alike.passed) == (True, None)
    assert alike.interval is not None
    assert alike.interval.method.endswith("per user")
    assert alike.more_needed is not None
    one_user = check(replace(counts, watch=watch(of_disagreement=math.inf)), "agreement_ok", **SURE)
    assert (one_user.passed, one_user.more_needed) == (None, None)


def test_percentiles_go_by_their_own_intervals() -> None:
    """The p99's interval comes from the report; where there is none, requests are too few."""
    at: dict[str, Any] = {"latencies": latencies(80.0)}
    assert check(large(**at), "latency_ok", **SURE).passed is True
    slow = large(**at, watch=watch(shadow_p99_ms=interval(101.0, 120.0)))
    assert check(slow, "latency_ok", **SURE).passed is False
    wide = check(large(**at, watch=watch(shadow_p99_ms=interval(75.0, 120.0))), "latency_ok", **SURE)
    assert (wide.passed, wide.unsettled, bool(wide.more_needed)) == (None, True, True)
    none = check(large(**at, watch=watch(shadow_p99_ms=None)), "latency_ok", **SURE)
    assert (none.passed, none.unsettled) == (None, False)
    assert "too few requests to bound it" in none.why
    assert (
        check(
            large(**at, watch=watch(p99_ratio=None)), "latency_ratio_ok", max_latency_ratio=5, **SURE
        ).passed
        is None
    )
    ratio = check(large(**at), "latency_ratio_ok", max_latency_ratio=1.2, **SURE)
    assert (ratio.passed, ratio.interval) == (False, interval(1.1, 1.3)) or ratio.unsettled


def test_a_distance_is_bounded_from_both_models_counts() -> None:
    """Far more requests than its value alone would need; never a pass by luck of few."""
    few = check(report(1_000, 950, scores=peaks(1_000), watch=watch()), "distribution_ok", **SURE)
    assert (few.value, few.passed) == (0.0, None)
    assert few.more_needed is not None
    many = check(large(), "distribution_ok", **SURE)
    assert many.passed is True
    apart = check(large(scores=peaks(200_000, shift=5)), "distribution_ok", **SURE)
    assert apart.passed is False
    labels = LabelDistribution(
        labels=tuple(LabelCount(label=name, primary=90_000, shadow=90_000) for name in "ab"),
        other=LabelCount(label=None, primary=20_000, shadow=20_000),
        one_sided=0,
        distance=0.0,
    )
    of_labels = check(large(scores=scores(None), labels=labels), "distribution_ok", **SURE)
    assert (of_labels.passed, of_labels.n) == (True, 200_000)


def test_what_is_asked_for_besides_is_watched_too() -> None:
    """Each of the further criteria has its interval, but for counts and maxima."""
    many = {
        "truth": truth(
            correctness=correctness(200_000, 2_000, 2_000, 180_000),
            on_disagreements=correctness(16_000, 2_000, 2_000),
            labelled=rate(200_000, 200_000),
        ),
        "agreement": noise(rate(4_000, 200_000), 0.03),
        "resources": resources(measured=200_000),
        "segments": country(group("BR", 120_000, 0.95), group("DE", 80_010, 0.95, errored=10)),
    }
    result = gate(large(**whole(**many)), **ASKED, **SURE)
    assert (result.verdict, result.reason) == ("promote", "Every check passed.")
    counted = {each.name for each in result.checks if each.interval is None}
    assert counted == {
        *("sufficient_traffic", "segments_sufficient", "labels_sufficient"),
        *("full_week_seen", "days_seen", "complete", "memory_ok"),
    }
    wide = {
        "correctness": correctness(5_000, 400, 400),
        "on_disagreements": correctness(100, 40, 40),
        "brier_difference_interval": interval(-0.02, 0.02),
    }
    few = gate(large(**whole(**many | {"truth": truth(**wide)})), **ASKED, **SURE)
    assert few.verdict == "inconclusive"
    open_ones = {each.name for each in few.checks if each.unsettled}
    assert open_ones == {"correctness_ok", "correctness_on_disagreements_ok", "brier_ok"}
    assert all(each.more_needed for each in few.checks if each.unsettled)


def test_the_corrected_agreement_is_never_more_than_all() -> None:
    """A control that is noisier than the shadow makes it 100 %, not more."""
    noisy = large(agreement=noise(rate(30_000, 200_000), -0.1))
    policy = {"noise": {"control": "again", "min_corrected_agreement_rate": 0.99}}
    found = check(noisy, "corrected_agreement_ok", **policy, **SURE)
    assert (found.value, found.passed) == (1.0, True)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == (1.0, 1.0)


@given(
    whole_=st.integers(1, 100_000),
    share=st.floats(0, 1),
    bound=st.sampled_from([0.0, 0.001, 0.1, 0.5, 0.9, 0.999, 1.0]),
    effect=st.sampled_from([1.0, 1.5, 50.0]),
)
@moderate
def test_a_rates_interval_holds_the_rate_and_tells_what_is_settled(
    whole_: int, share: float, bound: float, effect: float
) -> None:
    """The point lies within; whether the bound does is what the quicker question answers."""
    part = round(whole_ * share)
    found = rate_interval(part, whole_, bound, 0.95, effect)
    assert 0 <= found.low <= part / whole_ <= found.high <= 1
    settled = not found.low <= bound <= found.high
    near = min(abs(found.low - bound), abs(found.high - bound)) < 1e-9
    assert near or rate_is_settled(part, whole_, bound, 0.95, effect) is settled
    plain = rate_interval(part, whole_, bound, 0.95)
    assert found.low <= plain.low <= plain.high <= found.high


def test_a_rates_interval_is_the_statistics_sequence() -> None:
    """About a bound of one half the prior is flat, as the sequence's own default."""
    found = rate_interval(700, 1_000, 0.5, 0.9)
    assert (found.low, found.high) == pytest.approx(beta_binomial_sequence(700, 1_000, 0.9))


def test_intervals_hold_the_truth_at_every_look() -> None:
    """Of 80 streams looked at 8 times each, in no more than a twentieth is it ever missed."""
    random = np.random.default_rng(8)
    looks = np.unique(np.geomspace(50, 5_000, 8).astype(int))
    truth_ = np.array([0.4, 0.3, 0.2, 0.1])
    other = np.array([0.3, 0.4, 0.2, 0.1])
    distance = jensen_shannon([*(truth_ * 1000).astype(int)], [*(other * 1000).astype(int)])
    assert distance is not None
    missed = {"difference": 0, "mean": 0, "distance": 0}
    for _ in range(80):
        kinds = random.choice(3, size=5_000, p=[0.1, 0.15, 0.75])
        values = random.normal(0.3, 2.0, size=5_000)
        first, second = (random.choice(4, size=5_000, p=p) for p in (truth_, other))
        wrong = dict.fromkeys(missed, False)
        for n in looks:
            a, b = int((kinds[:n] == 0).sum()), int((kinds[:n] == 1).sum())
            found = difference_interval((a, n), (b, n), (0.02, 0.02), 0.95)
            wrong["difference"] |= not found.low <= 0.05 <= found.high
            half = 1.959963984540054 * values[:n].std() / math.sqrt(n)
            mean = values[:n].mean()
            found = mean_interval(mean, interval(mean - half, mean + half), n, 0.95, 1_000)
            wrong["mean"] |= not found.low <= 0.3 <= found.high
            counts = [np.bincount(each[:n], minlength=4).tolist() for each in (first, second)]
            found = distance_interval(jensen_shannon(*counts) or 0.0, counts[0], counts[1], 0.95)
            wrong["distance"] |= not found.low <= distance <= found.high
        for name, is_wrong in wrong.items():
            missed[name] += is_wrong
    assert all(count <= 4 for count in missed.values()), missed


def test_more_needed_is_found_or_said_to_be_none() -> None:
    """To a hundredth or so, rounded up; none where nothing settles it."""
    assert (
        more_needed(lambda scale: scale >= 3, 1_000) == 2_100
        or more_needed(lambda scale: scale >= 3, 1_000) == 2_000
    )
    assert more_needed(lambda _: False, 1_000) is None
    assert more_needed(lambda _: True, 1) == 1


def test_a_result_says_what_is_not_settled() -> None:
    """A check that is open is told apart from one whose figure is unknown."""
    result = gate(report(20_000, 18_000, watch=watch(), latencies=latencies(None)), **SURE)
    assert result.verdict == "inconclusive"
    states: dict[str, Check] = {each.name: each for each in result.checks}
    assert states["agreement_ok"].unsettled
    assert not states["latency_ok"].unsettled
    assert "cannot be said: latency_ok" in result.reason
    assert "not settled yet: agreement_ok" in result.reason
