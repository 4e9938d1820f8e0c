"""Answers as text: nothing lost on the way to a program, nothing that acts on the way to a person."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.lake.sql import Answer, Form, open_query, write
from unit.aggregator.report_lake import comparison
from unit.lake.reading_lakes import write as land


def text_of(answer: Answer, form: Form, **options: Any) -> str:
    """An answer in a form."""
    out = io.StringIO()
    write(answer, form, out, **options)
    return out.getvalue()


def answer_of(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Answer:
    """An answer of these rows."""
    return Answer(tuple(columns), (tuple(row) for row in rows), {})


def as_json(folder: Path, query: str) -> Any:
    """A query's answer as a program gets it."""
    with open_query(folder, query) as answer:
        return json.loads(text_of(answer, Form.json), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("9223372036854775807", 2**63 - 1),
        ("18446744073709551615::UBIGINT", 2**64 - 1),
        ("sum(9223372036854775807)", 2**63 - 1),
        ("1.25::DECIMAL(18, 2)", 1.25),
        ("1.00::DECIMAL(18, 2)", 1),
        ("12345678901234567890.12::DECIMAL(38, 2)", "12345678901234567890.12"),
        ("'nan'::DOUBLE", "NaN"),
        ("'-inf'::FLOAT", "-Infinity"),
        ("[1.5, 'inf'::DOUBLE, NULL]", [1.5, "Infinity", None]),
        ("NULL", None),
        ("''", ""),
        ("true", True),
        ("TIMESTAMPTZ '2026-03-01 13:00:00+01'", "2026-03-01T12:00:00Z"),
        ("TIMESTAMPTZ '2026-03-01 12:00:00.250000+00'", "2026-03-01T12:00:00.25Z"),
        ("TIMESTAMPTZ '1969-12-31 23:59:59.999999+00'", "1969-12-31T23:59:59.999999Z"),
        ("TIMESTAMP '2026-03-01 12:00:00'", "2026-03-01T12:00:00"),
        ("TIMESTAMP_NS '2026-03-01 12:00:00.123456789'", "2026-03-01T12:00:00.123456789"),
        ("'infinity'::TIMESTAMPTZ", "infinity"),
        ("'-infinity'::DATE", "-infinity"),
        ("DATE '2026-03-01'", "2026-03-01"),
        ("[TIMESTAMPTZ '2026-03-01 12:00:00+00']", ["2026-03-01T12:00:00Z"]),
        ("TIME '12:30:00'", "12:30:00"),
        ("INTERVAL '1 month 2 days 3.5 seconds'", "P1M2DT3.5S"),
        ("INTERVAL '-90 minutes'", "PT-5400S"),
        ("INTERVAL '2 days'", "P2D"),
        ("INTERVAL '0 days'", "PT0S"),
        ("MAP {'a': 1, 'b': NULL}", {"a": 1, "b": None}),
        ("MAP {}", {}),
        ("MAP {1: [TRUE]}", {"1": [True]}),
        ("{'a': {'b': [MAP {'c': DATE '2026-03-01'}]}}", {"a": {"b": [{"c": "2026-03-01"}]}}),
        ("[1, 2]::INT[2]", [1, 2]),
        ("'\\xFF\\x00'::BLOB", "/wA="),
        ("'a'::ENUM ('a', 'b')", "a"),
        ("'f78a36f6-ea19-43fe-aa59-6b5d005ecd7f'::UUID", "f78a36f6-ea19-43fe-aa59-6b5d005ecd7f"),
        ("'ä\u202e\x1b[31m'", "ä\u202e\x1b[31m"),
    ],
)
def test_values_reach_a_program_whole(tmp_path: Path, sql: str, value: Any) -> None:
    """Whole numbers whole, times in ISO 8601, maps as objects, and never a NaN that JSON has not."""
    [row] = as_json(tmp_path, f"SELECT {sql} AS it")
    assert row == {"it": value}
    assert type(row["it"]) is type(value)


def test_json_cannot_act_on_a_terminal(tmp_path: Path) -> None:
    """It is plain ASCII, a row a line."""
    with open_query(tmp_path, "SELECT '\x1b]0;x\x07\u202e' AS a FROM range(2)") as answer:
        text = text_of(answer, Form.json)
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    assert len(text.splitlines()) == 4


def test_no_rows_are_an_empty_array(tmp_path: Path) -> None:
    """A program that reads the answer needs no special case."""
    assert as_json(tmp_path, "FROM comparisons") == []


def test_a_whole_comparison_reaches_a_program(tmp_path: Path) -> None:
    """Every column of the table has its place, maps and lists too."""
    land(tmp_path, [comparison(1, segments=[("country", "DE")], missing_features=["a"])])
    [row] = as_json(tmp_path, "FROM comparisons")
    assert row["segments"] == {"country": "DE"}
    assert row["missing_features"] == ["a"]
    assert row["event_time"] == "2026-03-01T12:00:01Z"


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.tuples(texts, texts), min_size=1))
def test_csv_keeps_every_text(rows: Sequence[tuple[str, str]]) -> None:
    """What Python's own reader reads back is what was written, line ends and quotes in it too."""
    text = text_of(answer_of(("a", "b,c"), rows), Form.csv)
    assert [tuple(row) for row in csv.reader(io.StringIO(text, newline=""))] == [("a", "b,c"), *rows]


def test_csv_tells_nothing_from_an_empty_text() -> None:
    """A null is nothing at all; what is nested is JSON."""
    rows = [(None, "", 1, 1.5, True, ["a", {"b": None}])]
    assert text_of(answer_of("abcdef", rows), Form.csv) == (
        'a,b,c,d,e,f\n,"",1,1.5,true,"[""a"", {""b"": null}]"\n'
    )


def test_csv_on_a_terminal_cannot_act() -> None:
    """A file gets the very letters, a screen what can be looked at."""
    rows = [("\x1b[31mred",)]
    assert text_of(answer_of("a", rows), Form.csv) == "a\n\x1b[31mred\n"
    assert text_of(answer_of("a", rows), Form.csv, width=80) == "a\n\\x1b[31mred\n"


def test_a_table_has_its_columns_side_by_side() -> None:
    """Numbers stand to the right, texts to the left, wide letters take their two columns."""
    rows = [("a", 1, None), ("漢字", 1000, 2.5)]
    assert text_of(answer_of(("name", "n", "x"), rows), Form.table) == (
        "name     n    x\n----  ----  ---\na        1    —\n漢字  1000  2.5\n"
    )


def test_a_table_too_wide_for_its_terminal_is_a_list() -> None:
    """Each row below the other; a file or pipe gets the columns, however wide."""
    rows = [("x" * 30, "y" * 30)]
    listed = f"row 1\n  first   {'x' * 30}\n  second  {'y' * 30}\n"
    names = ("first", "second")
    assert text_of(answer_of(names, rows), Form.table, width=50) == listed
    assert text_of(answer_of(names, rows), Form.table, width=62).startswith("first ")
    assert text_of(answer_of(names, rows), Form.table).startswith("first ")


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=3), st.none() | st.integers(1, 50))
def test_no_text_acts_in_a_table(rows: Sequence[tuple[str, str]], width: int | None) -> None:
    """Nor does the name of a column; each row keeps to its line."""
    text = text_of(answer_of(("a\x1b", "b"), rows), Form.table, width=width)
    assert text.replace("\n", "").isprintable()
    assert len(text.splitlines()) in (len(rows) + 2, 3 * len(rows))


def test_a_plan_is_shown_as_it_is_drawn(tmp_path: Path) -> None:
    """What EXPLAIN answers is a drawing of several lines."""
    with open_query(tmp_path, "EXPLAIN SELECT count(*) FROM comparisons") as answer:
        lines = text_of(answer, Form.table).splitlines()
    assert len(lines) > 3
    assert not any("\\n" in line for line in lines)


@pytest.mark.parametrize(
    ("limit", "written", "is_cut"), [(None, 5, False), (5, 5, False), (4, 4, True), (1, 1, True)]
)
def test_a_limit_says_whether_it_cut(limit: int | None, written: int, *, is_cut: bool) -> None:
    """Just as many rows as there are is no cut."""
    for form in Form:
        answer = answer_of("a", [(n,) for n in range(5)])
        assert write(answer, form, io.StringIO(), limit=limit) == (written, is_cut)


def test_rows_are_not_read_beyond_the_limit() -> None:
    """The one after the last tells that there are more; an endless answer ends there."""
    taken: list[int] = []

    def rows() -> Iterator[tuple[int]]:
        while True:
            taken.append(1)
            yield (1,)

    assert write(Answer(("a",), rows(), {}), Form.json, io.StringIO(), limit=3) == (3, True)
    assert len(taken) == 4
