"""The report as JSON: one object, named by `schema`; the gate's result is in `gate/_json.py`.

`shadowlane.report/2` holds what `Report` holds, under the same names, and besides: `requests`,
`disagreements`, `latency_method`, `distribution` (what the gate's distance is of, and the distance) and
`notes`; docs/report-json.md describes each field, and docs/report.schema.json does so for programs.
Rates are shares from 0 to 1, latencies milliseconds, times ISO 8601 in UTC.

A figure that cannot be computed is null. JSON has no NaN: in a prediction, and only there, a number that
is none is written as text ("NaN", "Infinity", "-Infinity"). New fields may be added under the same name
of the schema; one that changes its meaning gets the next.
"""

from __future__ import annotations

from shadowlane import __version__
from shadowlane.aggregator.report._notes import notes
from shadowlane.aggregator.report._plain import dump, plain
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.statistics import QUANTILE_METHOD

REPORT_SCHEMA = "shadowlane.report/2"


def report_to_json(report: Report) -> str:
    """The report as JSON text, the same text for the same report."""
    return dump(
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
