"""Queries over the lake: what they see, how they are limited, and what is said when they cannot run."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from threading import Timer
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from shadowlane.aggregator import Scope, read_report
from shadowlane.errors import DamagedLakeError, LakeError, SettingsError
from shadowlane.lake import COMPARISONS, LABELS, TABLES
from shadowlane.lake._witness import check_files
from shadowlane.lake.sql import Limits, QueryError, open_query
from shadowlane.lake.sql import _sandbox as sandbox
from unit.aggregator.report_lake import NOON, Row, append, comparison, files
from unit.lake.reading_lakes import write

ENDLESS = "SELECT sum(hash(a.range * b.range)) FROM range(1_000_000) a, range(1_000_000) b"


def ask(lake: Path, query: str, **options: Any) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with open_query(lake, query, **options) as answer:
        return list(answer.rows)


def label(n: int, **changes: Any) -> Row:
    """The label of the n-th request."""
    row = {"request_id": f"r{n}", "name": "label", "label_score": 0.0, "observed_at": NOON}
    return {
        **row,
        "landed_partition": 0,
        "landed_offset": n,
        "model": "ranker",
        "date": NOON.date(),
        **changes,
    }


def test_models_are_text_and_dates_are_dates(tmp_path: Path) -> None:
    """Whatever a model's name looks like, and also where there is none."""
    models = ["08", "10", "11", "ranker", None]
    days = [NOON + timedelta(days=n) for n in range(len(models))]
    write(tmp_path, [comparison(n, model=model, event_time=days[n]) for n, model in enumerate(models)])
    rows = ask(tmp_path, "SELECT model, date, typeof(model), typeof(date) FROM comparisons ORDER BY date")
    assert rows == [
        (model, f"{day:%Y-%m-%d}", "VARCHAR", "DATE") for model, day in zip(models, days, strict=True)
    ]
    assert ask(tmp_path, "SELECT count(*) FROM comparisons WHERE model = '08' AND date = '2026-03-01'") == [
        (1,)
    ]


def test_a_query_of_a_model_and_a_day_opens_their_files_only(tmp_path: Path) -> None:
    """The folders say which: a plan that was run tells how many it read."""
    rows = [comparison(n, model=f"0{n % 2}", event_time=NOON + timedelta(days=n)) for n in range(6)]
    write(tmp_path, rows)
    query = "EXPLAIN ANALYZE SELECT count(event_time) FROM comparisons WHERE {}"
    for where, opened in (
        ("date = '2026-03-03'", "1/7"),
        ("model = '01'", "3/7"),
        ("date > '2026-03-04'", "2/7"),
    ):
        [(_, plan)] = ask(tmp_path, query.format(where))
        assert f"Scanning Files: {opened}" in plan


def test_every_table_is_there_before_anything_landed(tmp_path: Path) -> None:
    """With its columns and without rows; which have never been written to can be seen."""
    for spec in TABLES:
        with open_query(tmp_path / "nowhere", f"FROM {spec.name}") as answer:
            assert {*answer.columns} == {*spec.schema.names}
            assert list(answer.rows) == []
            assert answer.versions == {spec.name: None}


def test_a_file_of_before_a_column_was_added_is_read(tmp_path: Path) -> None:
    """The column is null in it, and so is a table's whose every file is old."""
    old = pa.Table.from_pylist([comparison(1)], schema=COMPARISONS.schema).drop_columns(["shadow_label"])
    append(tmp_path, COMPARISONS, old)
    assert ask(tmp_path, "SELECT request_id, shadow_label FROM comparisons") == [("r1", None)]


def test_a_query_reads_one_version(tmp_path: Path) -> None:
    """What is committed after it was opened is not in it."""
    write(tmp_path, [comparison(1)])
    with open_query(tmp_path, "SELECT count(*) FROM comparisons") as answer:
        write(tmp_path, [comparison(2)])
        assert answer.versions == {"comparisons": 1}
        assert list(answer.rows) == [(1,)]


def test_first_comparisons_count_as_the_report_does(tmp_path: Path) -> None:
    """A request that landed twice, or that a client sent again, is one; requests without an id are apart."""
    rows = [comparison(n) for n in range(6)]
    again = comparison(9, request_id="r1", agreement=False, event_time=NOON + timedelta(hours=1))
    unnamed = [comparison(n, request_id="") for n in (20, 21)]
    write(
        tmp_path, rows, rows[3:], [again, *unnamed, comparison(1, run="march"), comparison(1, shadow="rival")]
    )
    report = read_report(tmp_path, Scope("ranker", "challenger"))
    query = "SELECT count(*), sum(agreement::INT) FROM first_comparisons WHERE (shadow, run) = ({})"
    query = query.format("'challenger', 'live'")
    assert ask(tmp_path, query) == [(report.compared, report.agreements)] == [(8, 8)]
    assert ask(tmp_path, "SELECT count(*) FROM comparisons") == [(14,)]


@pytest.mark.parametrize("order", [1, -1])
def test_latest_labels_are_what_is_known_now(tmp_path: Path, order: int) -> None:
    """Of a request's labels of one name the latest observed counts, and of one moment the last to land."""
    later = NOON + timedelta(hours=1)
    rows: Sequence[Row] = [
        label(1, label_score=0.0),
        label(1, label_score=1.0, observed_at=later),
        label(1, name="revenue", label_score=7.5),
        label(2, label_score=0.0, landed_offset=5),
        label(2, label_score=1.0, landed_offset=6),
        label(1, model="other", label_score=0.25),
        label(3, label_score=1.0),
        label(3, label_score=None, observed_at=later),  # taken back
        label(4, label_score=1.0, landed_partition=0, landed_offset=7),
        label(4, label_score=0.5, landed_partition=-1, landed_offset=3),  # imported
    ]
    write(tmp_path, *([row] for row in rows[::order]), spec=LABELS)
    query = "SELECT model, request_id, name, label_score FROM latest_labels ORDER BY ALL"
    assert ask(tmp_path, query) == [
        ("other", "r1", "label", 0.25),
        ("ranker", "r1", "label", 1.0),
        ("ranker", "r1", "revenue", 7.5),
        ("ranker", "r2", "label", 1.0),
        ("ranker", "r4", "label", 0.5),
    ]


@pytest.mark.parametrize(
    "query",
    [
        "FROM comparisons",
        "WITH a AS (FROM comparisons) FROM a",
        "FROM errors WHERE request_id IN (SELECT request_id FROM first_comparisons)",
        "DESCRIBE comparisons",
        "SUMMARIZE comparisons",
        "EXPLAIN ANALYZE SELECT count(request_id) FROM comparisons",
        'SELECT * FROM memory.main."Comparisons"',
        "PIVOT comparisons ON run IN ('live') USING count(*)",
        "SELECT (SELECT count(*) FROM comparisons)",
    ],
)
def test_whatever_a_query_reads_was_verified(tmp_path: Path, query: str) -> None:
    """An altered file is found however its table is named; without verifying, only its length is seen."""
    write(tmp_path, [comparison(1)])
    [file] = files(tmp_path, "comparisons")
    assert len(ask(tmp_path, query)) >= 0
    content = file.read_bytes()
    at = content.index(b"challenger")  # in a page or the statistics: the engine takes no notice
    file.write_bytes(content[:at] + b"C" + content[at + 1 :])
    with pytest.raises(DamagedLakeError, match=file.name):
        ask(tmp_path, query)
    assert ask(tmp_path, "SELECT count(*) FROM comparisons", verify=False) == [(1,)]
    assert ask(tmp_path, "SELECT count(*) FROM errors") == [(0,)]
    file.write_bytes(content[:-1])
    with pytest.raises(DamagedLakeError, match="is cut or altered"):
        ask(tmp_path, "SELECT count(*) FROM comparisons", verify=False)


def test_a_file_that_the_engine_cannot_read_is_named(tmp_path: Path) -> None:
    """Without verifying, the engine stumbles: the file is looked for and named."""
    write(tmp_path, [comparison(1)])
    [file] = files(tmp_path, "comparisons")
    file.write_bytes(b"x" * file.stat().st_size)
    with pytest.raises(DamagedLakeError, match=file.name):
        ask(tmp_path, "FROM comparisons", verify=False)


def test_files_removed_before_they_were_read_are_looked_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compaction between the log and the files: the query goes on at the new version."""
    write(tmp_path, [comparison(1)], [comparison(2)])
    really = check_files
    calls: list[int] = []

    def compacting(*arguments: Any, **options: Any) -> int:
        calls.append(1)
        if len(calls) == 1:
            table = DeltaTable(str(tmp_path / "comparisons"))
            table.optimize.compact()
            table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
        return really(*arguments, **options)

    monkeypatch.setattr(sandbox, "check_files", compacting)
    assert ask(tmp_path, "SELECT count(*) FROM comparisons") == [(2,)]


def test_a_query_ends_when_its_time_is_up(tmp_path: Path) -> None:
    """One that would never end is stopped, while it gathers and while it hands out rows."""
    for query in (ENDLESS, "SELECT hash(a.range) FROM range(1_000_000) a, range(1_000_000) b"):
        with pytest.raises(LakeError, match=r"stopped after 0\.3 s"):
            ask(tmp_path, query, limits=Limits(seconds=0.3))


def test_a_query_ends_with_ctrl_c(tmp_path: Path) -> None:
    """The signal that Ctrl-C sends ends the query, and no other error is made of it."""
    timer = Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            ask(tmp_path, ENDLESS)
    finally:
        timer.cancel()


def test_a_reader_who_had_enough_leaves_nothing_running(tmp_path: Path) -> None:
    """The first rows of an endless answer can be read, and the rest left."""
    with open_query(tmp_path, "SELECT hash(a.range) FROM range(1_000_000) a, range(1_000_000) b") as answer:
        assert next(answer.rows)


def test_a_query_that_takes_too_much_memory_says_so(tmp_path: Path) -> None:
    """With the option that gives it more."""
    query = "SELECT list(a.range) FROM range(20_000_000) a"
    with pytest.raises(LakeError, match="takes more than 20MB: give it more"):
        ask(tmp_path, query, limits=Limits("20MB"))


@pytest.mark.parametrize(
    "memory", ["much", "-1GB", "1", "1GB'; SELECT 1", "\N{ARABIC-INDIC DIGIT ONE}GB", ""]
)
def test_a_size_that_is_none_is_refused(memory: str) -> None:
    """Memory is a number and a unit."""
    with pytest.raises(SettingsError, match="write a number and its unit"):
        Limits(memory)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    """A query has some time, or all of it."""
    with pytest.raises(SettingsError, match="more than no time"):
        Limits(seconds=seconds)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "the query is empty"),
        (" -- nothing\n;", "the query is empty"),
        ("SELECT 1; SELECT 2", "these are 2 statements"),
        ("SELEC 1", 'cannot be parsed: syntax error at or near "SELEC" (line 1, column 1)'),
        ("SELECT 1,\n  2 3 4", "(line 2, column 5)"),
        ("EXPLAIN\n SELEC 1", "(line 2, column 2)"),
        ("SELECT\n  modle\nFROM comparisons", "(line 2, at modle)"),
        ("FROM comparison", 'Did you mean "comparisons"? (line 1, at comparison)'),
        ("SELECT nope(1)", "(line 1, at nope"),
        ("SELECT 'x'::INT", "Could not convert string 'x'"),
        ("SELECT 1 + \x1b[31m", "syntax error"),
        ("SELECT ?", "parameter"),
        ("SELECT \0", "NUL"),
        ("SELECT '\udc80'", "cannot be parsed"),
        ("SELECT " + "(" * 20_000 + "1" + ")" * 20_000, "cannot be parsed"),
        ("INSERT INTO comparisons SELECT 1", "only queries that read are run"),
        ("FROM read_csv('x.csv')", "read_csv() is not there"),
    ],
)
def test_a_query_that_cannot_run_says_why_in_a_line(tmp_path: Path, query: str, said: str) -> None:
    """What is wrong, and where in the query; nothing in it acts on a terminal."""
    with pytest.raises(QueryError) as caught:
        ask(tmp_path, query)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_an_error_among_the_rows_is_one_sentence(tmp_path: Path) -> None:
    """One that shows only while rows are handed out."""
    write(tmp_path, [comparison(1)])
    with pytest.raises(QueryError, match="Could not convert string 'r1' to INT"):
        ask(tmp_path, "SELECT request_id::INT FROM comparisons")


def test_a_transaction_of_another_query_is_none_of_this(tmp_path: Path) -> None:
    """Queries share nothing: an error in one leaves the next as it was."""
    with pytest.raises(QueryError):
        ask(tmp_path, "SELECT 'x'::INT")
    assert ask(tmp_path, "SELECT 1 AS a, 2 AS a, 3 AS a_1") == [(1, 2, 3)]
    with open_query(tmp_path, "SELECT 1 AS a, 2 AS a, 3 AS a_1") as answer:
        assert len({*answer.columns}) == 3
