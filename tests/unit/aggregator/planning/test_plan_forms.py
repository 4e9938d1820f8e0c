"""A plan as JSON and on a terminal: complete, finite, and safe with any name."""

from __future__ import annotations

import io
import json
from dataclasses import fields
from typing import Any

import pytest
from rich.console import Console

from shadowlane.aggregator.planning import Inputs, Metric, Plan, Segment, plan_to_json
from shadowlane.aggregator.planning.terminal import print_plan
from unit.aggregator.planning.plans import GERMANY, ITALY, planned

FULL: dict[str, Any] = {
    "requests_per_second": 23,
    "sampling": 0.05,
    "segments": (GERMANY, ITALY),
    "metric": Metric.correctness,
    "label_delay_days": 3.0,
    "segment_difference": 0.02,
    "cpu_ms": 4.0,
    "budget": 10.0,
    "deadline_days": 30.0,
    "design_effect": 1.7,
}
HOSTILE = Segment("name=\x1b[31mred\r\u202e[bold]\n" + "x" * 300, 0.01)


def printed(plan: Plan, *, is_terminal: bool = False) -> str:
    """What a terminal of 100 columns shows."""
    console = Console(file=io.StringIO(), width=100, force_terminal=is_terminal, color_system=None)
    print_plan(plan, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_json_names_its_schema_and_is_the_same_each_time() -> None:
    """The same plan is the same text: ASCII, without NaN, with the schema first."""
    text = plan_to_json(planned(**FULL))
    assert text == plan_to_json(planned(**FULL))
    document = json.loads(text, parse_constant=pytest.fail)
    assert next(iter(document)) == "schema"
    assert document["schema"] == "shadowlane.plan/1"
    assert text.isascii()
    assert {each.name for each in fields(Plan)} - {"inputs"} <= document.keys()
    assert document["summary"] == document["sentences"][-1]


def test_each_value_is_an_assumption_with_its_source() -> None:
    """Every input is told with its value, where it comes from and what it means."""
    told = json.loads(plan_to_json(planned(**FULL)))["assumptions"]
    named = {each["name"]: each for each in told if each["name"]}
    groups = (each for each in fields(Inputs) if each.name != "sources")
    inputs = planned(**FULL).inputs
    assert named.keys() == {each.name for group in groups for each in fields(getattr(inputs, group.name))}
    assert all(each["says"] for each in told)
    assert (named["cpu_ms"]["value"], named["cpu_ms"]["source"]) == (4.0, "option")
    assert (named["power"]["value"], named["power"]["source"]) == (0.8, "default")
    assert named["segments"]["value"][1] == {"name": "country=IT", "share": 0.012, "sampling": None}
    assert any("missing at random" in each["says"] for each in told if each["name"] is None)


def test_each_formula_is_of_a_figure_that_is_there() -> None:
    """Its key leads to a figure of the document."""
    document = json.loads(plan_to_json(planned(**FULL)))
    document["comparisons_a_day"] = document["everything"]["comparisons_a_day"]
    document["detectable"] = document["everything"]["detectable"]
    assert len(document["formulas"]) > 20
    for place, formula in document["formulas"].items():
        value = document
        for name in place.split("."):
            if isinstance(value, list) and name in ("minimum", "difference", "latency"):
                assert name in [each["reason"] for each in value]
                break
            value = (value[0] if isinstance(value, list) else value)[name]
        assert formula


@pytest.mark.parametrize(
    "values", [{}, FULL, {"segments": (HOSTILE,)}, {"requests_per_second": 1e-9, "cpu_ms": 1e-6}]
)
def test_the_page_fits_100_columns(values: dict[str, Any]) -> None:
    """No line is longer, and the summary is the last one, whole."""
    plan = planned(**values)
    page = printed(plan)
    assert max(map(len, page.splitlines())) <= 100
    assert all(line == line.rstrip() for line in page.splitlines())
    summary = json.loads(plan_to_json(plan))["summary"]
    assert " ".join(page.split()).endswith(" ".join(summary.split()))


def test_a_segments_name_cannot_act_on_a_terminal() -> None:
    """Control characters and markup in a name are shown as text, in each form."""
    plan = planned(segments=(HOSTILE,), sampling=0.001)
    page = printed(plan, is_terminal=True)
    assert not {"\x1b[31m", "\r", "\u202e"} & {page[place : place + 5] for place in range(len(page))}
    assert "\u202e" not in page
    assert "[bold]" in "".join(page.split())
    assert "\x1b" not in plan_to_json(plan)


def test_many_segments_are_counted_not_listed() -> None:
    """The slowest are shown, and how many more there are."""
    plan = planned(segments=tuple(Segment(f"s={n}", 0.001 * (n + 1)) for n in range(50)))
    page = printed(plan)
    assert "30 more segments, sooner done" in page
    assert "s=0 " in page
    assert "s=49" not in page
    assert len(json.loads(plan_to_json(plan))["segments"]) == 50


def test_the_page_says_what_was_assumed() -> None:
    """The values that nobody gave are there, those that do not count are not."""
    page = " ".join(printed(planned()).split())
    assert "Assumed: peak_factor 2," in page
    assert "label_coverage" not in page
    assert "label_coverage 1" in " ".join(printed(planned(metric="correctness")).split())
    assert "workers unknown: give --cpu-ms or --latency-ms" in page
    assert "cost unknown: give --cost-per-1000 or --cpu-ms" in page
