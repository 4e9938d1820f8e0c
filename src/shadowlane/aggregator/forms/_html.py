"""The report as one HTML file that needs nothing else: no network, no script, nothing to install."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from shadowlane import __version__
from shadowlane.aggregator.forms import charts
from shadowlane.aggregator.forms._checks import reason, shown
from shadowlane.aggregator.forms.content import Section, findings, sections
from shadowlane.aggregator.gate._gate import GateResult
from shadowlane.aggregator.report import _values
from shadowlane.aggregator.report._report import Report
from shadowlane.visible import visible

_PAGE = Path(__file__).parent / "page"
_FINDING = 500


_WORDS = {"promote": "Promote", "hold": "Hold", "inconclusive": "Inconclusive", "no_data": "No data"}
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
        reason=reason(gate) if gate else None,
        checks=[shown(check) for check in gate.checks] if gate else [],
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
