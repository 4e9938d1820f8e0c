"""The pictures: well-formed, told in words, within their frame, and small whatever the data."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.aggregator.forms.charts import Picture, key, pictures
from shadowlane.aggregator.forms.charts._frame import Frame, around, shares, ticks
from shadowlane.aggregator.forms.charts._whiskers import Row, dot, whiskers
from shadowlane.aggregator.forms.content import sections
from shadowlane.aggregator.gate._policy import Policy
from shadowlane.aggregator.report._report import Report
from unit.aggregator import report_sections as filled
from unit.aggregator.reports import full, hostile, latencies, report, scores

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def drawn(of: Report, policy: Policy | None = None) -> Iterator[tuple[str, Picture]]:
    """Every picture of a report with its section."""
    for section in sections(of):
        for picture in pictures(of, section.key, policy):
            yield section.key, picture


def huge() -> Report:
    """Far more of everything than a picture can show."""
    agreement, coverage = filled.AGREEMENT, filled.coverage(2_000)
    group = filled.SEGMENTS[0].groups[0]
    start = agreement.over_time[0]
    return replace(
        full(),
        agreement=replace(
            agreement,
            over_time=tuple(replace(start, start=start.start + timedelta(hours=n)) for n in range(20_000)),
            tolerance_curve=tuple(
                replace(agreement.tolerance_curve[0], tolerance=n / 1000) for n in range(5_000)
            ),
        ),
        segments=(
            replace(filled.SEGMENTS[0], groups=tuple(replace(group, value=f"v{n}") for n in range(5_000))),
        ),
        coverage=coverage,
        features=replace(filled.FEATURES, features=filled.FEATURES.features * 1_000),
        labels=replace(filled.LABELS, labels=filled.LABELS.labels * 1_000),
    )


def broken() -> Report:
    """What cannot be drawn: no values, one value, NaN and infinities."""
    single = replace(filled.LATENCIES[0].shadow, curve=((0.5, math.inf), (0.99, math.nan)))
    return replace(
        full(),
        agreement=replace(filled.AGREEMENT, over_time=filled.AGREEMENT.over_time[:1], tolerance_curve=()),
        latencies=(replace(filled.LATENCIES[0], shadow=single, primary=latencies(None)[0].shadow),),
        scores=scores(None, edges=(0.0, *[1e308] * 50)),
        coverage=filled.coverage(1),
        segments=(replace(filled.SEGMENTS[0], groups=(), other=None),),
        freshness=replace(filled.FRESHNESS, by_hour=(), by_lag=()),
    )


def test_every_section_that_says_more_in_a_picture_has_one() -> None:
    """Both distributions, latency, agreement and errors over time, segments, tolerance, and the rest."""
    found = {picture.title for _, picture in drawn(full(), Policy())}
    assert {
        "Agreement over time",
        "Agreement, if differences up to … agreed",
        "Errors over time",
        "Agreement",
        "Error rate",
        "Latency by percentile",
        "Shadow less primary, request by request",
        "Scores: how often each model gives which",
        "Calibration: the mean score, and how often it came true",
        "Agreement by hour of day (UTC)",
        "Days with requests",
        "Of all observed",
    } <= found


@pytest.mark.parametrize(
    "of", [full(), huge(), broken(), report(0, 0, 0), hostile("<b>\x1b|" + "W" * 10_000)]
)
def test_pictures_are_well_formed_and_small(of: Report) -> None:
    """Whatever the data: XML that parses, no more than 40,000 letters, no figure that is none."""
    for section, picture in drawn(of, Policy()):
        text = str(picture.drawing)
        ET.fromstring(text)  # noqa: S314 - made here
        assert len(text) < 40_000, (section, picture.title)
        assert not re.search(r"\b(nan|inf|None)\b", text), (section, picture.title)


@pytest.mark.parametrize("of", [full(), huge(), broken()])
def test_nothing_is_drawn_outside_of_a_picture(of: Report) -> None:
    """Every point, line and box lies within the frame."""
    for _, picture in drawn(of, Policy()):
        top = ET.fromstring(str(picture.drawing))  # noqa: S314 - made here
        width, height = map(float, top.attrib["viewBox"].split()[2:])
        for each in top.iter():
            across = [float(each.attrib[name]) for name in ("x", "x1", "x2", "cx") if name in each.attrib]
            down = [float(each.attrib[name]) for name in ("y", "y1", "y2", "cy") if name in each.attrib]
            numbers = [float(n) for n in _NUMBER.findall(each.attrib.get("d", ""))]
            assert all(-1 <= n <= width + 1 for n in across + numbers[::2]), picture.title
            assert all(-6 <= n <= height + 1 for n in down + numbers[1::2]), picture.title


def test_pictures_are_told_in_words() -> None:
    """Each has a title and a description of its own for those who hear the page."""
    found = [str(picture.drawing) for _, picture in drawn(full(), Policy())]
    for text in found:
        top = ET.fromstring(text)  # noqa: S314 - made here
        title, described = top[0], top[1]
        assert top.attrib["role"] == "img"
        assert top.attrib["aria-labelledby"].split() == [title.attrib["id"], described.attrib["id"]]
        assert title.text
        assert described.text
    ids = re.findall(r'id="([^"]+)"', "".join(found))
    assert len(ids) == len({*ids})


def test_colour_is_never_the_only_sign() -> None:
    """The shadow's marks are square where the primary's are round, and its lines are dashed by the style."""
    for kind, shape in (("primary", "circle"), ("shadow", "rect")):
        assert f'<{shape} class="mark {kind}"' in str(key(kind))
    for _, picture in drawn(full(), Policy()):
        assert not re.search(r"<circle[^>]*shadow|<rect class=\"mark primary", str(picture.drawing))


def test_the_limit_is_drawn_only_where_there_is_a_policy() -> None:
    """Without a gate no picture shows a bound."""
    assert not any('class="limit"' in str(picture.drawing) for _, picture in drawn(full()))
    assert any('class="limit"' in str(picture.drawing) for _, picture in drawn(full(), Policy()))


@given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300), st.integers(2, 8))
def test_ticks_are_few_and_within(low: float, high: float, most: int) -> None:
    """However wide or narrow a range is, its axis has some labels, and not too many."""
    found = ticks(low, high, most)
    assert 1 <= len(found) <= most
    if low < high:
        room = (high - low) * 1e-6 + abs(low) * 1e-6
        assert all(low - room <= tick <= high + room for tick in found)


@given(st.lists(st.floats(0, 1), min_size=1))
def test_a_range_holds_its_values(values: list[float]) -> None:
    """No value is drawn at an edge that it is beyond."""
    low, high = around(values)
    assert 0 <= low <= min(values)
    assert max(values) <= high <= 1


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(), st.floats())
def test_every_value_has_a_place(value: float, left: float, right: float) -> None:
    """What is no number, or beyond all bounds, lies at the edge of the frame, never outside."""
    frame = Frame(left=left, right=right)
    assert frame.margin_left <= frame.x(value) <= frame.far


def test_shares_are_written_with_the_decimals_that_they_need() -> None:
    """On a narrow axis two labels never read alike."""
    write = shares(0.9990, 0.9999)
    assert write(0.9991) != write(0.9992)
    assert shares(0.0, 1.0)(0.5) == "50 %"


def test_rows_without_a_value_are_left_out() -> None:
    """A picture of nothing is none; names are cut to the room that there is."""
    assert whiskers("k", "t", [Row("a", ())]) is None
    text = str(whiskers("k", "t", [Row("N" * 500, (dot(0.5, None, "rate"),)), Row("b", ())]))
    assert "N" * 14 + "…" in text
    assert ">b<" not in text
