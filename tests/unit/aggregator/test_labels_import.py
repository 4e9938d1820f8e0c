"""Labels from files: what they are, when they were known, and each of them in the lake once."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from labelled import HEADER, TIME, csv_of, imported, landed, written
from shadowlane.aggregator.labels import ImportPlan, LabelMapping, import_labels
from shadowlane.aggregator.labels._landing import LabelLanding
from shadowlane.errors import LabelFileError, SettingsError
from shadowlane.lake import LABELS, LATEST_FIRST, LATEST_LAST
from shadowlane.lake.care import CompactionPlan, compact
from unit.aggregator import report_lake

ALL = "label_score, label_label, label_vector, label_ranking"


def lines_of(path: Path, *labels: Any, **more: Any) -> Path:
    """A file of JSON lines with these labels."""
    rows = [
        {"request_id": f"r{n}", "label": label, "observed_at": TIME, **more} for n, label in enumerate(labels)
    ]
    return written(path, "".join(json.dumps(row) + "\n" for row in rows))


def parquet_of(path: Path, labels: pa.Array) -> Path:
    """A Parquet file with these labels."""
    ids = [f"r{number}" for number in range(len(labels))]
    times = pa.array([datetime(2026, 3, 1, tzinfo=UTC)] * len(labels), pa.timestamp("ns", "UTC"))
    pq.write_table(pa.table({"request_id": ids, "label": labels, "observed_at": times}), path)
    return path


@pytest.mark.parametrize(
    ("cells", "kind", "expected"),
    [
        (["1", "0"], "auto", [(None, "1"), (None, "0")]),
        (["1", "0.5"], "auto", [(1.0, None), (0.5, None)]),
        (["1", "0.5"], "label", [(None, "1"), (None, "0.5")]),
        (["1", "0"], "score", [(1.0, None), (0.0, None)]),
        (["1", "maybe"], "auto", [(None, "1"), (None, "maybe")]),
        (["True", "FALSE"], "auto", [(None, "true"), (None, "false")]),
        (["007", "+1"], "auto", [(None, "007"), (None, "+1")]),
        ([" 0.5", " 1"], "auto", [(0.5, None), (1.0, None)]),
        (["12345678901234567890", "1"], "auto", [(None, "12345678901234567890"), (None, "1")]),
        (["1e3", "-.5"], "auto", [(1000.0, None), (-0.5, None)]),
        (["[redacted", "x"], "auto", [(None, "[redacted"), (None, "x")]),
    ],
)
def test_a_column_of_text_is_what_all_of_it_looks_like(
    tmp_path: Path, cells: Sequence[str], kind: str, expected: list[Any]
) -> None:
    """A score where all are numbers and one is no integer; else labels, or what is said."""
    imported(csv_of(tmp_path / "a.csv", *cells), tmp_path / "lake", kind=kind)
    assert landed(tmp_path / "lake", "label_score, label_label") == expected


def test_each_name_is_judged_alone(tmp_path: Path) -> None:
    """Clicks of 0 and 1 are labels beside revenues that are scores."""
    content = (
        f"request_id,what,label,observed_at\nr1,click,1,{TIME}\nr1,revenue,12.5,{TIME}\nr2,revenue,3,{TIME}\n"
    )
    done = imported(written(tmp_path / "a.csv", content), tmp_path / "lake", name_column="what")
    assert done.kinds == {"click": "label", "revenue": "score"}
    assert landed(tmp_path / "lake", "name, label_score, label_label") == [
        ("click", None, "1"),
        ("revenue", 12.5, None),
        ("revenue", 3.0, None),
    ]


def test_json_says_what_a_label_is(tmp_path: Path) -> None:
    """Text is text, whatever is in it; lists are vectors or rankings, row by row."""
    labels = ["1", 7, True, "nul\\l", "null", [0.5, 1], ["a", "b"], "é\n"]
    imported(lines_of(tmp_path / "a.jsonl", *labels), tmp_path / "lake")
    assert landed(tmp_path / "lake", ALL) == [
        *((None, text, None, None) for text in ("1", "7", "true", "nul\\l", "null")),
        (None, None, [0.5, 1.0], None),
        (None, None, None, ["a", "b"]),
        (None, "é\n", None, None),
    ]


@pytest.mark.parametrize("name", ["a.b", "a/b", "a~b", "a*b", "it's", '"quoted"', "0", "$", "[0]", "ä {n}"])
def test_a_name_in_json_is_a_name_and_no_path(tmp_path: Path, name: str) -> None:
    """Whatever letters it has."""
    content = json.dumps({"request_id": "r1", name: 0.5, "a": {"b": "x"}, "observed_at": TIME}) + "\n"
    imported(written(tmp_path / "a.jsonl", content), tmp_path / "lake", label_column=name)
    assert landed(tmp_path / "lake", "label_score") == [(0.5,)]


@pytest.mark.parametrize("label", [{"a": 1}, [1, "a"], [None], [True], float("nan"), [[1]]])
def test_json_that_is_no_label_is_a_bad_row(tmp_path: Path, label: Any) -> None:
    """By its line, and without its value."""
    with pytest.raises(LabelFileError, match="line 2, column 'label': expected a "):
        imported(lines_of(tmp_path / "a.jsonl", 0.5, label), tmp_path / "lake")


def test_lines_that_are_no_json_are_bad_rows(tmp_path: Path) -> None:
    """Blank ones are none at all; ids may be integers, and nothing else that is no text."""
    good = json.dumps({"request_id": 17, "label": 1, "observed_at": TIME})
    wrong = [
        json.dumps({"request_id": each, "label": 1, "observed_at": TIME}) for each in (1.5, None, [1], "")
    ]
    content = "\n".join([good, "", "{", '"x"', *wrong, '{"request_id": "r"}', good]).encode() + b"\n\xff"
    done = imported(written(tmp_path / "a.jsonl", content), tmp_path / "lake", plan={"skip_bad": True})
    assert (done.rows, done.landed, done.bad) == (10, 2, 8)
    assert [(fault.column, fault.first) for fault in done.faults] == [
        (None, (3, 4, 11)),
        ("request_id", (5, 6, 7, 8)),
        ("label", (9,)),
    ]
    assert landed(tmp_path / "lake", "request_id, landed_offset") == [("17", 1), ("17", 10)]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (pa.array([1, 0]), (None, "1", None, None)),
        (pa.array([1.0, 2.0]), (1.0, None, None, None)),
        (pa.array([0.1, 2.0], pa.float32()), (0.1, None, None, None)),
        (pa.array([True, False]), (None, "true", None, None)),
        (pa.array(["0.5", "x"]).dictionary_encode(), (None, "0.5", None, None)),
        (pa.array(["0.5", "1"], pa.large_string()), (None, "0.5", None, None)),
        (pa.array([[1, 2], [3]]), (None, None, [1.0, 2.0], None)),
        (pa.array([["a"], ["b"]]), (None, None, None, ["a"])),
    ],
)
def test_parquet_has_typed_its_labels(tmp_path: Path, labels: pa.Array, expected: tuple[Any, ...]) -> None:
    """Each type is what a model's answer of that type would be."""
    imported(parquet_of(tmp_path / "a.parquet", labels), tmp_path / "lake")
    assert landed(tmp_path / "lake", ALL)[0] == expected


@pytest.mark.parametrize(
    "labels", [pa.array([0.5, float("nan")]), pa.array([[1.0], [None]]), pa.array([0.5, None])]
)
def test_a_bad_row_of_parquet_has_a_number(tmp_path: Path, labels: pa.Array) -> None:
    """The first row is row 1."""
    with pytest.raises(LabelFileError, match="row 2, column 'label': expected a "):
        imported(parquet_of(tmp_path / "a.parquet", labels), tmp_path / "lake")


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("2026-03-01T12:00:00Z", {}, "2026-03-01T12:00:00"),
        ("2026-03-01 12:00:00 +02:00", {}, "2026-03-01T10:00:00"),
        ("2026-03-01 12:00:00.123456789 UTC", {}, "2026-03-01T12:00:00.123456"),
        ("2024-02-29T12:00Z", {}, "2024-02-29T12:00:00"),
        ("2026-03-01", {"timezone": "Europe/Berlin"}, "2026-02-28T23:00:00"),
        ("2026-07-01T12:00:00", {"timezone": "Europe/Berlin"}, "2026-07-01T10:00:00"),
        ("2026-07-01T12:00:00Z", {"timezone": "Europe/Berlin"}, "2026-07-01T12:00:00"),
        ("1772366400.5", {"epoch": "s"}, "2026-03-01T12:00:00.500000"),
        ("1772366400500", {"epoch": "ms"}, "2026-03-01T12:00:00.500000"),
        ("2026-03-01T12:00:00", {}, None),
        ("1772366400", {}, None),
        ("1772366400500", {"epoch": "s"}, None),
        ("2026-13-01T12:00:00Z", {}, None),
        ("2026-10-25T02:30:00", {"timezone": "Europe/Berlin"}, None),
        ("2026-03-29T02:30:00", {"timezone": "Europe/Berlin"}, None),
        ("0000-01-01T00:00:00Z", {}, None),
        ("3026-03-01T12:00:00Z", {}, None),
        ("", {"timezone": "UTC"}, None),
    ],
)
@pytest.mark.parametrize("beside", ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00 Z"])
def test_a_time_has_a_zone_or_is_refused(
    tmp_path: Path, text: str, options: dict[str, str], expected: str | None, beside: str
) -> None:
    """Its own, or that of all; one that the zone has twice or never, as clocks change, is no time."""
    content = f"{HEADER}r0,1,{beside}\nr1,1,{text}\n"
    file = written(tmp_path / "a.csv", content)
    done = imported(file, tmp_path / "lake", plan={"skip_bad": True, "dry_run": expected is None}, **options)
    if expected is None:
        assert [(fault.column, fault.first) for fault in done.faults] == [("observed_at", (3,))]
    else:
        micros = landed(tmp_path / "lake", "epoch_us(observed_at)")[1][0]
        assert datetime.fromtimestamp(micros / 1e6, UTC).replace(tzinfo=None) == datetime.fromisoformat(
            expected
        )


def test_times_of_parquet_without_a_zone_need_one(tmp_path: Path) -> None:
    """A day is midnight there."""
    for name, times in (("a", pa.array([0], pa.timestamp("s"))), ("b", pa.array([0], pa.date32()))):
        file = tmp_path / name
        pq.write_table(pa.table({"request_id": ["r1"], "label": [0.5], "observed_at": times}), file)
        with pytest.raises(LabelFileError, match="row 1, column 'observed_at': expected a time with a zone"):
            imported(file, tmp_path / "lake")
        imported(file, tmp_path / "lake", timezone="America/New_York")
    assert landed(tmp_path / "lake", "epoch_us(observed_at)") == [(18_000_000_000,)] * 2


def test_one_time_for_all(tmp_path: Path) -> None:
    """Where the file does not say when."""
    moment = datetime(2026, 3, 1, 1, tzinfo=UTC)
    imported(written(tmp_path / "a.csv", "request_id,label\nr1,1\n"), tmp_path / "lake", observed_at=moment)
    assert landed(tmp_path / "lake", "date::VARCHAR") == [("2026-03-01",)]


@pytest.mark.parametrize(
    ("empty", "labels", "counts"),
    [
        ("skip", [(None, "1"), (None, "0")], (2, 1)),
        ("withdraw", [(None, "1"), (None, None), (None, "0")], (3, 0)),
    ],
)
def test_a_row_without_a_label_is_what_its_importer_says(
    tmp_path: Path, empty: str, labels: list[Any], counts: tuple[int, int]
) -> None:
    """Bad, unless it is to be left out or to take back what was said."""
    file = csv_of(tmp_path / "a.csv", "1", "", "0")
    with pytest.raises(LabelFileError, match="line 3, column 'label': expected a label; there is none"):
        imported(file, tmp_path / "lake")
    done = imported(file, tmp_path / "lake", empty=empty)
    assert (done.landed, done.empty) == counts
    assert landed(tmp_path / "lake", "label_score, label_label") == labels


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "a", "model_column": "m"},
        {"model": "../up"},
        {"observed_at": datetime(2026, 3, 1, tzinfo=UTC), "observed_at_column": "t"},
        {"observed_at": datetime(2026, 3, 1)},  # noqa: DTZ001 - that is what is wrong with it
        {"name": ""},
        {"kind": "number"},
        {"timezone": "Mars/Olympus"},
        {"timezone": "/etc/passwd"},
        {"epoch": "h"},
        {"delimiter": "::"},
        {"delimiter": '"'},
    ],
)
def test_a_mapping_that_cannot_hold_is_refused(wrong: dict[str, Any]) -> None:
    """Before a file is looked at."""
    with pytest.raises(SettingsError, match=r"--|model name"):
        LabelMapping(**wrong)


def test_a_model_that_can_be_no_folder_is_a_bad_row(tmp_path: Path) -> None:
    """And so is none at all."""
    content = f"model,{HEADER}fraud,r1,1,{TIME}\n../up,r1,1,{TIME}\n,r1,1,{TIME}\n"
    file = written(tmp_path / "a.csv", content)
    done = imported(file, tmp_path / "lake", model_column="model", plan={"skip_bad": True})
    assert (done.landed, done.bad) == (1, 2)
    assert {fault.column for fault in done.faults} == {"model"}


def test_names_without_end_are_the_wrong_column(tmp_path: Path) -> None:
    """What differs in each row is no name of an outcome."""
    file = csv_of(tmp_path / "a.csv", *map(str, range(1001)))
    with pytest.raises(LabelFileError, match=r"more than 1,000 names .*'request_id'"):
        imported(file, tmp_path / "lake", name_column="request_id")


def test_a_second_import_of_the_same_adds_nothing(tmp_path: Path) -> None:
    """Whatever the file is called by then; another mapping is another import."""
    file, lake = csv_of(tmp_path / "a.csv", *"abcde"), tmp_path / "lake"
    assert imported(file, lake).landed == 5
    again = imported(file.rename(tmp_path / "b.csv"), lake)
    assert (again.landed, again.already_there) == (0, 5)
    assert imported(tmp_path / "b.csv", lake, name="other").landed == 5
    assert len(landed(lake)) == 10


def test_an_import_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    """It says how many rows are left, and how many were there."""
    file, lake, stop = csv_of(tmp_path / "a.csv", *map(str, range(10))), tmp_path / "lake", Event()
    plan = ImportPlan(str(file), lake, LabelMapping(model="fraud"), commit_rows=3)

    def follow(step: str, done: int, _whole: int) -> None:
        if (step, done) == ("rows landed", 6):
            stop.set()

    first = import_labels(plan, stop=stop, follow=follow)
    assert (first.landed, first.left, first.already_there) == (6, 4, 0)
    second = import_labels(plan)
    assert (second.landed, second.left, second.already_there) == (4, 0, 6)
    assert [label for (label,) in landed(lake, "label_label")] == [*map(str, range(10))]


def test_two_imports_at_once_land_each_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of one file, and another beside them: they take turns, and each has its own number."""
    lake = tmp_path / "lake"
    one = csv_of(tmp_path / "a.csv", *map(str, range(40)))
    other = csv_of(tmp_path / "b.csv", *map(str, range(100, 140)))
    together = Barrier(3)
    really = LabelLanding.__init__

    def meet(*given: Any) -> None:
        really(*given)
        together.wait(60)

    monkeypatch.setattr(LabelLanding, "__init__", meet)
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda file: imported(file, lake, plan={"commit_rows": 5}), (one, one, other)))
    assert sum(each.landed for each in done) == 80
    assert done[0].landed + done[1].landed == 40
    assert sorted(int(label) for (label,) in landed(lake, "label_label")) == [*range(40), *range(100, 140)]
    assert {number for (number,) in landed(lake, "landed_partition")} == {-1, -2}


def test_a_dry_run_lands_nothing(tmp_path: Path) -> None:
    """It says what would, and makes no table."""
    file, lake = csv_of(tmp_path / "a.csv", *"abcde"), tmp_path / "lake"
    done = imported(file, lake, plan={"dry_run": True})
    assert (done.landed, done.already_there) == (5, 0)
    assert not lake.exists()
    imported(file, lake)
    again = imported(file, lake, plan={"dry_run": True})
    assert (again.landed, again.already_there) == (0, 5)


def test_what_repeats_and_what_corrects_is_counted_apart(tmp_path: Path) -> None:
    """In the order of their times, whatever the order of the rows."""
    rows = [("r1", "1", 1), ("r1", "0", 3), ("r1", "1", 2), ("r1", "0", 4), ("r2", "1", 1), ("r3", "1", 1)]
    content = HEADER + "".join(f"{id_},{label},2026-03-01T12:00:0{second}Z\n" for id_, label, second in rows)
    done = imported(written(tmp_path / "a.csv", content), tmp_path / "lake")
    assert (done.duplicates, done.corrections) == (2, 1)


def test_scores_written_differently_are_the_same(tmp_path: Path) -> None:
    """1.0 said again as 1.00 is no correction; as labels they differ."""
    content = f"{HEADER}r1,1.0,{TIME}\nr1,1.00,{TIME}\n"
    file = written(tmp_path / "a.csv", content)
    done = [imported(file, tmp_path / "lake", kind=kind) for kind in ("auto", "label")]
    assert [(each.duplicates, each.corrections) for each in done] == [(1, 0), (0, 1)]


def test_requests_that_the_lake_does_not_know_are_counted(tmp_path: Path) -> None:
    """Where it knows any of the model; they land all the same."""
    file, lake = csv_of(tmp_path / "a.csv", *"abcde"), tmp_path / "lake"
    assert imported(file, lake, model="ranker").unknown_ids is None
    report_lake.land(lake, [report_lake.comparison(n) for n in (1, 2)], [report_lake.error(4)])
    assert imported(file, lake, model="ranker", name="other").unknown_ids == 2
    assert imported(file, lake, model="another").unknown_ids is None


def test_a_lake_with_a_damaged_table_takes_labels_still(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whose requests they are is not counted then, and the log says why."""
    file, lake = csv_of(tmp_path / "a.csv", *"abcde"), tmp_path / "lake"
    report_lake.land(lake, [report_lake.comparison(1)])
    [damaged] = report_lake.files(lake, "comparisons")
    damaged.write_bytes(damaged.read_bytes()[:-40])
    done = imported(file, lake, model="ranker")
    assert (done.landed, done.unknown_ids) == (5, None)
    assert "was not counted" in caplog.text


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of one state and half of another would land under the hash of neither."""
    file = csv_of(tmp_path / "a.csv", *"abcde")

    def changed(step: str, *_counts: int) -> None:
        if step == "bytes checked":
            with file.open("a") as target:
                target.write(f"r9,z,{TIME}\n")

    with pytest.raises(LabelFileError, match="was changed while it was read"):
        import_labels(ImportPlan(str(file), tmp_path / "lake", LabelMapping(model="fraud")), follow=changed)
    assert not (tmp_path / "lake").exists()


def test_standard_input_and_a_pipe_are_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes are the same import, wherever they come from."""
    content, lake = csv_of(tmp_path / "a.csv", *"abc").read_bytes(), tmp_path / "lake"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    done = imported(Path("-"), lake)
    assert (done.file, done.landed) == ("standard input", 3)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(pipe.write_bytes, content)
        assert imported(pipe, lake).already_there == 3
        writing.result(10)


def test_labels_of_any_age_lie_in_their_own_day(tmp_path: Path) -> None:
    """By the time at which they were known; each folder has its own files."""
    times = ["1999-12-31T23:59:59Z", "2026-03-01T00:00:00Z", "2026-02-28T23:59:59.999999Z"]
    content = HEADER + "".join(f"r{n},1,{time}\n" for n, time in enumerate(times))
    imported(written(tmp_path / "a.csv", content), tmp_path / "lake")
    assert landed(tmp_path / "lake", "date::VARCHAR") == [("1999-12-31",), ("2026-03-01",), ("2026-02-28",)]


def latest(lake: Path) -> dict[str, str | None]:
    """Which label counts for each request, by the rule, read forwards and backwards."""
    files = DeltaTable(str(lake / "labels")).file_uris()
    rows = duckdb.execute(
        f"SELECT request_id, first(label_label ORDER BY {LATEST_FIRST}), "  # noqa: S608 - of constants
        f"last(label_label ORDER BY {LATEST_LAST}) FROM read_parquet($files) GROUP BY request_id",
        {"files": files},
    ).fetchall()
    assert all(first == last for _, first, last in rows)
    return {request: label for request, label, _ in rows}


def from_topic(lake: Path, rows: Sequence[tuple[str, str, datetime, int, int]]) -> None:
    """Labels as the aggregator lands them."""
    table = pa.Table.from_pylist(
        [
            {
                "request_id": request,
                "name": "label",
                "label_label": label,
                "observed_at": moment,
                "source": "",
                "landed_partition": partition,
                "landed_offset": offset,
                "model": "fraud",
                "date": moment.date(),
            }
            for request, label, moment, partition, offset in rows
        ],
        schema=LABELS.schema,
    )
    report_lake.append(lake, LABELS, table)


def test_the_latest_counts_and_ties_are_settled_by_columns_alone(tmp_path: Path) -> None:
    """An import before the topic, a later import before an earlier one; a compaction changes nothing."""
    lake, noon = tmp_path / "lake", datetime(2026, 3, 1, 12, tzinfo=UTC)
    later = noon.replace(microsecond=1)
    imported(csv_of(tmp_path / "a.csv", "first", "first", "first", "first"), lake)
    imported(csv_of(tmp_path / "b.csv", "second", "second"), lake)
    from_topic(lake, [("r0", "topic", noon, 0, 9), ("r2", "topic", later, 0, 10), ("r9", "b", noon, 1, 5)])
    from_topic(lake, [("r9", "a", noon, 1, 4)])
    expected = {"r0": "second", "r1": "second", "r2": "topic", "r3": "first", "r9": "b"}
    assert latest(lake) == expected
    compact(CompactionPlan(lake, (LABELS,)))
    assert len(DeltaTable(str(lake / "labels")).file_uris()) == 1
    assert latest(lake) == expected
