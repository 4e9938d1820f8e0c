"""What every form says: sections of sentences and tables, on a terminal and in a comment too."""

from __future__ import annotations

import io
import re
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from shadowlane.aggregator.forms._markdown import report_to_markdown
from shadowlane.aggregator.forms._terminal import print_report
from shadowlane.aggregator.forms.content import findings, sections
from shadowlane.aggregator.gate._gate import decide
from shadowlane.aggregator.gate._policy import Policy
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report.figures import Finding
from unit.aggregator import report_sections as filled
from unit.aggregator.reports import full, hostile, report

NOW = datetime(2026, 3, 2, tzinfo=UTC)
_OPTIONAL = [field.name for field in fields(Report) if field.default in (None, ())]
_EVIL = "<script>x</script>|`[red]\x1b[31m\u202e\r\n" + "W" * 10_000


def printed(of: Report, width: int = 100) -> str:
    """The terminal's page."""
    out = io.StringIO()
    print_report(of, Console(file=out, width=width), decide(of, Policy(), NOW))
    return out.getvalue()


def texts(of: Report) -> str:
    """All that the sections say."""
    cells = [
        cell.text for each in sections(of) for table in each.tables for row in table.rows for cell in row
    ]
    leads = [sentence for each in sections(of) for sentence in (each.title, *each.lead)]
    notes = [text for each in sections(of) for table in each.tables for text in (table.title, table.note)]
    return "\n".join([*cells, *leads, *notes])


@pytest.mark.parametrize(
    "said",
    [
        "country = BR: the two agree on 78.20 % of 2,400 requests",  # headline
        "In no count: 5 requests (0.02 % of the delivered), 300 more are still on their way.",
        "94.71 %, each for the 1/rate",
        "the primary against itself (ranker, run a-a)",
        "+4.10 points",
        "country = BR and amount > 500",
        "r-17, r-2042, r-11",
        "94.70 to 95.30 %",
        "+5.00 to +5.30 ms",
        "ten times its median",
        "no answer after <number> ms",
        "0.000900 from samples of this size alone",
        "population stability index",
        "Brier score, shadow less primary: -0.0043 (-0.006 to -0.0026); less is better.",
        "Requests cluster by 9,000 users",
        "Left out, without two finite scores: 7.",
        "12.4 s (p99), 2.0 h (longest)",
        "412 MB",
        "less than a full week",
        "wilson (95 %)",
        "And 3 more features.",
        "country=BR",
    ],
)
def test_each_part_of_a_report_is_said(said: str) -> None:
    """Nothing that a section computed is lost on the way to the reader."""
    assert said in texts(full())


@pytest.mark.parametrize("name", _OPTIONAL)
def test_any_section_may_be_absent(name: str) -> None:
    """A section that was not asked for is not spoken of, in any form."""
    absent: dict[str, Any] = {each.name: each.default for each in fields(Report) if each.name == name}
    of = replace(full(), **absent)
    for text in (texts(of), printed(of), report_to_markdown(of)):
        assert not re.search(r"\b(None|nan|inf)\b", text)


def test_an_empty_report_says_little_and_nothing_wrong() -> None:
    """No request at all: totals, evidence and methods, no figure that is none."""
    of = report(0, 0, 0)
    assert [each.key for each in sections(of)] == ["totals", "evidence", "methods"]
    assert not re.search(r"\b(None|nan|inf)\b", texts(of))


def test_what_stands_out_comes_first() -> None:
    """A group that stands out is a finding, whether or not the headline says so; never twice."""
    assert sections(full())[0].key == "headline"
    assert [each.sentence for each in findings(full())].count(filled.STANDOUTS[0].sentence) == 1
    missed = findings(replace(full(), headline=(Finding(weight="remark", section="x", sentence="y"),)))
    assert [each.sentence for each in missed] == [*(each.sentence for each in filled.STANDOUTS), "y"]


def test_many_findings_are_counted() -> None:
    """A page of nothing but findings would hide them all: what is beyond the first ones is counted."""
    many = tuple(Finding(weight="alarm", section="segments", sentence=f"finding {n}") for n in range(40))
    shown = findings(replace(full(), headline=many, standouts=None))
    assert len(shown) == 16
    assert shown[-1].sentence == "And 25 more findings, below."


@pytest.mark.parametrize("of", [full(), hostile(_EVIL), hostile("\u6570" * 300), report(0, 0, 0)])
@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_the_terminal_page_fits(of: Report, width: int) -> None:
    """No line is longer than the terminal, nor than 100 columns, whatever stands in the report."""
    for line in printed(of, width).splitlines():
        assert cell_len(line) <= min(width, 100), line


def test_no_number_is_cut_on_a_narrow_terminal() -> None:
    """Columns that there is no room for are left out and named; a cut number would be another number."""
    text = printed(full(), 60)
    assert "Not shown, for want of room:" in text
    assert not re.search(r"\d…", text)


def test_no_value_acts_on_the_terminal() -> None:
    """Escape sequences, turns of direction and line ends in any field are written out; markup stays text."""
    text = printed(hostile(_EVIL))
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert "[red]" in text


@pytest.mark.parametrize("of", [full(), hostile(_EVIL), hostile("@a #1 <b>|`*_" * 900)])
def test_markdown_fits_a_comment(of: Report) -> None:
    """A forge refuses a comment of more than 65,536 letters: what does not fit is left out, and that said."""
    text = report_to_markdown(of, decide(of, Policy(), NOW))
    assert len(text) <= 65_536
    assert text.count("<details>") == text.count("</details>")


def test_what_is_cut_from_tables_of_labels_is_told() -> None:
    """Groups beyond those shown are counted, and an empty value is another than none."""
    outcome = filled.TRUTH.outcomes[0]
    first = outcome.coverage[0]
    every = tuple(replace(first, value=value) for value in ("", None, *map(str, range(15))))
    said = texts(report(truth=replace(filled.TRUTH, outcomes=(replace(outcome, coverage=every),))))
    assert "And 5 more groups." in said
    assert f"{first.segment} = (empty)\n" in said
    assert f"{first.segment} = (none)\n" in said


def test_an_empty_value_is_another_group_than_none() -> None:
    """Requests whose segment is an empty text, and those without it."""
    segment = filled.SEGMENTS[0]
    one = segment.groups[0]
    parts = replace(segment, groups=(replace(one, value=""), replace(one, value=None)), other=None)
    said = texts(report(segments=(parts,)))
    assert "(empty)" in said
    assert "(none)" in said


def test_markdown_says_what_it_leaves_out() -> None:
    """Nothing is dropped in silence."""
    of = hostile("@a #1 <b>|`*_" * 900)
    assert "left out: a comment cannot hold more" in report_to_markdown(of, decide(of, Policy(), NOW))
    assert "left out: a comment" not in report_to_markdown(full())


def test_markdown_puts_what_decides_first_and_folds_the_rest() -> None:
    """Verdict, what stands out, totals and rules are open; every fold is closed again."""
    text = report_to_markdown(full(), decide(full(), Policy(), NOW))
    order = [
        "INCONCLUSIVE",
        "What stands out",
        "Totals",
        "Groups that",
        "What the disagreements",
        "<details>",
    ]
    assert [text.index(each) for each in order] == sorted(text.index(each) for each in order)
    assert text.count("<details>") == text.count("</details>") == text.count("<summary>") > 10


def test_no_value_opens_a_tag_in_markdown() -> None:
    """The only tags are ours."""
    text = report_to_markdown(hostile(_EVIL), decide(hostile(_EVIL), Policy(), NOW))
    assert {*re.findall(r"</?(\w+)", text)} <= {"details", "summary"}
