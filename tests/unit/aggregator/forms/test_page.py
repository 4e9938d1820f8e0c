"""The page: what comes first, what it may load, and that all can read it. In a browser: tests/e2e."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

import shadowlane.aggregator.forms
import shadowlane.aggregator.gate
from shadowlane.aggregator.forms._checks import _KNOWN, shown
from shadowlane.aggregator.forms._html import report_to_html
from shadowlane.aggregator.forms.content import sections
from shadowlane.aggregator.gate._check import Check
from shadowlane.aggregator.gate._gate import GateResult, decide
from shadowlane.aggregator.gate._policy import Policy
from shadowlane.aggregator.report._report import Report
from unit.aggregator import report_sections as filled
from unit.aggregator.reports import full, hostile, report

_STYLE = Path(shadowlane.aggregator.forms.__file__).parent / "page" / "report.css"
_EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>|`\x1b[31m\u202e" + "W" * 10_000


def verdict(of: Report) -> GateResult:
    """The verdict under the default policy."""
    return decide(of, Policy(), datetime(2026, 3, 2, tzinfo=UTC))


class Headings(HTMLParser):
    """The levels of a page's headings in order, its tags, and the names of their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.attributes |= {name for name, _ in attrs}
        self.tags.append(tag)
        if re.fullmatch(r"h[1-6]", tag):
            self.levels.append(int(tag[1]))


def test_what_stands_out_is_at_the_top() -> None:
    """A group that fares worse stands before the verdict and before any total."""
    text = report_to_html(full(), verdict(full()))
    top, decided, total = text.index("country = BR"), text.index('id="verdict"'), text.index('id="totals"')
    assert top < decided < total


def test_a_group_that_stands_out_is_at_the_top_whatever_the_headline_says() -> None:
    """Also where nobody made a headline of it."""
    text = report_to_html(replace(full(), headline=()))
    assert text.index("country = BR: the two agree on") < text.index('id="totals"')


def test_each_section_is_on_the_page_and_in_its_contents() -> None:
    """Every link leads to a heading that is there."""
    text = report_to_html(full(), verdict(full()))
    ids = set(re.findall(r'id="([^"]+)"', text))
    assert {each.key for each in sections(full())} <= ids
    links = re.findall(r'href="([^"]+)"', text)
    assert len(links) > 15
    assert all(link.startswith("#") and link[1:] in ids for link in links)


@pytest.mark.parametrize("of", [full(), report(), report(0, 0, 0), hostile(_EVIL)])
def test_headings_are_in_order(of: Report) -> None:
    """One first heading, and none that skips a level."""
    levels = Headings(report_to_html(of, verdict(of))).levels
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_page_loads_and_runs_nothing() -> None:
    """No script, no picture or style from elsewhere, no handler, no style of its own in any tag."""
    for of in (full(), hostile(_EVIL)):
        text = report_to_html(of, verdict(of))
        page = Headings(text)
        assert not {"script", "img", "link", "iframe", "object", "form"} & {*page.tags}
        assert not {name for name in page.attributes if name.startswith("on") or name in ("style", "src")}
        assert not re.search(r"https?://|url\(|@import", text)
        assert "default-src 'none'" in text
        assert '<html lang="en">' in text


def test_a_name_of_any_length_leaves_the_page_small() -> None:
    """Ten thousand letters in each field come to less than two megabytes."""
    assert len(report_to_html(hostile(_EVIL), verdict(hostile(_EVIL)))) < 2_000_000
    assert "W" * 2_000 not in report_to_html(hostile(_EVIL))


def test_a_check_that_the_page_does_not_know_is_shown() -> None:
    """A policy may ask for more: its name reads as words, with its interval where it has one."""
    more = Check(
        name="made_up_ok", of="<b>", value=0.75, operator=">=", bound=1.0, n=9, passed=False,
        why="3 of 7 weekdays.", interval=filled.interval(0.7, 0.8),
    )  # fmt: skip
    gate = replace(verdict(full()), checks=(*verdict(full()).checks, more))
    text = report_to_html(full(), gate)
    assert "Made up ok" in text
    assert "0.7000 to 0.8000" in text
    assert "&lt;b&gt;" in text


def test_a_difference_below_nothing_has_no_bar() -> None:
    """Bars count from 0; what may be negative is written only, with its sign."""
    worse = Check(
        name="correctness_ok", value=-0.021, operator=">=", bound=-0.01, n=9, passed=None, why="",
        unsettled=True,
    )  # fmt: skip
    found = shown(worse)
    assert (found["value"], found["bound"], found["gauge"]) == ("-2.10 points", "at least -1 points", "")
    assert (found["state"], found["tone"]) == ("unsettled", "unknown")


def test_each_check_of_the_gate_has_a_title_of_its_own() -> None:
    """Every name that the gate gives a check is one that the page knows."""
    source = "".join(
        path.read_text("utf-8") for path in Path(shadowlane.aggregator.gate.__file__).parent.glob("*.py")
    )
    names = {*re.findall(r'"(\w+_ok|\w+_seen|\w+_sufficient|sufficient_\w+|\w+_present)"', source)}
    assert len(names) > 10
    assert names <= {*_KNOWN}


def luminance(colour: str) -> float:
    """The relative luminance that WCAG speaks of."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """From 1 (alike) to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def palettes() -> list[dict[str, str]]:
    """The colours of light, dark and print, as the style sheet names them."""
    blocks = re.findall(r":root \{(.*?)\}", _STYLE.read_text("utf-8"), re.DOTALL)
    found = [
        {name: colour if len(colour) == 7 else "#" + "".join(c * 2 for c in colour[1:])
         for name, colour in re.findall(r"--([\w-]+): (#[0-9a-f]+);", block)}
        for block in blocks
    ]  # fmt: skip
    assert len(found) == 3
    return found


@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark", "print"])
def test_all_text_has_contrast(palette: Mapping[str, str]) -> None:
    """Every colour of text reaches 4.5 to 1 on every ground that it stands on."""
    grounds = ["page", "card"]
    for name in ("ink", "soft", "primary", "shadow", "good", "bad", "open", "rate"):
        for ground in grounds:
            assert contrast(palette[name], palette[ground]) >= 4.5, (name, ground)
    for name in ("good", "bad", "open", "soft"):
        assert contrast(palette[name], palette[f"{name}-tint"]) >= 4.5, name
        assert contrast(palette["ink"], palette[f"{name}-tint"]) >= 4.5, name
