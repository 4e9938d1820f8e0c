"""docs/comparing.md: its tables and examples are what the rules do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from shadowlane.comparators import Comparator, Outcome, configured
from shadowlane.schemas import Prediction
from unit.comparators import pairs

TEXT = (Path(__file__).parents[3] / "docs/comparing.md").read_text(encoding="utf-8")
SEMANTICS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in TEXT.partition("## What counts as the same")[2].partition("\n## ")[0].splitlines()
    if line.startswith("| `")
]
NOT_IN_SQL = ("label:", "text:")


def block(language: str, number: int = 0) -> str:
    """A code block of the page."""
    return str(re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)[number])


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory."""
    with duckdb.connect(":memory:") as connection:
        yield connection


def test_the_table_is_there() -> None:
    """A page that is written otherwise would leave nothing to test."""
    assert len(SEMANTICS) > 50


@pytest.mark.parametrize("row", SEMANTICS, ids=[" ".join(row[:3]) for row in SEMANTICS])
def test_each_row_is_what_all_forms_say(engine: duckdb.DuckDBPyConnection, row: tuple[str, ...]) -> None:
    """In Python, over columns and, where there is such a form, in SQL."""
    rule, primary, shadow = (cell.strip("`") for cell in row[:3])
    comparator = Comparator.parse(rule)
    pair = Prediction.of(json.loads(primary)), Prediction.of(json.loads(shadow))
    [outcome] = pairs.one_at_a_time(comparator, [pair], [{}])
    assert outcome.agreement == {"yes": True, "no": False}[row[3]]
    assert outcome.difference == (pytest.approx(float(row[4]), rel=1e-3, abs=0) if row[4] else None)
    assert pairs.by_columns(comparator, [pair], [{}]) == [outcome]
    if not rule.startswith(NOT_IN_SQL):
        assert pairs.by_duckdb(engine, comparator, [pair], [{}]) == [outcome]


def test_each_rule_of_the_first_table_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is recorded as it is written there."""
    table = TEXT.partition("## Rules")[2].partition("\n## ")[0]
    rules = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert len(rules) > 15
    for rule in rules:
        if not rule.startswith("python:"):
            assert [each.name for each in Comparator.parse(rule).rules] == [rule]


def test_the_settings_and_the_rule_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's example reads for each model that it names, and its function judges."""
    (tmp_path / "shadowlane.toml").write_text(block("toml"), encoding="utf-8")
    (tmp_path / "pricing_rules.py").write_text(block("python"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {
        model: [rule.name for rule in configured(model, env={}).rules]
        for model in ("other", "fraud", "answers", "embeddings", "pricing")
    }
    assert found == {
        "other": ["label", "score:0.01", "vector:0.05", "ranking:top=10,overlap=0.8"],
        "fraud": [
            "label:case,space",
            "score:abs=0.001,rel=0.05",
            "vector:0.05",
            "ranking:top=10,overlap=0.8",
        ],
        "answers": ["text:0.9", "score:0.01", "vector:0.05", "ranking:top=10,overlap=0.8"],
        "embeddings": ["vector:cosine=0.99"],
        "pricing": ["python:pricing_rules:within_a_cent"],
    }
    outcome = configured("pricing", env={}).compare(Prediction(score=1.0), Prediction(score=1.25))
    assert outcome == Outcome(False, 0.25, "python:pricing_rules:within_a_cent")


def test_the_query(engine: duckdb.DuckDBPyConnection) -> None:
    """It judges what is not ignored again."""
    scope: dict[str, str] = {}
    exec(block("python", 1), scope)  # noqa: S102 (our own page)
    comparisons = pa.table(  # noqa: F841 (the engine reads it by its name)
        {
            "primary_score": [0.5, 0.5, 0.5],
            "shadow_score": [0.5, 0.75, 0.5],
            "segments": pa.array([[], [], [("traffic", "synthetic")]], pairs.SEGMENTS),
            **{f"{side}_label": pa.nulls(3, pa.string()) for side in ("primary", "shadow")},
        }
    )
    assert engine.execute(scope["query"]).fetchall() == [(0.5, 0.25)]
