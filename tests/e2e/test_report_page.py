"""The report's page in a real browser: it asks for nothing, runs nothing, and fits a phone, day and night."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headless import BROWSER, Look, look, paper
from shadowlane.aggregator.forms._html import report_to_html
from shadowlane.aggregator.gate._gate import decide
from shadowlane.aggregator.gate._policy import Policy
from shadowlane.aggregator.report._report import Report
from unit.aggregator.reports import full, hostile, report

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here (apt-get install chromium)")

PHONE, DESK = 360, 1280
_EVIL = (
    "</title></style></script><script>document.title='owned'</script>"
    "<img src=/owned onerror=\"document.title='owned'\">{{7*7}}|`'\"\x1b[31m\u202e" + "W" * 10_000
)
_REPORTS = {"full": full(), "hostile": hostile(_EVIL), "empty": report(0, 0, 0)}


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int, bool], Look]:
    """What each page is like on a phone and on a desk, in the light and in the dark."""
    found = {}
    for name, of in _REPORTS.items():
        folder = tmp_path_factory.mktemp(name)
        page = written(of, folder)
        sizes = [(PHONE, False), (DESK, True)] if name != "empty" else [(PHONE, True)]
        for width, dark in sizes:
            found[name, width, dark] = look(page, folder, width=width, dark=dark)
    return found


def written(of: Report, folder: Path) -> Path:
    """The page as the command writes it."""
    gate = decide(of, Policy(), datetime(2026, 3, 2, tzinfo=UTC))
    page = folder / "report.html"
    page.write_text(report_to_html(of, gate), encoding="utf-8")
    return page


def test_the_page_asks_for_nothing(looks: dict[tuple[str, int, bool], Look]) -> None:
    """The page itself is all that the browser asks the server for."""
    for of in looks.values():
        assert of.asked == ("/look.html", "/report.html")
        assert of.found["requests"] == 0
        assert of.found["scripts"] == 0


def test_nothing_is_said_on_the_console(looks: dict[tuple[str, int, bool], Look]) -> None:
    """No error and no warning, nor any refusal by the page's own policy."""
    for of in looks.values():
        assert of.console == ()


def test_no_page_is_wider_than_its_window(looks: dict[tuple[str, int, bool], Look]) -> None:
    """Also on a phone, with names of ten thousand letters: nothing hangs over the edge."""
    for (name, width, _), of in looks.items():
        assert of.found["width"] <= of.found["room"], (name, width, of.found["beyond"][:3])
        assert of.found["beyond"] == [], (name, width)


def test_the_page_is_light_by_day_and_dark_by_night(looks: dict[tuple[str, int, bool], Look]) -> None:
    """It follows what the reader's machine is set to."""
    for (_, _, dark), of in looks.items():
        ground, ink = (
            sum(map(int, re.findall(r"\d+", of.found[each])[:3])) for each in ("background", "ink")
        )
        assert (ground < ink) == dark


def test_every_picture_can_be_seen_and_heard(looks: dict[tuple[str, int, bool], Look]) -> None:
    """None is flat or empty at any width, and each has its words; what is folded can be opened by keys."""
    for (name, _, _), of in looks.items():
        assert of.found["pictures"] > (15 if name != "empty" else -1)
        assert (of.found["flat"], of.found["unnamed"], of.found["folds"]) == (0, 0, 0)


def test_the_title_says_what_the_page_is(looks: dict[tuple[str, int, bool], Look]) -> None:
    """Names and verdict, whatever text of the data tries to be another title."""
    for (name, _, _), of in looks.items():
        assert of.found["title"].startswith("ranker → challenger: ")
        assert ("No data" in of.found["title"]) == (name == "empty")


def test_the_page_can_be_printed(tmp_path: Path) -> None:
    """A full report is a PDF of some pages, light also where the screen is dark."""
    printed = paper(written(full(), tmp_path), tmp_path)
    assert printed.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b", printed))
    assert 3 <= pages <= 30
