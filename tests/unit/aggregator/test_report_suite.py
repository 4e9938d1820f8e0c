from __future__ import annotations

import json
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shadowlane.aggregator import Scope
from shadowlane.aggregator.report._suite import Exported, export_suite
from shadowlane.errors import SettingsError, SuiteFileError
from shadowlane.lake import LABELS, REQUESTS
from shadowlane.replay_worker import Isolation, ModelSource, Target, WorkerPlan
from shadowlane.replay_worker.suite import SuiteResult, run_suite
from shadowlane.schemas.suite import read_suite
from unit.aggregator.report_lake import NOON, Row, append, comparison, land

SCOPE = Scope("ranker", "challenger")


def features(n: int) -> dict[str, Any]:
    """Every kind of feature, and one that is missing."""
    return {
        "numbers": [("amount", n / 4), ("odd", float("nan"))],
        "integers": [("n", n)],
        "flags": [("new", n % 2 == 0)],
        "strings": [("plan", "pro")],
        "vectors": [("embedding", [0.5, 1.5])],
        "json": [("nested", '{"a": 1}')],
        "missing": ["history"],
    }


def disagreement(n: int, **changes: Any) -> Row:
    """A disagreement as a worker sends it: with features."""
    given = {"shadow_score": 0.9, "difference": 0.4, "agreement": False, "features": features(n)}
    return comparison(n, **(given | changes))


def segmented(n: int) -> list[tuple[str, str]]:
    """A country, by the request's number."""
    return [("country", "BR" if n % 3 == 0 else "DE")]


def label(n: int, **changes: Any) -> Row:
    """What turned out to be right for the n-th request."""
    row = {
        "request_id": f"r{n}",
        "name": "label",
        "label_label": "good",
        "observed_at": NOON,
        "source": "test",
        "landed_partition": 0,
        "landed_offset": n,
        "model": "ranker",
        "date": NOON.date(),
    }
    return row | changes


def a_lake(folder: Path) -> Path:
    """300 requests: all of BR's disagree, and a few others."""
    return land(
        folder / "lake",
        [
            disagreement(n, segments=segmented(n), difference=n / 1000)
            if n % 3 == 0 or n in (1, 298)
            else comparison(n, segments=segmented(n))
            for n in range(300)
        ],
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with the models that the tests run."""
    (tmp_path / "suite_models.py").write_text(
        "def same(features): return 0.5\n"
        "def other(features): return 0.9\n"
        "def told(features): return {'label': 'good'}\n"
        "def fussy(features):\n"
        "    if features['n'] % 2: raise KeyError('history')\n"
        "    return 0.5 if features['embedding'] == [0.5, 1.5] and features['history'] is None else 0.9\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def run(folder: Path, suite: Path, model: str) -> SuiteResult:
    """A model on a suite, in this process."""
    source = ModelSource(f"python:suite_models:{model}")
    made = WorkerPlan(Target("ranker", "next"), source, isolation=Isolation(kind="none"))
    return run_suite(made, suite, stop=Event())


@pytest.mark.parametrize("name", ["suite.jsonl", "suite.parquet"])
def test_a_suite_holds_rules_the_largest_and_a_sample(tmp_path: Path, name: str) -> None:
    """Each row says why it is there; no request is there twice; features and predictions are whole."""
    found = export_suite(a_lake(tmp_path), SCOPE, tmp_path / name, rows=40)
    assert found == Exported(
        path=tmp_path / name,
        rows=40,
        disagreements=102,
        without_features=0,
        by_label=0,
        rules=("country = BR",),
    )
    rows = read_suite(tmp_path / name).to_pylist()
    assert len({row["request_id"] for row in rows}) == 40
    assert [row["why"] for row in rows] == ["country = BR"] * 20 + ["largest"] * 10 + ["sample"] * 10
    assert {row["segments"][0][1] for row in rows[:20]} == {"BR"}
    assert rows[20]["request_id"] == "r298"
    first = rows[0]
    number = int(first["request_id"][1:])
    kept = first["features"]
    assert (kept["numbers"][0], kept["integers"]) == (("amount", number / 4), [("n", number)])
    assert kept["numbers"][1][1] != kept["numbers"][1][1]
    assert (kept["vectors"], kept["missing"]) == ([("embedding", [0.5, 1.5])], ["history"])
    assert (first["expected"]["score"], first["expected_from"]) == (0.5, "primary")
    assert (first["shadow_prediction"]["score"], first["shadow"]) == (0.9, "challenger")
    assert (first["source_partition"], first["source_offset"]) == (number % 4, number // 4)


def test_the_same_lake_yields_the_same_bytes(tmp_path: Path) -> None:
    """Nothing in a suite depends on chance."""
    lake = a_lake(tmp_path)
    for name in ("a.jsonl", "b.jsonl"):
        export_suite(lake, SCOPE, tmp_path / name, rows=30)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_features_come_from_the_archive_where_comparisons_carry_none(tmp_path: Path) -> None:
    """And what neither has is counted as left out."""
    lake = land(tmp_path / "lake", [disagreement(n, features=None) for n in range(10)])
    rows = [
        {
            **{name: comparison(n)[name] for name in ("request_id", "event_time", "model", "date")},
            "landed_topic": "production-requests",
            "landed_partition": n % 4,
            "landed_offset": n // 4,
            "features": features(n),
        }
        for n in range(7)
    ]
    append(lake, REQUESTS, pa.Table.from_pylist(rows, schema=REQUESTS.schema))
    found = export_suite(lake, SCOPE, tmp_path / "suite.jsonl")
    assert (found.rows, found.disagreements, found.without_features) == (7, 10, 3)


def test_a_label_that_names_a_class_is_what_is_expected(tmp_path: Path) -> None:
    """The latest label counts; a number is no class, and a shadow of scores is held to the primary."""
    named = {"primary_label": "bad", "shadow_label": "good", "primary_score": None, "shadow_score": None}
    lake = land(tmp_path / "lake", [disagreement(n, **named) for n in range(3)] + [disagreement(3)])
    rows = [
        label(0, label_label="worse", observed_at=NOON.replace(hour=1)),
        label(0),
        label(1, label_label=None, label_score=1.0),
        label(3),
    ]
    append(lake, LABELS, pa.Table.from_pylist(rows, schema=LABELS.schema))
    found = export_suite(lake, SCOPE, tmp_path / "suite.jsonl")
    assert found.by_label == 1
    expected = {
        row["request_id"]: row["expected"] for row in read_suite(tmp_path / "suite.jsonl").to_pylist()
    }
    assert {name: each["label"] for name, each in expected.items()} == {
        "r0": "good",
        "r1": "bad",
        "r2": "bad",
        "r3": None,
    }


def test_a_scope_without_disagreements_has_no_suite(tmp_path: Path) -> None:
    """Nor has one whose comparisons carry no features; neither leaves a file."""
    agreeing = land(tmp_path / "a", [comparison(1)])
    with pytest.raises(SettingsError, match="none disagreed"):
        export_suite(agreeing, SCOPE, tmp_path / "suite.jsonl")
    bare = land(tmp_path / "b", [disagreement(1, features=None)])
    with pytest.raises(SettingsError, match="carries its features"):
        export_suite(bare, SCOPE, tmp_path / "suite.jsonl")
    with pytest.raises(SettingsError, match=r"end it in \.jsonl"):
        export_suite(agreeing, SCOPE, tmp_path / "suite.txt")
    assert not list(tmp_path.glob("*suite*"))


@pytest.mark.parametrize("name", ["suite.jsonl", "suite.parquet"])
def test_a_model_passes_when_it_answers_as_expected(asked: Path, name: str) -> None:
    """One that answers as the primary did passes; one that answers as the shadow did does not."""
    export_suite(a_lake(asked), SCOPE, asked / name, rows=30)
    passed = run(asked, asked / name, "same")
    assert (passed.passed, passed.count("agrees"), len(passed.answers)) == (True, 30, 30)
    failed = run(asked, asked / name, "other")
    assert (failed.passed, failed.count("disagrees")) == (False, 30)
    told = failed.to_dict()
    assert told["not_as_expected"][0]["why"] == "country = BR"
    assert json.dumps(told)


def test_a_model_that_fails_on_some_is_told_on_which(asked: Path) -> None:
    """A failure is no pass; the features that a request has come as they were."""
    export_suite(a_lake(asked), SCOPE, asked / "suite.jsonl", rows=30)
    found = run(asked, asked / "suite.jsonl", "fussy")
    odd = [each for each in found.answers if int(each.request_id[1:]) % 2]
    assert {each.came for each in odd} == {"failed"}
    assert {each.error for each in odd} == {"predict: KeyError"}
    assert {each.came for each in found.answers if each not in odd} == {"agrees"}
    assert not found.passed


def test_a_label_decides_on_a_run(asked: Path) -> None:
    """A shadow that says what the label says agrees, whatever the primary said."""
    named = {"primary_label": "bad", "shadow_label": "good", "primary_score": None, "shadow_score": None}
    lake = land(asked / "lake", [disagreement(n, **named) for n in range(2)])
    append(lake, LABELS, pa.Table.from_pylist([label(0)], schema=LABELS.schema))
    export_suite(lake, SCOPE, asked / "suite.jsonl")
    found = run(asked, asked / "suite.jsonl", "told")
    assert {each.request_id: each.came for each in found.answers} == {"r0": "agrees", "r1": "disagrees"}


def test_a_suite_of_another_model_or_of_nothing_is_refused(asked: Path) -> None:
    """What is not asserted is never a pass."""
    export_suite(a_lake(asked), SCOPE, asked / "suite.jsonl", rows=2)
    source = ModelSource("python:suite_models:same")
    other = WorkerPlan(Target("fraud", "next"), source, isolation=Isolation(kind="none"))
    with pytest.raises(SettingsError, match="another model"):
        run_suite(other, asked / "suite.jsonl", stop=Event())
    (asked / "empty.jsonl").write_text("\n")
    with pytest.raises(SettingsError, match="no request"):
        run(asked, asked / "empty.jsonl", "same")


def line(**changes: Any) -> dict[str, Any]:
    """A good row of JSON lines, with these changes."""
    row = {
        "request_id": "r1",
        "event_time": "2026-03-01T12:00:00+00:00",
        "model": "ranker",
        "features": {"numbers": {"amount": 1.5}},
        "expected": {"score": 0.5},
    }
    return row | changes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"request_id": 7}, "request_id is not text"),
        ({"request_id": None}, "no request_id"),
        ({"features": None}, "no features"),
        ({"features": {"amount": 1}}, "features is not an object with numbers"),
        ({"features": {"numbers": {"amount": "1"}}}, "features.numbers is not a number"),
        ({"features": {"numbers": {"amount": None}}}, "features.numbers is not without a null"),
        ({"features": {"integers": {"n": 2**70}}}, "features.integers is not a whole number"),
        ({"features": {"flags": {"new": 1}}}, "features.flags is not true or false"),
        ({"features": {"vectors": {"e": [1.0, None]}}}, "features.vectors is not without a null"),
        ({"expected": {"score": True}}, "expected.score is not a number"),
        ({"event_time": "yesterday"}, "event_time is no time"),
        ({"segments": ["BR"]}, "segments is not an object"),
        ({"source_partition": 2**40}, "source_partition is not a whole number"),
        ({"request_id": "\ud800"}, "request_id is not text"),
    ],
    ids=str,
)
def test_a_row_of_the_wrong_type_is_named_and_its_value_is_not(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    """A suite may come from anywhere: each part of a row is held to its type."""
    path = tmp_path / "suite.jsonl"
    path.write_text(json.dumps(line()) + "\n" + json.dumps(line(**changes)) + "\n")
    with pytest.raises(SuiteFileError, match=r"suite\.jsonl, (line|row) 2") as caught:
        read_suite(path)
    assert said in str(caught.value)


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe", b'"text"', b"[" * 100_000], ids=len)
def test_what_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    """With the line, and no traceback."""
    path = tmp_path / "suite.jsonl"
    path.write_bytes(content)
    with pytest.raises(SuiteFileError, match=r"suite\.jsonl, line 1: not "):
        read_suite(path)


def test_a_damaged_or_foreign_parquet_file_is_refused(tmp_path: Path) -> None:
    """Cut short, of other types, or with nulls where the schema has none."""
    path = tmp_path / "suite.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(SuiteFileError, match=r"suite\.parquet"):
        read_suite(path)
    pq.write_table(pa.table({"request_id": [1, 2], "features": ["a", "b"]}), path)
    with pytest.raises(SuiteFileError, match=r"suite\.parquet"):
        read_suite(path)
    with pytest.raises(SuiteFileError, match="cannot read"):
        read_suite(tmp_path / "none.jsonl")


def test_a_suite_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In rows, whatever their size."""
    monkeypatch.setattr("shadowlane.schemas.suite.MOST_ROWS", 2)
    path = tmp_path / "suite.jsonl"
    path.write_text((json.dumps(line()) + "\n") * 3)
    with pytest.raises(SuiteFileError, match="too large"):
        read_suite(path)
