"""The gate's result as a JUnit file: each check a test case, and the verdict one more.

What a continuous integration must not take for a pass is none there: a criterion that is missed is a
`failure`; what cannot be said, is not settled or lacks evidence is an `error`, never `skipped`, which most
tools show in green.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree as ET

from shadowlane.aggregator.gate._check import Check
from shadowlane.aggregator.gate._gate import GateResult
from shadowlane.aggregator.report._plain import plain
from shadowlane.visible import visible

_LONGEST = 2_000


def gate_to_junit(result: GateResult) -> str:
    """The result as XML; text from data has nothing in it that XML forbids."""
    cases = [*map(_check, result.checks), _verdict(result)]
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "skipped": "0",
        "time": "0",
    }
    suites = ET.Element("testsuites", {"name": "shadowlane gate", **counts})
    stamp = str(plain(result.decided_at)).partition(".")[0].rstrip("Z")
    suite = ET.SubElement(suites, "testsuite", {"name": _name(result), "timestamp": stamp, **counts})
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(result).items():
        ET.SubElement(properties, "property", {"name": name, "value": visible(value, _LONGEST)})
    for case in cases:
        case.set("classname", f"shadowlane.gate.{_name(result)}")
        suite.append(case)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _name(result: GateResult) -> str:
    return visible("/".join(str(result.report_summary[name]) for name in ("model", "shadow", "run")))


def _properties(result: GateResult) -> Mapping[str, str]:
    return {
        "verdict": result.verdict,
        **({"decision": result.id} if result.id else {}),
        "policy_digest": result.policy.digest,
        "software_version": result.software_version,
        **{
            f"table.{name}": "absent" if version is None else str(version)
            for name, version in result.table_versions.items()
        },
    }


def _check(check: Check) -> ET.Element:
    case = ET.Element("testcase", {"name": check.name, "time": "0"})
    why = visible(check.why, _LONGEST)
    if check.passed is False and check.kind == "criterion":
        _note(case, "failure", "missed", why)
    elif not check.passed:
        lacking = "not settled" if check.unsettled else "unknown" if check.passed is None else "too little"
        _note(case, "error", lacking, why)
    else:
        ET.SubElement(case, "system-out").text = why
    return case


def _verdict(result: GateResult) -> ET.Element:
    case = ET.Element("testcase", {"name": "verdict", "time": "0"})
    reason = visible(f"{result.verdict}: {result.reason}", _LONGEST)
    if result.verdict == "hold":
        _note(case, "failure", "hold", reason)
    elif not result.promote:
        _note(case, "error", result.verdict, reason)
    else:
        ET.SubElement(case, "system-out").text = reason
    return case


def _note(case: ET.Element, kind: str, what: str, why: str) -> None:
    ET.SubElement(case, kind, {"type": what, "message": why}).text = why
