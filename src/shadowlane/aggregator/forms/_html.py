"""The report as one HTML file that needs nothing else: no network, no script, nothing to install."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from shadowlane import __version__
from shadowlane.aggregator.forms import _charts
from shadowlane.aggregator.gate._check import Check
from shadowlane.aggregator.gate._gate import GateResult
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._notes import notes
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import DISAGREEMENT_ORDER
from shadowlane.aggregator.statistics import BINS, QUANTILE_METHOD
from shadowlane.visible import visible

_HERE = Path(__file__).parent


def _traffic(value: float, _: int = 0) -> str:
    return _values.count(round(value))


_WORDS = {"promote": "Promote", "hold": "Hold", "inconclusive": "Inconclusive", "no_data": "No data"}
_TITLES = {
    "sufficient_traffic": "Traffic",
    "agreement_ok": "Agreement",
    "latency_ok": "Shadow latency, p99",
    "errors_ok": "Shadow error rate",
    "distribution_ok": "Distribution distance",
}
_WRITERS: Mapping[str, Callable[..., str]] = {
    "sufficient_traffic": _traffic,
    "agreement_ok": _values.percent,
    "latency_ok": _values.milliseconds,
    "errors_ok": _values.percent,
    "distribution_ok": _values.distance,
}


def report_to_html(report: Report, gate: GateResult | None = None) -> str:
    """The page, with the verdict at its top where there is one."""
    style = (_HERE / "report.css").read_text("utf-8")
    return _environment().get_template("report.html.j2").render(
        report=report,
        gate=gate,
        verdict=_WORDS[gate.verdict] if gate else None,
        reason=_reason(gate) if gate else None,
        checks=[_shown(check) for check in gate.checks] if gate else [],
        notes=notes(report),
        # The page's own style sheet, and nothing else, may style it: no value from data could.
        style=Markup(style),  # noqa: S704 - this package's own file
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        charts=_charts,
        disagreement_order=DISAGREEMENT_ORDER,
        bins=BINS,
        quantile_method=QUANTILE_METHOD,
        version=__version__,
    )  # fmt: skip


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("count", "percent", "milliseconds", "distance", "number", "moment", "prediction"):
        environment.filters[name] = getattr(_values, name)
    environment.filters["visible"] = visible
    return environment


def _reason(gate: GateResult) -> str:
    """The verdict in a sentence, by the names that the page gives the checks."""
    failed = [_TITLES[check.name].lower() for check in gate.checks if check.passed is False]
    unknown = [_TITLES[check.name].lower() for check in gate.checks if check.passed is None]
    if gate.verdict == "no_data":
        return gate.reason
    if gate.verdict == "promote":
        return f"All {len(gate.checks)} checks passed."
    parts = [f"short of the policy: {', '.join(failed)}"] * bool(failed)
    parts += [f"unknown: {', '.join(unknown)}"] * bool(unknown)
    lead = "Not ready" if gate.verdict == "hold" else "Not enough is known to decide"
    return f"{lead}. {'; '.join(parts).capitalize()}."


def _shown(check: Check) -> dict[str, object]:
    """A check as the page shows it."""
    write = _WRITERS[check.name]
    value, bound = check.value, check.bound
    written = (_values.NOTHING, _values.shortest(bound, write))
    if value is not None:
        written = _values.apart(value, bound, write)
    top = 1.0 if check.name == "agreement_ok" else max(bound * 1.6, min(value or 0.0, bound * 4)) or 1.0
    return {
        "title": _TITLES[check.name],
        "name": check.name,
        "state": {True: "pass", False: "fail", None: "unknown"}[check.passed],
        "value": written[0],
        "bound": f"{'at least' if check.operator == '>=' else 'at most'} {written[1]}",
        "why": check.why,
        "gauge": _charts.gauge(value, bound, top),
    }
