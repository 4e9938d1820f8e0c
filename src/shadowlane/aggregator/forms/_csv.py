"""The report as CSV in long form: a figure a line, for those who compute with a few of them.

No cell of text can be taken for a formula by a spreadsheet, and control characters are written out.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from typing import Any

from shadowlane.aggregator.gate._gate import GateResult
from shadowlane.aggregator.report._notes import notes
from shadowlane.aggregator.report._plain import plain
from shadowlane.aggregator.report._report import Report
from shadowlane.visible import visible

HEADER = ("section", "item", "figure", "value")
_LONGEST = 1_000

#: What a spreadsheet takes for a formula at the start of a cell, in the wide forms of East Asia too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # noqa: RUF001 - meant as they are

#: By which of its fields an element of a list is named, the first that it has.
_NAMES = (
    "segment", "name", "value", "label", "basis", "stage", "error_type", "comparator", "tolerance", "start",
    "day", "days", "feature", "request_id", "text", "primary", "model", "model_version", "shadow",
)  # fmt: skip


def report_to_csv(report: Report, gate: GateResult | None = None) -> str:
    """The figures of every section, and the verdict's checks where there is one."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(HEADER)
    for section, item, figure, value in _rows(report, gate):
        writer.writerow([*(cell(each) for each in (section, item, figure)), cell(value)])
    return out.getvalue()


def cell(value: object) -> str | int | float:
    """A cell: numbers as they are, text so that nothing acts on it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    text = visible(str(value), _LONGEST)
    return f"'{text}" if str(value).lstrip(" ").startswith(_FORMULA) else text


def _rows(report: Report, gate: GateResult | None) -> Iterator[tuple[str, str, str, Any]]:
    if gate:
        yield "gate", "", "verdict", gate.verdict
        yield "gate", "", "reason", gate.reason
        for check in gate.checks:
            yield from _of("gate", check.name, "", check)
    yield "report", "", "requests", report.requests
    yield "report", "", "disagreements", report.disagreements
    for field in fields(report):
        value = getattr(report, field.name)
        if value is None or isinstance(value, int | float | str | date):
            yield "report", "", field.name, plain(value)
        else:
            yield from _of(field.name, "", "", value)
    for place, note in enumerate(notes(report), start=1):
        yield "notes", str(place), "note", note


def _of(section: str, item: str, figure: str, value: Any) -> Iterator[tuple[str, str, str, Any]]:
    """A line for each figure: lists name the item, fields the figure."""
    if is_dataclass(value):
        for field in fields(value):
            yield from _of(section, item, _joined(figure, field.name, "."), getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _of(section, _joined(item, str(key), " / "), figure, each)
    elif isinstance(value, (tuple, list)):
        for place, each in enumerate(value, start=1):
            yield from _of(section, _joined(item, _name(each, place), " / "), figure, each)
    else:
        yield section, item, figure, plain(value)


def _joined(first: str, second: str, between: str) -> str:
    return f"{first}{between}{second}" if first else second


def _name(value: Any, place: int) -> str:
    """What an element of a list is called: by its own name, or else by its place."""
    if is_dataclass(value):
        for name in _NAMES:
            found = getattr(value, name, None)
            if isinstance(found, datetime | date):
                return found.isoformat()
            if isinstance(found, str) or (isinstance(found, int | float) and math.isfinite(found)):
                return str(found)
    return str(place)
