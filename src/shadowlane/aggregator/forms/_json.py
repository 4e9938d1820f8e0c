"""The report and the gate's result as JSON: one object each, named by `schema`.

`shadowlane.report/2` holds what `Report` holds, under the same names, and besides: `requests`,
`disagreements`, `latency_method`, `distribution` (what the gate's distance is of, and the distance) and
`notes`; docs/report-json.md describes each field, and docs/report.schema.json does so for programs.
`shadowlane.gate/1` holds what `GateResult` holds, and `promote`, `reason`, `exit_code` and
`policy_digest`. Rates are shares from 0 to 1, latencies milliseconds, times ISO 8601 in UTC.

A figure that cannot be computed is null. JSON has no NaN: in a prediction, and only there, a number that
is none is written as text ("NaN", "Infinity", "-Infinity"). New fields may be added under the same name
of the schema; one that changes its meaning gets the next.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from typing import Any

from shadowlane import __version__
from shadowlane.aggregator.gate._gate import GateResult
from shadowlane.aggregator.report._notes import notes
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.statistics import QUANTILE_METHOD
from shadowlane.schemas import Prediction

REPORT_SCHEMA = "shadowlane.report/2"

#: A sum of floats depends on the order of its rows in the last digits; 12 are more than any figure means.
_DIGITS = 12


def report_to_json(report: Report) -> str:
    """The report as JSON text, the same text for the same report."""
    return _dump(
        {
            "schema": REPORT_SCHEMA,
            "software_version": __version__,
            "requests": report.requests,
            "disagreements": report.disagreements,
            "distribution": plain({"of": report.distribution_of, "distance": report.distance}),
            "latency_method": QUANTILE_METHOD,
            **plain(report),
            "notes": [*notes(report)],
        }
    )


def gate_to_json(result: GateResult) -> str:
    """The gate's result as JSON text."""
    return _dump(
        {
            "schema": "shadowlane.gate/1",
            "promote": result.promote,
            **plain(result),
            "reason": result.reason,
            "exit_code": result.exit_code,
            "policy_digest": result.policy.digest,
        }
    )


def _dump(value: Mapping[str, Any]) -> str:
    # In ASCII, so that no value can act on a terminal; NaN would raise here rather than be written.
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """The value as JSON has it: times as text, figures rounded, none of them NaN."""
    if isinstance(value, Prediction):
        return _prediction(value)
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value


def _prediction(value: Prediction) -> dict[str, Any]:
    given = {name: getattr(value, name) for name in Prediction.__slots__}
    return {name: _number(item) for name, item in given.items() if item is not None}


def _number(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_number(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value
