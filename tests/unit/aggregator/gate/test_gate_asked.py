"""The criteria that a policy may ask for: which figure passes, fails, or leaves it open."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shadowlane.aggregator.gate import Check, GateResult
from unit.aggregator.gate.gate_reports import (
    ASKED,
    check,
    completeness,
    correctness,
    country,
    coverage,
    features,
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
from unit.aggregator.reports import latencies, latency, report

ALL = [
    *("sufficient_traffic", "agreement_ok", "latency_ok", "errors_ok", "distribution_ok"),
    *("latency_ratio_ok", "corrected_agreement_ok", "features_complete", "each_feature_present"),
    *("full_week_seen", "days_seen", "complete", "cpu_ok", "memory_ok"),
    *("segments_sufficient", "segments_agreement_ok", "segments_errors_ok"),
    *("labels_sufficient", "correctness_ok", "correctness_on_disagreements_ok"),
    *("brier_ok", "absolute_error_ok"),
]


def outcome(result: GateResult) -> dict[str, bool | None]:
    """What came of the checks that did not pass."""
    return {each.name: each.passed for each in result.checks if not each.passed}


def test_all_that_can_be_asked_for_is_checked() -> None:
    """Each criterion is a check of its own; met by all, they are a promotion."""
    result = gate(report(**whole()), **ASKED)
    assert [each.name for each in result.checks] == ALL
    assert (result.verdict, outcome(result)) == ("promote", {})


def _correct(primary: int, shadow: int) -> Any:
    return truth(correctness=correctness(5_000, primary, shadow, 4_000))


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({"latencies": latencies(101.0)}, "latency_ratio_ok", "5.0500 times the primary's"),
        ({"agreement": noise(rate(400, 20_000), 0.06)}, "corrected_agreement_ok",
         "on 94.00 %; at least 95 %"),
        ({"features": features(300)}, "features_complete", "On 1.50 % of the requests"),
        ({"features": features(300)}, "each_feature_present", "most, age, is missing on 1.50 %"),
        ({"resources": resources(cpu=20.5)}, "cpu_ok", "20.5 ms of processor time; at most 20 ms"),
        ({"resources": resources(memory=2000.5)}, "memory_ok", "up to 2,000.5 MB; at most 2,000 MB"),
        ({"segments": country(group("BR", 19_000, 0.96), group("DE", 1_010, 0.8))}, "segments_agreement_ok",
         "In country = DE the two agree on 80.00 %"),
        ({"segments": country(group("BR", 19_000, 0.96), group("DE", 1_010, 0.95, errored=11))},
         "segments_errors_ok", "In country = DE the shadow failed on 1.09 %"),
        ({"segments": country(group("BR", 19_000, 0.96), other=group(None, 1_010, 0.5))},
         "segments_agreement_ok", "In country = (all others)"),
        ({"truth": _correct(100, 40)}, "correctness_ok",
         "right -1.20 points against the primary; at least -1"),
        ({"truth": truth(on_disagreements=correctness(400, 100, 10))}, "correctness_on_disagreements_ok",
         "where the two disagree, the shadow is right -22.50 points"),
        ({"truth": truth(brier_difference=0.02)}, "brier_ok", "Brier score is +0.0200 above the primary's"),
    ],
)  # fmt: skip
def test_a_criterion_that_is_missed_holds(changes: dict[str, Any], name: str, said: str) -> None:
    """The check says the value and the bound, and the verdict is hold."""
    policy = ASKED | {"max_shadow_latency_p99_ms": 500}
    result = gate(report(**whole(**changes)), **policy)
    found = next(each for each in result.checks if each.name == name)
    assert (result.verdict, found.passed, found.kind) == ("hold", False, "criterion")
    assert said in found.why
    assert name in result.reason


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({"coverage": coverage(6, full=False)}, "full_week_seen",
         "6 of 7 weekdays and 144 of a week's 168 hours"),
        ({"coverage": coverage(6, full=False)}, "days_seen", "Days with requests: 6; at least 7"),
        ({"completeness": completeness(0.0011)}, "complete", "0.11 % are in no count; at most 0.1 %"),
        ({"truth": truth(labelled=rate(999, 20_000))}, "labels_sufficient", "1 more are needed"),
        ({"segments": country(group("BR", 19_911, 0.96), group("DE", 99, 1.0))}, "segments_sufficient",
         "too few: country = DE"),
    ],
)  # fmt: skip
def test_too_little_evidence_is_inconclusive(changes: dict[str, Any], name: str, said: str) -> None:
    """Fewer days, labels or requests of a cohort than asked for decide nothing: more will come."""
    result = gate(report(**whole(**changes)), **ASKED)
    found = next(each for each in result.checks if each.name == name)
    assert (result.verdict, found.passed, found.kind) == ("inconclusive", False, "evidence")
    assert said in found.why


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({"agreement": None}, "corrected_agreement_ok", "The control again (run live) has no comparisons"),
        ({"agreement": noise(rate(0, 0), None)}, "corrected_agreement_ok", "has no comparisons"),
        ({"agreement": noise(rate(0, 9), 0.0, "other")}, "corrected_agreement_ok", "has no comparisons"),
        ({"features": None}, "features_complete", "No request was seen whose features are known"),
        ({"features": None}, "each_feature_present", "No request was seen whose features are known"),
        ({"coverage": None}, "full_week_seen", "nothing is known of the days"),
        ({"coverage": None}, "days_seen", "Days with requests: —"),
        ({"completeness": None}, "complete", "what is missing is unknown"),
        ({"completeness": completeness(None)}, "complete", "what is missing is unknown"),
        ({"resources": None}, "cpu_ok", "not measured on 20,000 requests"),
        ({"resources": resources(measured=19_999)}, "cpu_ok", "not measured on 1 request."),
        ({"resources": resources(memory=None)}, "memory_ok", "memory was not measured"),
        ({"segments": ()}, "segments_agreement_ok", "No request of these segments was seen"),
        ({"segments": ()}, "segments_sufficient", "No request of these segments was seen"),
        ({"segments": country(group("BR", 19_000, 0.96), group("DE", 200, 1.0, errored=200))},
         "segments_agreement_ok", "In country = DE no request was compared"),
        ({"truth": None}, "correctness_ok", "No outcome label is known"),
        ({"truth": truth(name="click")}, "brier_ok", "No outcome label is known"),
        ({"truth": truth(correctness=None)}, "correctness_ok", "No outcome label is known"),
        ({"truth": truth(on_disagreements=correctness(0, 0, 0))}, "correctness_on_disagreements_ok",
         "No outcome label is known"),
        ({"truth": truth(numeric=None)}, "absolute_error_ok", "No outcome label is known"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_inconclusive(changes: dict[str, Any], name: str, said: str) -> None:
    """A section that is not there, or holds nothing, is never a pass."""
    result = gate(report(**whole(**changes)), **ASKED)
    found = next(each for each in result.checks if each.name == name)
    assert (result.verdict, found.passed, found.unsettled) == ("inconclusive", None, False)
    assert said in found.why


def test_a_primary_that_was_not_timed_is_nothing_to_compare_with() -> None:
    """The two percentiles are of the same requests, or nothing is said."""
    [both] = latencies(80.0)
    for primary, said in (
        (latency(None, unmeasured=1000), "not known on 1,000 requests"),
        (latency(20.0, unmeasured=1), "not known on 1 request."),
        (latency(0.0), "nothing to compare with"),
    ):
        found = check(
            report(latencies=(replace(both, primary=primary),)), "latency_ratio_ok", max_latency_ratio=5
        )
        assert found.passed is None
        assert said in found.why


def test_the_worst_cohort_is_the_one_shown() -> None:
    """One that fails before one that cannot be said, and how many fare like it."""
    groups = [group(name, 2_000, 0.5 + place / 50) for place, name in enumerate("EDCBA")]
    found = check(
        report(segments=country(group("BR", 10_000, 0.96), group("XX", 10, 1.0, errored=10), *groups)),
        "segments_agreement_ok",
        segments={"names": ["country"], "min_agreement_rate": 0.9, "min_share": 0},
    )
    assert (found.of, found.n, found.value, found.passed) == ("country = E", 2_000, 0.5, False)
    assert "So it fails in 5 of 7 cohorts: country = E, country = D, country = C and 2 more." in found.why


def test_cohorts_too_rare_to_be_judged_are_named() -> None:
    """They are left out by their share alone, and never without a word."""
    few = country(group("BR", 20_000, 0.96), group("DE", 10, 0.0), other=group(None, 300, 0.95))
    asked = {"names": ["country"], "min_agreement_rate": 0.9}
    result = gate(report(segments=few), segments=asked)
    assert result.verdict == "promote"
    assert "Not judged, each with less than 0.1 % of the requests: country = DE." in result.checks[5].why
    assert gate(report(segments=few), segments=asked | {"min_share": 0}).verdict == "inconclusive"
    other_segment = gate(report(segments=few), segments=asked | {"names": ["clinic"]})
    assert other_segment.verdict == "inconclusive"


def test_a_loss_of_correctness_in_one_cohort_holds() -> None:
    """A gain on the whole does not make up for it."""
    better: dict[str, Any] = {"primary_correct": rate(800, 1_000), "shadow_correct": rate(900, 1_000)}
    worse: dict[str, Any] = {"primary_correct": rate(90, 100), "shadow_correct": rate(75, 100)}
    groups = country(group("BR", 19_000, 0.96, **better), group("DE", 1_010, 0.96, **worse))
    asked = {"names": ["country"], "max_correctness_loss": 0.05}
    found = check(report(segments=groups), "segments_correctness_ok", segments=asked)
    assert (found.of, found.passed) == ("country = DE", False)
    assert "the shadow is right -15.00 points against the primary; at least -5 points" in found.why
    unknown = country(group("BR", 19_000, 0.96, **better), group("DE", 1_010, 0.96))
    assert check(report(segments=unknown), "segments_correctness_ok", segments=asked).passed is None


def test_the_order_of_rows_changes_no_word() -> None:
    """Sums of floats differ in their last digits by the order of the rows; a difference of two, in more."""
    first, second = 5.000000000000837e-05, 4.99999999999e-05 + 9e-17
    policy = {"labels": {"max_brier_increase": 0.01, "max_absolute_error_increase": 1.0}}
    numeric = truth().outcomes[0].numeric
    assert numeric is not None
    results = [
        gate(
            report(
                watch=watch(),
                truth=truth(
                    brier_difference=each,
                    brier_difference_interval=interval(each - 0.01, each + 0.01),
                    numeric=replace(numeric, difference=each * 1e4, primary_mean_absolute=1e4),
                ),
            ),
            **policy,
            **sure,
        )
        for each in (first, second)
        for sure in ({}, {"confidence": 0.95})
    ]
    assert [each.checks for each in results[:2]] == [each.checks for each in results[2:]]


def test_names_from_data_are_only_text() -> None:
    """Braces and control characters in a cohort's, feature's or outcome's name change no sentence."""
    name = "{0}{x}\x1b[31m"
    changes = whole(
        segments=country(group(name, 20_010, 0.5)),
        features=features(300, name=name),
        truth=truth(name=name, brier_difference=0.5),
        agreement=noise(rate(0, 20_000), 0.5, name),
    )
    policy = ASKED | {
        "labels": {"name": name, "max_brier_increase": 0.01},
        "noise": {"control": name, "min_corrected_agreement_rate": 0.95},
    }
    result = gate(report(**changes), **policy)
    assert result.verdict == "hold"
    texts = [each.why for each in result.checks if each.of]
    assert len(texts) >= 5
    assert all("{0}{x}\\x1b[31m" in each and "\x1b" not in each for each in texts if "sufficient" not in each)


def test_a_check_without_a_report_that_was_read_for_it_settles_nothing() -> None:
    """A confidence needs what only a report with the users' clusters has: no other passes or fails by it."""
    result = gate(report(agreements=1_000), confidence=0.95)
    found = next(each for each in result.checks if each.name == "agreement_ok")
    assert (result.verdict, found.passed) == ("inconclusive", None)
    assert "read without what a confidence needs" in found.why
    other_level = report(watch=watch(level=0.9))
    assert check(other_level, "agreement_ok", confidence=0.95).passed is None


def _names(checks: tuple[Check, ...]) -> list[str]:
    return [each.name for each in checks]


def test_what_is_not_asked_for_is_not_checked() -> None:
    """Sections that a report has and a policy does not name change nothing."""
    assert _names(gate(report(**whole(completeness=completeness(0.5)))).checks) == ALL[:5]
