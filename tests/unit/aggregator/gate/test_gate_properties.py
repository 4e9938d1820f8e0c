"""What holds of any report under any policy."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shadowlane.aggregator.gate import GateResult, Policy, decide, gate_to_json, gate_to_junit
from shadowlane.aggregator.report._report import Report
from strategies import moderate
from unit.aggregator.gate.gate_reports import (
    ASKED,
    NOW,
    completeness,
    country,
    coverage,
    features,
    group,
    noise,
    rate,
    resources,
    truth,
    watch,
    whole,
)
from unit.aggregator.reports import latencies, report, scores

SECTIONS = ["agreement", "segments", "truth", "features", "coverage", "completeness", "resources", "watch"]
EMPTY: dict[str, Any] = dict.fromkeys(SECTIONS) | {"segments": ()}


def _or_none(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


@st.composite
def reports(draw: st.DrawFn) -> Report:
    """Reports with good, bad, absent and senseless figures."""
    compared = draw(st.sampled_from([0, 1, 500, 20_000, 2_000_000]))
    errored = draw(st.sampled_from([0, 1, 10, 20_000]))
    ignored = draw(st.sampled_from([0, compared // 2, compared]))
    agreements = round((compared - ignored) * draw(st.sampled_from([0, 0.5, 0.9, 0.95, 1])))
    p99 = draw(_or_none(st.sampled_from([0.0, 80.0, 100.0, 500.0, float("nan"), float("inf")])))
    distance = draw(_or_none(st.sampled_from([0.0, 0.1, 0.15, 0.8, float("nan")])))
    groups = [group(name, 10_005, draw(st.floats(0, 1)), draw(st.integers(0, 20))) for name in "AB"]
    sections = whole(
        agreement=noise(rate(draw(st.integers(0, 2_000)), 20_000), draw(_or_none(st.floats(-1, 1)))),
        segments=country(*groups),
        truth=truth(
            brier_difference=draw(_or_none(st.floats(-1, 1) | st.just(float("nan")))),
            labelled=rate(draw(st.integers(0, 5_000)), 20_000),
        ),
        features=features(draw(st.integers(0, 1_000))),
        coverage=coverage(draw(st.integers(0, 9)), full=draw(st.booleans())),
        completeness=completeness(draw(_or_none(st.floats(0, 1)))),
        resources=resources(cpu=p99, measured=draw(st.sampled_from([0, compared]))),
        watch=watch(of_errors=draw(st.floats(1, 100))),
    )
    missing = draw(st.sets(st.sampled_from(SECTIONS)))
    return report(
        compared,
        agreements,
        errored,
        ignored=ignored,
        latencies=latencies(p99) if p99 is not None else (),
        scores=scores(distance) if distance is not None else None,
        **(sections | {name: EMPTY[name] for name in missing}),
    )


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    """Policies that ask for some of what can be asked for."""
    names = draw(st.sets(st.sampled_from([*ASKED])))
    asked = {name: ASKED[name] for name in sorted(names)}
    if draw(st.booleans()):
        asked["confidence"] = 0.95
    return asked | {"min_requests": draw(st.sampled_from([1, 10_000]))}


def verdict(of: Report, policy: dict[str, Any]) -> GateResult:
    """The gate's."""
    return decide(of, Policy.of(policy), NOW)


@given(of=reports(), policy=policies())
@moderate
def test_promotion_means_that_every_check_passed(of: Report, policy: dict[str, Any]) -> None:
    """Nothing unknown, nothing open, nothing empty: and each verdict has its grounds among the checks."""
    result = verdict(of, policy)
    passed = [each.passed for each in result.checks]
    if result.promote:
        assert all(each is True for each in passed)
        assert of.compared
        assert all(each.value is not None for each in result.checks)
    assert (result.verdict == "no_data") is (of.requests == 0)
    if result.verdict == "hold":
        assert any(each.passed is False and each.kind == "criterion" for each in result.checks)
    if result.verdict == "inconclusive":
        lacking = [each for each in result.checks if each.kind == "evidence" and not each.passed]
        assert lacking or any(each is None for each in passed)


@given(of=reports(), policy=policies(), more=st.sampled_from([*ASKED]))
@moderate
def test_one_more_criterion_never_turns_hold_into_promote(
    of: Report, policy: dict[str, Any], more: str
) -> None:
    """Whatever is asked for besides can only keep a shadow back."""
    before = verdict(of, policy)
    after = verdict(of, policy | {more: ASKED[more]})
    assert before.promote or not after.promote


@given(of=reports(), policy=policies(), name=st.sampled_from(SECTIONS))
@moderate
def test_a_section_that_is_missing_never_makes_a_promotion(
    of: Report, policy: dict[str, Any], name: str
) -> None:
    """To lose what is known never helps."""
    without = replace(of, **{name: EMPTY[name]})
    assert verdict(of, policy).promote or not verdict(without, policy).promote


@given(of=reports(), policy=policies())
@moderate
def test_any_result_is_written(of: Report, policy: dict[str, Any]) -> None:
    """As JSON that says the same policy, and as JUnit."""
    result = verdict(of, policy)
    said = json.loads(gate_to_json(result))
    assert Policy.of(said["policy"]) == result.policy
    assert (said["verdict"], said["exit_code"]) == (result.verdict, result.exit_code)
    assert gate_to_json(result) == gate_to_json(verdict(of, policy))
    assert gate_to_junit(result).count("<testcase ") == len(result.checks) + 1
