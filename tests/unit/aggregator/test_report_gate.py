"""The gate: which report gets which verdict, and what it says."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import shadowlane
from shadowlane.aggregator.gate._check import Check
from shadowlane.aggregator.gate._gate import EXIT_CODES, GateResult, decide
from shadowlane.aggregator.gate._policy import Policy
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import LabelDistribution
from unit.aggregator.reports import latencies, report, scores

NOW = datetime(2026, 3, 2, tzinfo=UTC)
NAMES = ["sufficient_traffic", "agreement_ok", "latency_ok", "errors_ok", "distribution_ok"]


def gate(of: Report, **policy: Any) -> GateResult:
    """The verdict on a report, under the default policy with these changes."""
    return decide(of, Policy(**policy), NOW)


def check(of: Report, name: str, **policy: Any) -> Check:
    """One check of the verdict on a report."""
    return next(each for each in gate(of, **policy).checks if each.name == name)


def test_a_report_that_meets_all_is_promoted() -> None:
    """Five checks passed are a promotion, and the result carries what it rests on."""
    result = gate(report())
    assert (result.verdict, result.promote, result.exit_code) == ("promote", True, 0)
    assert [each.name for each in result.checks] == NAMES
    assert all(each.passed is True for each in result.checks)
    assert result.table_versions == {"comparisons": 7, "errors": 3, "ledger": None}
    assert (result.software_version, result.decided_at, result.policy) == (
        shadowlane.__version__,
        NOW,
        Policy(),
    )
    assert result.report_summary["agreement_rate"] == 0.95


def test_a_verdict_carries_what_must_be_known() -> None:
    """A release manager who reads the verdict alone reads the report's notes too."""
    assert gate(report(undecodable=3)).notes == (
        "3 messages on the topic could not be read; no model was asked, and none is charged.",
    )


def test_each_verdict_has_its_exit_code() -> None:
    """What a pipeline branches on: 2 and 5 are left for wrong usage and damaged data."""
    assert EXIT_CODES == {"promote": 0, "hold": 1, "inconclusive": 3, "no_data": 4}


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        (report(agreements=10_000), "agreement_ok"),
        (report(latencies=latencies(150.0)), "latency_ok"),
        (report(errored=500), "errors_ok"),
        (report(scores=scores(0.3)), "distribution_ok"),
    ],
)
def test_one_failed_check_holds(bad: Report, name: str) -> None:
    """A single criterion that is missed holds the shadow, and is the one named."""
    result = gate(bad)
    assert (result.verdict, result.promote, result.exit_code) == ("hold", False, 1)
    assert [each.name for each in result.checks if each.passed is False] == [name]
    assert result.reason == f"Failed: {name}."


@pytest.mark.parametrize(
    ("at", "beyond"),
    [
        (report(compared=9_990, agreements=9_990), report(compared=9_989, agreements=9_989)),
        (report(agreements=18_000), report(agreements=17_999)),
        (report(latencies=latencies(100.0)), report(latencies=latencies(math.nextafter(100, 101)))),
        (report(compared=19_980, errored=20), report(compared=19_979, errored=21)),
        (report(scores=scores(0.15)), report(scores=scores(math.nextafter(0.15, 1)))),
    ],
)
def test_exactly_at_the_bound_is_a_pass(at: Report, beyond: Report) -> None:
    """A value at its bound meets it; one step of a float beyond does not."""
    assert gate(at).verdict == "promote"
    assert gate(beyond).verdict in {"hold", "inconclusive"}


def test_nearly_all_is_not_all() -> None:
    """99.996 % agreement neither passes as 100 % nor is written so."""
    found = check(report(compared=25_000, agreements=24_999), "agreement_ok", min_agreement_rate=1.0)
    assert found.passed is False
    assert "99.996 %" in found.why
    assert found.why.count("100") == 1


def test_no_requests_are_no_data() -> None:
    """Nothing seen is neither a pass nor a fail."""
    empty = report(compared=0, agreements=0, errored=0, latencies=(), scores=None, versions=())
    result = gate(empty)
    assert (result.verdict, result.exit_code) == ("no_data", 4)
    assert not any(each.passed for each in result.checks)


def test_too_few_requests_are_inconclusive() -> None:
    """Good figures over too few requests, and bad ones too, decide nothing."""
    few = report(compared=100, agreements=100, errored=0)
    assert gate(few).verdict == "inconclusive"
    assert "9,900 more are needed" in check(few, "sufficient_traffic").why
    assert gate(report(compared=100, agreements=1, errored=0)).verdict == "inconclusive"


def test_ignored_requests_are_no_evidence() -> None:
    """However many were ignored, a verdict rests on enough of the others, or there is none."""
    some = report(compared=20_000, agreements=9_990, ignored=10_010, agreement_rate=1.0)
    assert gate(replace(some, errored=0)).verdict == "inconclusive"
    assert gate(replace(some, errored=10)).verdict == "promote"
    assert check(some, "agreement_ok").n == 9_990
    assert "10,000 requests seen, beside 10,010 ignored" in check(some, "sufficient_traffic").why
    none = report(agreements=0, ignored=20_000, agreement_rate=None)
    assert check(none, "agreement_ok").passed is None
    assert check(none, "agreement_ok").why.startswith("Each compared request is ignored by a rule")


def test_errors_alone_are_inconclusive() -> None:
    """Where every request failed nothing was compared: no pass, and no plain fail."""
    result = gate(report(compared=0, agreements=0, errored=20_000))
    assert (result.verdict, result.exit_code) == ("inconclusive", 3)
    assert {each.name: each.passed for each in result.checks} == {
        "sufficient_traffic": True,
        "agreement_ok": None,
        "latency_ok": None,
        "errors_ok": False,
        "distribution_ok": None,
    }
    assert "failed: errors_ok" in result.reason


@pytest.mark.parametrize(
    ("unknown", "name", "said"),
    [
        (report(latencies=latencies(80.0, basis="amortized")), "latency_ok", "only: amortized"),
        (report(latencies=latencies(80.0, basis="warmup")), "latency_ok", "only: warmup"),
        (report(latencies=latencies(80.0, unusable=1)), "latency_ok", "latencies 1 are absent"),
        (report(latencies=latencies(None, unusable=9)), "latency_ok", "latencies 9 are absent"),
        (report(scores=None), "distribution_ok", "no distance to compute"),
        (report(scores=scores(None)), "distribution_ok", "no distance to compute"),
        (report(scores=scores(0.01, shadow_not_finite=3)), "distribution_ok", "3 scores of the shadow"),
        (report(scores=scores(0.01, primary_not_finite=2)), "distribution_ok", "2 scores of the primary"),
        (report(scores=scores(0.01, one_sided=4)), "distribution_ok", "On 4 requests only one"),
    ],
)
def test_what_is_not_known_is_inconclusive(unknown: Report, name: str, said: str) -> None:
    """NaN, absent or one-sided values are never a pass: the check says what is not known."""
    result = gate(unknown)
    found = next(each for each in result.checks if each.name == name)
    assert (result.verdict, found.passed) == ("inconclusive", None)
    assert said in found.why


def test_a_value_beyond_its_bound_fails_even_with_doubts() -> None:
    """A distance that is too large already is a fail, whatever else is unknown."""
    found = check(report(scores=scores(0.5, shadow_not_finite=1)), "distribution_ok")
    assert found.passed is False


def test_labels_are_judged_where_there_are_no_scores() -> None:
    """A classifier without confidences is judged by its labels; scores on one side do not matter then."""
    labels = LabelDistribution(labels=(), other=None, one_sided=0, distance=0.4)
    found = check(report(scores=scores(None, one_sided=20_000), labels=labels), "distribution_ok")
    assert (found.value, found.passed) == (0.4, False)
    assert "of the labels is 0.4" in found.why


@given(
    compared=st.integers(0, 30_000),
    errored=st.integers(0, 30_000),
    share=st.floats(0, 1),
    p99=st.none() | st.floats(0, 1000),
    distance=st.none() | st.floats(0, 0.84),
)
def test_promotion_means_that_every_bound_is_met(
    compared: int, errored: int, share: float, p99: float | None, distance: float | None
) -> None:
    """Whatever the figures, promotion happens exactly where all five criteria are met by known values."""
    agreements = int(compared * share)
    result = gate(report(compared, agreements, errored, latencies=latencies(p99), scores=scores(distance)))
    total = compared + errored
    met = (
        total >= 10_000
        and compared > 0
        and agreements / compared >= 0.9
        and p99 is not None
        and p99 <= 100
        and errored / total <= 0.001
        and distance is not None
        and distance <= 0.15
    )
    assert result.promote is met
    assert (result.exit_code == 0) is met
