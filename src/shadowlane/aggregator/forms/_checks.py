"""A check as the page shows it: what it is called, and how its figure and its bound are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from shadowlane.aggregator.forms import charts
from shadowlane.aggregator.gate._check import Check
from shadowlane.aggregator.gate._further import megabytes
from shadowlane.aggregator.gate._gate import GateResult
from shadowlane.aggregator.gate._labels import signed
from shadowlane.aggregator.gate._look import points
from shadowlane.aggregator.report import _values
from shadowlane.visible import visible

_SENTENCE = 1_000


def _whole(value: float, _: int = 0) -> str:
    return _values.count(round(value))


def _plain(value: float, decimals: int = 4) -> str:
    return f"{value:,.{decimals}f}"


def _seen(value: float, _: int = 0) -> str:
    return "seen" if value else "not seen"


class _Name(NamedTuple):
    title: str
    write: Callable[..., str]


_KNOWN: Mapping[str, _Name] = {
    "sufficient_traffic": _Name("Traffic", _whole),
    "agreement_ok": _Name("Agreement", _values.percent),
    "latency_ok": _Name("Shadow latency, p99", _values.milliseconds),
    "errors_ok": _Name("Shadow error rate", _values.percent),
    "distribution_ok": _Name("Distribution distance", _values.distance),
    "latency_ratio_ok": _Name("Shadow p99 by primary p99", _plain),
    "corrected_agreement_ok": _Name("Agreement beyond noise", _values.percent),
    "features_complete": _Name("Requests that lack a feature", _values.percent),
    "each_feature_present": _Name("Feature missing most", _values.percent),
    "full_week_seen": _Name("Full week", _seen),
    "days_seen": _Name("Days with requests", _whole),
    "complete": _Name("Unexplained requests", _values.percent),
    "cpu_ok": _Name("CPU time, p99", _values.milliseconds),
    "memory_ok": _Name("Memory", megabytes),
    "segments_sufficient": _Name("Requests of a segment", _whole),
    "segments_agreement_ok": _Name("Agreement, worst segment", _values.percent),
    "segments_errors_ok": _Name("Errors, worst segment", _values.percent),
    "segments_correctness_ok": _Name("Correctness, worst segment", points),
    "correctness_ok": _Name("Correctness, shadow less primary", points),
    "correctness_on_disagreements_ok": _Name("Correctness on disagreements", points),
    "labels_sufficient": _Name("Labels", _whole),
    "brier_ok": _Name("Brier score, shadow less primary", signed),
    "absolute_error_ok": _Name("Absolute error, shadow less primary", signed),
}


def shown(check: Check) -> dict[str, object]:
    """A check as the page's template wants it."""
    write = _name(check).write
    value, bound = check.value, check.bound
    written = (_values.NOTHING, _values.shortest(bound, write))
    if value is not None:
        written = (write(value), write(bound)) if write is _seen else _values.apart(value, bound, write)
    state = {True: "pass", False: "fail", None: "unknown"}[check.passed]
    return {
        "title": _name(check).title,
        "name": visible(check.name),
        "of": visible(check.of, 80) if check.of else "",
        "tone": state,
        "state": "unsettled" if check.unsettled else state,
        "value": written[0],
        "bound": f"{'at least' if check.operator == '>=' else 'at most'} {written[1]}",
        "interval": _values.between(check.interval, write) if check.interval else "",
        "why": visible(check.why, _SENTENCE),
        "gauge": _gauge(value, bound, is_share=write is _values.percent and check.operator == ">="),
    }


def reason(gate: GateResult) -> str:
    """The verdict in a sentence, by the names that the page gives the checks."""
    if gate.verdict == "no_data":
        return visible(gate.reason, _SENTENCE)
    if gate.verdict == "promote":
        return f"All {len(gate.checks)} checks passed."
    found = (
        ("short of the policy", [each for each in gate.checks if each.passed is False]),
        ("unknown", [each for each in gate.checks if each.passed is None and not each.unsettled]),
        ("not settled yet", [each for each in gate.checks if each.unsettled]),
    )
    parts = [
        f"{said}: {', '.join(_name(each).title.lower() for each in checks)}"
        for said, checks in found
        if checks
    ]
    lead = "Not ready" if gate.verdict == "hold" else "Not enough is known to decide"
    return f"{lead}. {'; '.join(parts).capitalize()}."


def _name(check: Check) -> _Name:
    """What a check is called; a name that is not known here reads as words."""
    words = visible(check.name).replace("_", " ").capitalize()
    return _KNOWN.get(check.name) or _Name(words, _plain)


def _gauge(value: float | None, bound: float, *, is_share: bool) -> object:
    """A bar for what counts up from 0; a difference, which may be below, has none."""
    if bound < 0 or (value or 0.0) < 0:
        return ""
    top = 1.0 if is_share else max(bound * 1.6, min(value or 0.0, bound * 4)) or 1.0
    return charts.gauge(value, bound, top)
