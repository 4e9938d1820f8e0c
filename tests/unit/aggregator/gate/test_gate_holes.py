"""What must not lead to a promotion: too little noise, hidden groups, requests picked by their result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shadowlane.aggregator.gate import GateResult, Policy, judge
from shadowlane.aggregator.report._scope import Scope
from shadowlane.errors import SettingsError
from shadowlane.lake import ERRORS
from unit.aggregator.gate.gate_lakes import comparisons, failing, land
from unit.aggregator.gate.gate_reports import NOW
from unit.aggregator.report_lake import comparison


def verdict(lake: Path, policy: str = "", where: str | None = None) -> GateResult:
    """What the gate says."""
    file = lake / "policy.toml"
    file.write_text("min_requests = 100\nmax_distribution_divergence = 1\n" + policy)
    return judge(lake, Scope("ranker", "challenger", where=where), Policy.load(file), NOW)


def outcome(result: GateResult, name: str) -> tuple[bool | None, str]:
    """What came of a check, and why."""
    [found] = [each for each in result.checks if each.name == name]
    return found.passed, found.why


def test_one_request_is_no_noise_floor(tmp_path: Path) -> None:
    """A control that disagreed with itself once of once takes nothing off."""
    rows = [comparison(n, agreement=n % 2 == 0) for n in range(200)]
    land(tmp_path, [*rows, comparison(0, run="control", agreement=False, landed_offset=900)])
    policy = """min_agreement_rate = 0
        [noise]
        control = "challenger"
        control_run = "control"
        min_corrected_agreement_rate = 0.98
    """
    result = verdict(tmp_path, policy)
    passed, why = outcome(result, "corrected_agreement_ok")
    assert (result.verdict, passed) == ("inconclusive", None)
    assert "has 1 comparison; at least 1,000 are asked for" in why


def test_a_value_beyond_the_most_frequent_is_not_passed_unseen(tmp_path: Path) -> None:
    """Of 60 countries ten are only known together, where five that always disagree would be lost."""
    rows = [
        comparison(n, segments=[("country", f"C{n % 60:02}")], agreement=n % 60 < 55) for n in range(6_000)
    ]
    land(tmp_path, rows)
    policy = '[segments]\nnames = ["country"]\nmin_agreement_rate = 0.3\nmin_requests = 10\nmin_share = {}\n'
    result = verdict(tmp_path, policy.format(0.001))
    passed, why = outcome(result, "segments_agreement_ok")
    assert result.verdict != "promote"
    assert passed is None
    assert "only the 50 most frequent values were judged one by one" in why
    passed, why = outcome(verdict(tmp_path, policy.format(0.02)), "segments_sufficient")
    assert "only the 50" not in why


@pytest.mark.parametrize(
    "where", ["agreement", "abs(difference) < 0.1", "shadow_score > 0.5", "shadow_latency_ms < 100"]
)
def test_requests_are_not_picked_by_what_is_judged_of_them(tmp_path: Path, where: str) -> None:
    """A gate over those that agree would promote anything."""
    land(tmp_path, comparisons(200))
    with pytest.raises(SettingsError, match="does not pick requests by what it judges"):
        verdict(tmp_path, where=where)


def test_errors_that_a_condition_leaves_out_are_no_pass(tmp_path: Path) -> None:
    """Errors have no score: of requests picked by it, nobody knows how many failed."""
    land(tmp_path, comparisons(400))
    land(tmp_path, failing(100, 1_000), ERRORS)
    result = verdict(tmp_path, "max_shadow_error_rate = 0.5", where="primary_score >= 0")
    passed, why = outcome(result, "errors_ok")
    assert (result.verdict, passed) == ("inconclusive", None)
    assert "100 errors of this window are in no count" in why
    kept = verdict(tmp_path, "max_shadow_error_rate = 0.5", where="entity_id IS NOT NULL OR true")
    assert outcome(kept, "errors_ok")[0] is True


def test_a_number_beyond_all_floats_is_no_bound(tmp_path: Path) -> None:
    """It is a mistake in a policy, told as such."""
    with pytest.raises(SettingsError, match="min_requests"):
        verdict(tmp_path, "[coverage]\nmin_days = " + "9" * 400 + "\nmin_requests = 1")
    with pytest.raises(SettingsError, match="max_shadow_latency_p99_ms"):
        verdict(tmp_path, "max_shadow_latency_p99_ms = " + "9" * 400)


def test_the_shadow_is_not_its_own_noise(tmp_path: Path) -> None:
    """Named as its own control, it would be excused of everything."""
    land(tmp_path, comparisons(200))
    policy = '[noise]\ncontrol = "challenger"\nmin_corrected_agreement_rate = 0.9\n'
    with pytest.raises(SettingsError, match="is the shadow itself"):
        verdict(tmp_path, policy)


def _plain(lake: Path, min_requests: int = 100) -> GateResult:
    file = lake / "policy.toml"
    file.write_text(f"min_requests = {min_requests}")
    return judge(lake, Scope("ranker", "challenger"), Policy.load(file), NOW)


def test_a_far_value_does_not_hide_that_all_others_differ(tmp_path: Path) -> None:
    """One score of a thousand stretches the bins until all others fall into one: the distance is no pass."""
    scores = np.random.default_rng(0).random(3_000)
    rows = [comparison(n, primary_score=each, shadow_score=0.35 * each) for n, each in enumerate(scores)]
    rows[7]["shadow_score"] = 1000.0
    land(tmp_path, rows)
    result = _plain(tmp_path)
    passed, why = outcome(result, "distribution_ok")
    assert (result.verdict, passed) == ("inconclusive", None)
    assert "the distance is blind to them" in why


def test_skewed_scores_that_are_alike_pass(tmp_path: Path) -> None:
    """Most scores of a rare event lie in one bin, and that is no fault."""
    scores = np.random.default_rng(0).beta(0.05, 20, 3_000)
    scores[0] = 1.0
    land(tmp_path, [comparison(n, primary_score=each, shadow_score=each) for n, each in enumerate(scores)])
    assert outcome(_plain(tmp_path), "distribution_ok")[0] is True


def test_a_percentile_of_twenty_requests_is_no_pass(tmp_path: Path) -> None:
    """The others were timed as shares of a batch: of the shadow's slowest hundredth nothing is known."""
    rows = [comparison(n, latency_basis="amortized", shadow_latency_ms=900.0) for n in range(1_000)]
    rows += [comparison(n, shadow_latency_ms=20.0) for n in range(1_000, 1_020)]
    land(tmp_path, rows)
    result = _plain(tmp_path, 1_000)
    passed, why = outcome(result, "latency_ok")
    assert (result.verdict, passed) == ("inconclusive", None)
    assert "Only 20 requests timed alone and warm; 368 are the least" in why
