"""The aggregator: land comparisons in the lake exactly once, and read figures, reports and verdicts from it.

Landing is in `_aggregate.py`, top to bottom. Reading stands on floors: `statistics/`, `rules/`, `report/`
(from the lake to figures: `_read.py`), `gate/` (from figures to a recorded verdict) and `forms/`; `planning/`
stands beside.
"""

from shadowlane.errors import MissingExtraError

try:
    from shadowlane.aggregator._aggregate import run_aggregator
    from shadowlane.aggregator._error_groups import (
        ErrorFilter,
        ErrorGroup,
        errors_in_lake,
        errors_in_topic,
    )
    from shadowlane.aggregator._landings import Landings
    from shadowlane.aggregator._plan import AggregatorPlan
    from shadowlane.aggregator.forms._csv import report_to_csv
    from shadowlane.aggregator.forms._errors import errors_to_json
    from shadowlane.aggregator.forms._html import report_to_html
    from shadowlane.aggregator.forms._json import report_to_json
    from shadowlane.aggregator.forms._markdown import gate_to_markdown, report_to_markdown
    from shadowlane.aggregator.gate._check import Check
    from shadowlane.aggregator.gate._checks import needed_sections
    from shadowlane.aggregator.gate._gate import GateResult, decide
    from shadowlane.aggregator.gate._json import gate_to_json
    from shadowlane.aggregator.gate._policy import Policy
    from shadowlane.aggregator.report._read import SECTIONS, read_report
    from shadowlane.aggregator.report._report import Report
    from shadowlane.aggregator.report._scope import Control, Scope
    from shadowlane.aggregator.report._suite import export_suite
except ModuleNotFoundError as error:  # pragma: no cover - the base install is tested on its own
    if error.name and error.name.split(".")[0] in (
        "deltalake",
        "duckdb",
        "jinja2",
        "numpy",
        "pyarrow",
        "pyruhvro",
    ):
        raise MissingExtraError("aggregator", "The aggregator") from error
    raise

__all__ = [
    "SECTIONS",
    "AggregatorPlan",
    "Check",
    "Control",
    "ErrorFilter",
    "ErrorGroup",
    "GateResult",
    "Landings",
    "Policy",
    "Report",
    "Scope",
    "decide",
    "errors_in_lake",
    "errors_in_topic",
    "errors_to_json",
    "export_suite",
    "gate_to_json",
    "gate_to_markdown",
    "needed_sections",
    "read_report",
    "report_to_csv",
    "report_to_html",
    "report_to_json",
    "report_to_markdown",
    "run_aggregator",
]
