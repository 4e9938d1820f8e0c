"""The report's forms: JSON, Markdown, the terminal and the page."""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from shadowlane.aggregator.forms._html import report_to_html
from shadowlane.aggregator.forms._json import report_to_json
from shadowlane.aggregator.forms._markdown import escape, gate_to_markdown, report_to_markdown
from shadowlane.aggregator.forms._terminal import print_gate, print_report
from shadowlane.aggregator.gate._gate import GateResult, decide
from shadowlane.aggregator.gate._json import gate_to_json
from shadowlane.aggregator.gate._policy import Policy
from shadowlane.aggregator.report._read import read_report
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report._scope import Scope
from unit.aggregator.report_lake import NOON, comparison, error, hook, land
from unit.aggregator.reports import full, latencies, report, scores

GOLDEN = Path(__file__).parents[2] / "golden"
NOW = datetime(2026, 3, 2, tzinfo=UTC)
CANARY = "<script>alert(1)</script>[red]x[/red]\x1b[31m\x1b]0;t\x07|`*_\"&\u202e\n# @user x' OR 1=1 --"


def verdict(of: Report) -> GateResult:
    """The verdict under the default policy."""
    return decide(of, Policy(), NOW)


def printed(of: Report, gate: GateResult | None = None, *, width: int = 100, encoding: str = "utf-8") -> str:
    """What the terminal would get."""
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding=encoding, errors="replace", write_through=True) as out:
        print_report(of, Console(file=out, width=width), gate)
        return raw.getvalue().decode(encoding)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A small report with something in each of its parts, read from a real lake."""
    rows = [
        comparison(
            n,
            primary_score=n / 20,
            shadow_score=(n + n % 3) / 20,
            primary_label="yes" if n > 10 else "no",
            shadow_label="yes" if n > 9 else "no",
            agreement=n % 5 != 0,
            difference=n % 3 / 20,
            shadow_latency_ms=10.0 + n,
            latency_basis="warmup" if n < 2 else "single",
            segments=[("country", "DE" if n % 2 else "FR")],
        )
        for n in range(20)
    ]
    bad = [
        error(20),
        error(21, stage="timeout", error_type="PredictTimeout", message="no answer after 500 ms"),
    ]
    counts = hook("a", observed=60, sampled_out=35, published=24, dropped=[("queue_full", 1)], delivered=24)
    lake = land(tmp_path_factory.mktemp("lake"), [*rows, rows[0]], bad, [counts])
    return read_report(lake, Scope("ranker", "challenger"), by=["country"])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A report in which every text that comes from outside tries to act."""
    rows = [
        comparison(
            n,
            request_id=f"{CANARY}{n}",
            model_version=CANARY,
            shadow_version=CANARY,
            comparator=CANARY + str(n % 2),
            latency_basis=CANARY if n == 0 else "single",
            segments=[(CANARY, CANARY)],
            agreement=False,
            primary_label=CANARY,
            shadow_label=CANARY + "s",
            shadow_ranking=[CANARY],
            shadow_score=math.nan if n == 1 else 0.5,
            difference=math.nan if n == 1 else 0.0,
        )
        for n in range(4)
    ]
    bad = [error(9, stage=CANARY, error_type=CANARY, message=CANARY, segments=[(CANARY, CANARY)])]
    counts = [hook("a", dropped=[(CANARY, 3)])]
    lake = land(tmp_path_factory.mktemp("lake"), rows, bad, counts)
    return read_report(lake, Scope("ranker", "challenger"), by=[CANARY])


def golden(name: str, text: str) -> None:
    """Compare with the file of this name. To renew it, delete it and run the test."""
    path = GOLDEN / name
    if not path.exists():
        path.write_text(text, encoding="utf-8")
        pytest.fail(f"{path.name} was not there: written anew, look at it and run again")
    assert text == path.read_text(encoding="utf-8")


def test_the_markdown_is_settled() -> None:
    """The page for a pull request, as it was looked at."""
    golden("report.md", report_to_markdown(full(), verdict(full())))


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_terminal_page_fits_100_columns(small: Report, hostile: Report, encoding: str) -> None:
    """No line is longer than 100 columns, also where the terminal knows no box or block characters."""
    for of in (small, hostile):
        text = printed(of, verdict(of), encoding=encoding)
        assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
        assert "█" not in text or encoding == "utf-8"


@pytest.mark.parametrize("length", [3, 24, 36, 64])
@pytest.mark.parametrize("width", [70, 80, 100])
def test_request_ids_stay_in_one_piece(tmp_path: Path, length: int, width: int) -> None:
    """An id is there to be copied and searched for: no width breaks or cuts it, other columns give way."""
    rows = [
        comparison(n, request_id=f"{n:0{length}}", agreement=False, primary_label="fraud", shadow_label=label)
        for n, label in enumerate(["ok", "a label of many words, which is long", "fraud"])
    ]
    text = printed(read_report(land(tmp_path, rows), Scope("ranker", "challenger")), width=width)
    assert all(f"{n:0{length}}" in text for n in range(3))
    assert max(len(line) for line in text.splitlines()) <= width


def test_what_goes_to_a_file_has_no_spaces_at_the_ends(small: Report) -> None:
    """In a pipe or file the padding of tables is cut off."""
    text = printed(small, verdict(small))
    assert text == "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def test_small_bins_show_and_empty_ones_do_not() -> None:
    """With nearly all scores in one bin, a rare one is still seen, apart from rarer ones and from none."""
    counts = (100_000, *[0] * 46, 2_000, 20, 1)
    text = printed(report(scores=scores(0.1, primary=counts, shadow=counts)))
    assert f"primary │█{' ' * 46}▆▃▁│" in text
    assert "heights are logarithms" in text


def test_the_terminal_page_obeys_no_value(hostile: Report) -> None:
    """No escape sequence reaches the terminal, and markup in a value is shown as it was written."""
    text = printed(hostile, verdict(hostile))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "[red]x[/red]" in text


def test_the_terminal_says_the_verdict(small: Report) -> None:
    """The verdict and each check stand at the top."""
    text = printed(small, verdict(small))
    assert text.index("INCONCLUSIVE") < text.index("sufficient_traffic") < text.index("Totals")


def test_the_gate_alone_says_what_must_be_known() -> None:
    """The notes stand under the verdict in each form of the gate."""
    out = io.StringIO()
    result = verdict(report(undecodable=3))
    print_gate(result, Console(file=out, width=100))
    for text in (out.getvalue(), gate_to_markdown(result), gate_to_json(result)):
        assert "3 messages on the topic could not be read" in text


def test_the_gate_alone_says_of_which_requests_it_is() -> None:
    """A verdict on a window or under a condition does not look like one on all requests."""
    narrow = Scope("ranker", "challenger", start=NOON, where="segments['country'] = 'BR'")
    out = io.StringIO()
    result = verdict(report(scope=narrow))
    print_gate(result, Console(file=out, width=100))
    said = "The verdict is of requests made from 2026-03-01 12:00:00 UTC on, where segments['country'] = 'BR'"
    assert said in " ".join(out.getvalue().split())
    assert "The verdict is of requests made from" in gate_to_markdown(result)
    assert "The verdict is of requests" not in gate_to_markdown(verdict(report()))


def test_the_gate_alone_on_the_terminal() -> None:
    """The gate's page has the verdict and all five checks."""
    out = io.StringIO()
    print_gate(verdict(report(errored=500)), Console(file=out, width=100))
    text = out.getvalue()
    assert "HOLD" in text
    assert text.count("pass") == 4
    assert text.count("FAIL") == 1


@pytest.mark.parametrize(
    "text",
    [
        "<script>",
        "a|b",
        "`code`",
        "*bold*",
        "_it_",
        "[x](http://evil)",
        "![](x)",
        "@user",
        "#12",
        "www.evil.example",
        "a\nb",
    ],
)
def test_markdown_escapes(text: str) -> None:
    """Nothing in a value makes a tag, a link, a mention, a new line or a cell."""
    shown = escape(text)
    assert "\n" not in shown
    assert not re.search(r"<|(?<!\\)[|`*_\[\]!]|@\w|#\w|www\.|(?<!\\)://", shown.replace("&#", ""))


def test_no_value_acts_in_markdown(hostile: Report) -> None:
    """Each line of the tables has the cells that its header has, whatever the values hold."""
    text = report_to_markdown(hostile, verdict(hostile)) + gate_to_markdown(verdict(hostile))
    assert "<script" not in text
    assert "\x1b" not in text
    cells = 0
    for line in text.splitlines():
        bars = len(re.findall(r"(?<!\\)\|", line))
        cells = bars if bars and not cells else cells if bars else 0
        assert bars == cells


class Page(HTMLParser):
    """What is in a page: its tags and their attributes, its scripts and its references."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.mistakes: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag; one that is not void must be closed."""
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that closes itself."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        """Each end must be of what was opened last."""
        if not self.open or self.open.pop() != tag:
            self.mistakes.append(tag)


def page_of(of: Report, gate: GateResult | None) -> tuple[str, Page]:
    """The page as text and as what is in it."""
    text = report_to_html(of, gate)
    return text, Page(text)


def test_no_value_acts_on_the_page(hostile: Report) -> None:
    """No value becomes a tag, an attribute or a control character."""
    text, page = page_of(hostile, verdict(hostile))
    assert "script" not in page.tags
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "style"]


def test_the_page_needs_nothing_else(small: Report) -> None:
    """No script, no reference to any other file or address, and a policy that would forbid them."""
    text, page = page_of(small, verdict(small))
    assert not {"script", "link", "img", "iframe", "object", "form"} & {*page.tags}
    assert not [name for name, _ in page.attributes if name in {"src", "xlink:href", "action"}]
    assert all((value or "").startswith("#") for name, value in page.attributes if name == "href")
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'; style-src 'sha256-" in text


def test_every_form_says_how_disagreements_are_ordered(small: Report) -> None:
    """Which disagreement is the largest is a choice: it is told beside the table."""
    for text in (printed(small), report_to_markdown(small), report_to_html(small)):
        assert "Different labels first, by the sum of both confidences" in text


def test_every_form_sets_unreadable_messages_apart(tmp_path: Path) -> None:
    """They stand under the errors by stage, marked as not counted, and are said in words."""
    bad = error(2, request_id=None, event_time=None, stage="decode")
    of = read_report(land(tmp_path, [comparison(1)], [bad]), Scope("ranker", "challenger"))
    assert json.loads(report_to_json(of))["undecodable"] == 1
    for text in (printed(of), report_to_markdown(of), report_to_html(of)):
        assert "decode" in text
        assert "not counted" in text
        assert "1 message on the topic could not be read; no model was asked" in text


@pytest.mark.parametrize("gated", [True, False])
def test_the_page_is_well_formed(small: Report, hostile: Report, gated: bool) -> None:
    """Every tag is closed in order, and no id is given twice."""
    for of in (small, hostile, report(0, 0, 0)):
        _, page = page_of(of, verdict(of) if gated else None)
        assert page.mistakes == []
        assert page.open == []
        assert len(page.ids) == len({*page.ids})


def test_the_page_puts_the_verdict_first(small: Report) -> None:
    """The verdict stands before any figure; without a gate there is none."""
    text, _ = page_of(small, verdict(small))
    assert (
        text.index("Inconclusive</h2>")
        < text.index("sufficient_traffic")
        < text.index("Where each request went")
    )
    assert 'class="verdict' not in report_to_html(small)


def test_every_picture_is_told_in_words(small: Report) -> None:
    """A picture either has words for those who cannot see it, or stands beside its number and is hidden."""
    text, _ = page_of(small, verdict(small))
    pictures = re.findall(r"<svg[^>]*>", text)
    assert len(pictures) > 8
    assert all("aria-labelledby=" in each or 'aria-hidden="true"' in each for each in pictures)


@pytest.mark.parametrize("p99", [1e-5, 0.012, 0.035, 0.07, 0.055, 3.0, 950.0, 2e4, 3e6])
def test_the_labels_of_the_latency_axis_fit(p99: float) -> None:
    """Whatever the latencies' size, the labels on the left begin within the picture."""
    text = report_to_html(report(latencies=latencies(p99)))
    labels = re.findall(
        r'class="tick" x="([\d.]+)" y="[\d.]+" text-anchor="end">([\d.,e+-]+ (?:s|ms|µs|ns))<', text
    )
    assert len(labels) >= 3
    # A digit of 12 px is 7.6 px wide in the widest of the page's fonts, and some letters are narrower.
    assert all(float(x) - 7.2 * len(label) >= 0 for x, label in labels)


@pytest.mark.parametrize(
    "of",
    [
        report(0, 0, 0),
        report(0, 0, 20_000),
        report(scores=None, latencies=()),
        report(scores=scores(None, edges=(), primary=(0,) * 50, shadow=(0,) * 50)),
        report(latencies=latencies(None)),
        report(latencies=latencies(0.0)),
        report(first_request=None, last_request=None),
    ],
)
def test_every_form_stands_without_figures(of: Report) -> None:
    """Where figures cannot be computed, every form is still made, and none says NaN, None or 0 for them."""
    gate = verdict(of)
    texts = [printed(of, gate), report_to_markdown(of, gate), report_to_html(of, gate), report_to_html(of)]
    report_to_json(of)
    for text in texts:
        assert not re.search(r"\b(nan|None|inf)\b", text)


def test_a_wide_range_still_makes_a_picture(tmp_path: Path) -> None:
    """Scores of any size, from nearly nothing to the largest float, can be drawn."""
    rows = [comparison(1, primary_score=-1.7e308, shadow_score=1.7e308), comparison(2, primary_score=5e-324)]
    of = read_report(land(tmp_path, rows), Scope("ranker", "challenger"))
    assert "nan" not in report_to_html(of)


def test_the_window_asked_for_is_on_the_page(small: Report) -> None:
    """A report of a window says which."""
    of = replace(small, scope=Scope("ranker", "challenger", start=NOON))
    assert "2026-03-01 12:00:00 UTC to now" in report_to_html(of)


def test_notes_say_what_was_left_out(small: Report) -> None:
    """Warm-up rows, repeated rows and the ledger's remainder are said in words, in each form."""
    found: Any = json.loads(report_to_json(small))["notes"]
    assert any("2 requests among the first calls after a load" in each for each in found)
    assert any("1 row landed again" in each for each in found)
    assert any("2 requests delivered by the hooks and not in the lake" in each for each in found)
