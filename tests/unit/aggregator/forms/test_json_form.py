"""The report and the verdict as JSON, held to the schema that docs/ publishes."""

from __future__ import annotations

import json
import math
import runpy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shadowlane.aggregator.forms._json import report_to_json
from shadowlane.aggregator.gate._gate import GateResult, decide
from shadowlane.aggregator.gate._json import gate_to_json
from shadowlane.aggregator.gate._policy import Policy
from shadowlane.aggregator.report._read import read_report
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report._scope import Scope
from shadowlane.schemas import Prediction
from unit.aggregator import report_sections as sections
from unit.aggregator.report_lake import comparison, error, hook, land
from unit.aggregator.reports import full, hostile, report, scores

_ROOT = Path(__file__).parents[4]
_GOLDEN = _ROOT / "tests" / "golden"
_SCHEMA = json.loads((_ROOT / "docs" / "report.schema.json").read_text("utf-8"))
_CANARY = "<script>alert(1)</script>\x1b[31m\u202e\x00"


def verdict(of: Report) -> GateResult:
    """The verdict under the default policy."""
    return decide(of, Policy(), datetime(2026, 3, 2, tzinfo=UTC))


def refuse(token: str) -> float:
    """NaN, Infinity and -Infinity are no JSON."""
    raise AssertionError(token)


def parsed(text: str) -> Any:
    """The JSON that the text is, and nothing that only some parsers take."""
    return json.loads(text, parse_constant=refuse)


def held(settled: Any, found: Any, where: str = "") -> None:
    """What was settled is there with the same value; new fields may stand beside it."""
    if isinstance(settled, dict):
        assert [*settled] == [name for name in found if name in settled], where
        for name, value in settled.items():
            held(value, found[name], f"{where}.{name}")
    elif isinstance(settled, list):
        assert len(settled) == len(found), where
        for place, (one, other) in enumerate(zip(settled, found, strict=True)):
            held(one, other, f"{where}[{place}]")
    else:
        assert settled == found, where


@pytest.mark.parametrize(
    ("name", "text"),
    [("report.json", report_to_json(full())), ("report_gate.json", gate_to_json(verdict(full())))],
)
def test_the_json_is_settled(name: str, text: str) -> None:
    """Names, shapes and values stay: programs read them. To renew a file, delete it and run the test."""
    path = _GOLDEN / name
    if not path.exists():
        path.write_text(text, encoding="utf-8")
        pytest.fail(f"{path.name} was not there: written anew, look at it and run again")
    settled, found = json.loads(path.read_text("utf-8")), parsed(text)
    settled.pop("software_version")
    held(settled, found)


def test_the_schema_and_its_page_are_up_to_date() -> None:
    """Both are what `docs/generate_report.py` writes (`make docs`)."""
    generate = runpy.run_path(str(_ROOT / "docs" / "generate_report.py"))
    page = (_ROOT / "docs" / "report-json.md").read_text("utf-8")
    assert generate["schema"]() == _SCHEMA
    assert generate["render"](page) == page


def test_the_schema_holds_of_every_report(tmp_path: Path) -> None:
    """A full report, an empty one, a hostile one and one of a lake are what the schema says."""
    jsonschema.Draft202012Validator.check_schema(_SCHEMA)
    validator = jsonschema.Draft202012Validator(_SCHEMA)
    rows = [comparison(n, agreement=n > 2, segments=[("country", "DE")]) for n in range(9)]
    lake = land(tmp_path, rows, [error(20)], [hook("a", observed=60)])
    real = read_report(lake, Scope("ranker", "challenger"), by=["country"])
    broken = replace(full(), scores=scores(math.nan), first_request=None)
    for each in (full(), report(0, 0, 0), hostile(_CANARY), broken, real):
        validator.validate(parsed(report_to_json(each)))


@pytest.mark.parametrize(
    "changes",
    [{"compared": "9"}, {"scores": []}, {"segments": [{}]}, {"schema": "shadowlane.report/1"}, {"truth": 1}],
)
def test_the_schema_refuses_what_is_no_report(changes: dict[str, Any]) -> None:
    """A schema that lets everything through would say nothing."""
    found = parsed(report_to_json(full())) | changes
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, _SCHEMA)


def test_json_never_holds_nan() -> None:
    """Figures that are no numbers are null; in a prediction, and only there, they are text."""
    first = replace(sections.LARGEST[0], shadow=Prediction(score=math.nan), difference=math.nan)
    of = replace(full(), scores=scores(math.nan, primary_median=math.inf), largest_disagreements=(first,))
    found = parsed(report_to_json(of))
    assert (found["scores"]["distance"], found["scores"]["primary_median"]) == (None, None)
    shown = found["largest_disagreements"][0]
    assert (shown["shadow"]["score"], shown["difference"]) == ("NaN", None)
    parsed(gate_to_json(verdict(of)))


def test_the_last_digits_of_a_sum_do_not_show() -> None:
    """A figure whose rows came in another order gives the same text."""
    sums = (math.fsum([0.1] * 10), sum([0.1] * 10))
    assert sums[0] != sums[1]
    texts = {report_to_json(report(scores=scores(each))) for each in sums}
    assert len(texts) == 1


def test_json_names_its_schema() -> None:
    """A reader can tell which form it holds."""
    assert parsed(report_to_json(full()))["schema"] == "shadowlane.report/2"
    assert parsed(gate_to_json(verdict(full())))["schema"].startswith("shadowlane.gate/")


def test_json_is_plain_ascii() -> None:
    """No byte of a value can act on the terminal that the JSON is printed to."""
    of = hostile(_CANARY)
    text = report_to_json(of) + gate_to_json(verdict(of))
    assert text.isascii()
    assert all(letter == "\n" or letter.isprintable() for letter in text)
