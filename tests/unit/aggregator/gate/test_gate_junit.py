"""The JUnit file: what a continuous integration makes of each verdict."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from shadowlane.aggregator.gate import GateResult, gate_to_junit
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report._scope import Scope
from unit.aggregator.gate.gate_reports import country, gate, group, watch
from unit.aggregator.reports import latencies, report

EMPTY = report(compared=0, agreements=0, errored=0, latencies=(), scores=None)

FIVE = ("sufficient_traffic", "agreement_ok", "latency_ok", "errors_ok", "distribution_ok")


def suite(result: GateResult) -> ET.Element:
    """The one test suite of the file, which says the same counts as its parent."""
    root = ET.fromstring(gate_to_junit(result))  # noqa: S314 - our own
    [found] = root
    assert root.tag == "testsuites"
    for name in ("tests", "failures", "errors", "skipped"):
        assert root.get(name) == found.get(name)
    return found


@pytest.mark.parametrize(
    ("of", "failures", "errors"),
    [
        (report(), [], []),
        (report(agreements=10_000), ["agreement_ok", "verdict"], []),
        (report(latencies=latencies(None)), [], ["latency_ok", "verdict"]),
        (report(compared=100, agreements=1, errored=0), ["agreement_ok"], ["sufficient_traffic", "verdict"]),
        (EMPTY, [], [*FIVE, "verdict"]),
    ],
)  # fmt: skip
def test_only_a_promotion_is_green(of: Report, failures: list[str], errors: list[str]) -> None:
    """A criterion missed is a failure; what is not known, or too little, an error: none is skipped."""
    found = suite(gate(of))
    cases = found.findall("testcase")
    assert [each.get("name") for each in cases if each.find("failure") is not None] == failures
    assert [each.get("name") for each in cases if each.find("error") is not None] == errors
    counts = {name: str(len(each)) for name, each in (("failures", failures), ("errors", errors))}
    assert {name: found.get(name) for name in counts} == counts
    assert (found.get("tests"), found.get("skipped")) == ("6", "0")


def test_a_check_that_is_not_settled_is_an_error() -> None:
    """It says how many more requests would settle it."""
    found = suite(gate(report(20_000, 18_100, watch=watch()), confidence=0.95))
    [error] = [each.find("error") for each in found.findall("testcase") if each.get("name") == "agreement_ok"]
    assert error is not None
    assert error.get("type") == "not settled"
    assert "more requests would" in (error.get("message") or "")


def test_text_from_data_is_only_text() -> None:
    """Markup, quotes, control characters and halves of letters in a cohort's name break nothing."""
    name = "<failure/>\"'&]]>\x00\x1b\ud800\ufffe"
    of = report(segments=country(group(name, 20_010, 0.5)))
    found = suite(gate(of, segments={"names": ["country"], "min_agreement_rate": 0.9}))
    [case] = [each for each in found.findall("testcase") if each.get("name") == "segments_agreement_ok"]
    [failure] = case
    assert "<failure/>\"'&]]>\\x00\\x1b" in (failure.text or "")


def test_it_names_what_was_decided() -> None:
    """The suite is the scope; the policy, the tables and the decision are its properties."""
    result = replace(gate(report(scope=Scope("fraud", "b-2", "night"))), id="1abc")
    found = suite(result)
    assert (found.get("name"), found.get("timestamp")) == ("fraud/b-2/night", "2026-03-02T00:00:00")
    properties = {each.get("name"): each.get("value") for each in found.iter("property")}
    assert properties == {
        "verdict": "promote",
        "decision": "1abc",
        "policy_digest": result.policy.digest,
        "software_version": result.software_version,
        "table.comparisons": "7",
        "table.errors": "3",
        "table.ledger": "absent",
    }
