"""The report as CSV in long form: every figure, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest

from shadowlane.aggregator.forms._csv import HEADER, cell, report_to_csv
from shadowlane.aggregator.gate._gate import decide
from shadowlane.aggregator.gate._policy import Policy
from shadowlane.aggregator.report._report import Report
from unit.aggregator.reports import full, hostile, report


def rows(of: Report, *, gated: bool = False) -> list[list[str]]:
    """The lines as a reader of CSV takes them."""
    gate = decide(of, Policy(), datetime(2026, 3, 2, tzinfo=UTC)) if gated else None
    return list(csv.reader(io.StringIO(report_to_csv(of, gate), newline="")))


def figure(of: Report, section: str, item: str, name: str) -> str:
    """The value of one figure; it must stand there once."""
    [value] = [row[3] for row in rows(of, gated=True) if row[:3] == [section, item, name]]
    return value


@pytest.mark.parametrize(
    ("section", "item", "name", "value"),
    [
        ("report", "", "compared", "20000"),
        ("report", "", "agreement_rate", "0.95"),
        ("report", "", "first_request", "2026-03-01T12:00:00Z"),
        ("segments", "country / BR", "groups.requests", "2400"),
        ("segments", "country / BR", "groups.mean_difference", "-0.094"),
        ("latencies", "single", "paired.median_ms", "5.1"),
        ("truth", "click", "outcomes.primary_calibration.brier", "0.1053"),
        ("table_versions", "comparisons", "", "7"),
        ("table_versions", "ledger", "", ""),
        ("gate", "", "verdict", "inconclusive"),
        ("gate", "errors_ok", "passed", "false"),
        ("notes", "1", "note", rows(full())[-10][3]),
    ],
)
def test_a_figure_has_a_line_of_its_own(section: str, item: str, name: str, value: str) -> None:
    """Section, item and figure name it; a figure that is not known has no value."""
    assert figure(full(), section, item, name) == value


def test_every_line_has_four_cells() -> None:
    """Whatever a report holds or lacks, a table of four columns comes out."""
    for of in (full(), report(0, 0, 0), hostile('a,b"c\r\n=d')):
        found = rows(of, gated=True)
        assert tuple(found[0]) == HEADER
        assert all(len(row) == len(HEADER) for row in found)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n=", " =", "\uff1d", "\uff0d"])
def test_no_text_is_a_formula(start: str) -> None:
    """Where a spreadsheet would compute, an apostrophe says that it is text; in every field of a report."""
    evil = f"{start}HYPERLINK(1)"
    written = cell(evil)
    assert isinstance(written, str)
    assert written[0] not in "=+-@\t\r\n \uff1d\uff0d" or written.startswith(("'", "\\"))
    for row in rows(hostile(evil), gated=True):
        for text in row:
            numbers = text.lstrip("-").replace(".", "").replace("e-", "").isdigit()
            assert numbers or not text.lstrip().startswith(
                ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0d")
            )


def test_numbers_stay_numbers() -> None:
    """A negative number is no formula, and is not made text."""
    assert cell(-0.5) == -0.5
    assert cell("-0.5") == "'-0.5"
    assert (cell(None), cell(value=True)) == ("", "true")


def test_no_control_character_reaches_the_terminal() -> None:
    """CSV goes to standard output too: what would move a cursor is written out."""
    text = report_to_csv(hostile("\x1b[31m\u202e\x00"))
    assert all(letter.isprintable() or letter in "\r\n" for letter in text)
