"""The report as one HTML file that needs nothing else: no network, no script, nothing to install."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from shadowlane import __version__
from shadowlane.aggregator.forms import charts
from shadowlane.aggregator.forms.content import Section, findings, sections
from shadowlane.aggregator.gate._check import Check
from shadowlane.aggregator.gate._gate import GateResult
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.visible import visible

_PAGE = Path(__file__).parent / "page"
_SENTENCE = 1_000
_FINDING = 500


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
#: Where on the page a finding is looked into, by the section that it names; the first that is there.
_PLACES = {
    "completeness": ("balance",),
    "segments": ("standouts", "segment-1"),
    "truth": ("truth-1",),
    "distributions": ("predictions",),
}


def report_to_html(report: Report, gate: GateResult | None = None) -> str:
    """The page: what stands out, the verdict where there is one, then section by section."""
    style = (_PAGE / "report.css").read_text("utf-8")
    page = [each for each in sections(report) if each.key != "headline"]
    return _environment().get_template("report.html.j2").render(
        report=report,
        model=visible(report.scope.model),
        shadow=visible(report.scope.shadow),
        findings=_findings(report, page),
        gate=gate,
        verdict=_WORDS[gate.verdict] if gate else None,
        reason=_reason(gate) if gate else None,
        checks=[_shown(check) for check in gate.checks] if gate else [],
        parts=[
            {"section": each, "pictures": charts.pictures(report, each.key, gate.policy if gate else None)}
            for each in page
        ],
        key=charts.key,
        # The page's own style sheet, and nothing else, may style it: no value from data could.
        style=Markup(style),  # noqa: S704 - this package's own file
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        version=__version__,
    )  # fmt: skip


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = _values.moment
    environment.filters["visible"] = visible
    return environment


def _findings(report: Report, page: Sequence[Section]) -> list[dict[str, str]]:
    """What stands out, with the place on the page to look into it."""
    keys = {each.key for each in page}
    return [
        {
            "weight": each.weight,
            "sentence": visible(each.sentence, _FINDING),
            "link": next((key for key in _PLACES.get(each.section, (each.section,)) if key in keys), ""),
        }
        for each in findings(report)
    ]


def _reason(gate: GateResult) -> str:
    """The verdict in a sentence, by the names that the page gives the checks."""
    failed = [_title(check).lower() for check in gate.checks if check.passed is False]
    unknown = [_title(check).lower() for check in gate.checks if check.passed is None]
    if gate.verdict == "no_data":
        return visible(gate.reason, _SENTENCE)
    if gate.verdict == "promote":
        return f"All {len(gate.checks)} checks passed."
    parts = [f"short of the policy: {', '.join(failed)}"] * bool(failed)
    parts += [f"unknown: {', '.join(unknown)}"] * bool(unknown)
    lead = "Not ready" if gate.verdict == "hold" else "Not enough is known to decide"
    return f"{lead}. {'; '.join(parts).capitalize()}."


def _title(check: Check) -> str:
    """What a check is called on the page: a name that it does not know reads as words."""
    return _TITLES.get(check.name) or visible(check.name).replace("_", " ").capitalize()


def _writer(check: Check) -> Callable[..., str]:
    """How a check's figure is written: by its name, or else as the number that it is."""
    known = _WRITERS.get(check.name)
    if known:
        return known
    if "latency" in check.name or check.name.endswith("_ms"):
        return _values.milliseconds
    return partial(_plain)


def _plain(value: float, decimals: int = 4) -> str:
    return f"{value:,.{decimals}f}".rstrip("0").rstrip(".") or "0"


def _shown(check: Check) -> dict[str, object]:
    """A check as the page shows it."""
    write = _writer(check)
    value, bound = check.value, check.bound
    written = (_values.NOTHING, _values.shortest(bound, write))
    if value is not None:
        written = _values.apart(value, bound, write)
    top = 1.0 if check.name == "agreement_ok" else max(bound * 1.6, min(value or 0.0, bound * 4)) or 1.0
    return {
        "title": _title(check),
        "name": visible(check.name),
        "state": {True: "pass", False: "fail", None: "unknown"}[check.passed],
        "value": written[0],
        "bound": f"{'at least' if check.operator == '>=' else 'at most'} {written[1]}",
        "interval": _values.between(check.interval, write) if check.interval else "",
        "why": visible(check.why, _SENTENCE),
        "gauge": charts.gauge(value, bound, top),
    }
