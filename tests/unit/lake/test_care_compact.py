"""Compaction: many small files become few, no value changes, and nobody who writes meanwhile is lost."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, DeltaTable, Field, Transaction
from deltalake.schema import PrimitiveType
from deltalake.transaction import AddAction
from hypothesis import given, settings
from hypothesis import strategies as st

from care_lakes import APP, NOON, entries, files, fill, numbers, read, rows_of, small_commits, to_the_bit
from shadowlane.errors import DamagedLakeError, LakeError
from shadowlane.lake import COMPARISONS, DEAD_LETTERS, LEDGER, LakeTable
from shadowlane.lake._parts import sha256_of
from shadowlane.lake.care import Compacted, CompactionPlan, compact
from shadowlane.lake.care._compact import _Compaction
from shadowlane.lake.care._opened import GUARD

NAN = struct.unpack("<d", bytes.fromhex("0100000000c0f87f"))[0]  # one of the many


def one(plan: CompactionPlan, **how: Any) -> Compacted:
    """Compact a lake of one table."""
    (done,) = compact(plan, **how)
    return done


def test_many_small_files_become_one_of_all_rows_in_order(tmp_path: Path) -> None:
    """The rows of all files together are in the table's order, whatever the order in which they came."""
    fill(tmp_path, [entries(number) for number in (7, 3, 9, 1, 5, 0, 8, 2, 6, 4)])
    done = one(CompactionPlan(tmp_path))
    assert (done.joined, done.into, done.rows, done.files) == (10, 1, 10, 1)
    (file,) = files(tmp_path)
    assert [row["landed_offset"] for row in read(file)] == list(range(10))
    assert done.into_bytes == file.stat().st_size


def test_a_new_file_is_named_by_its_hash_and_has_its_figures_in_the_log(tmp_path: Path) -> None:
    """Readers prune by them, and check by the name."""
    small_commits(tmp_path, 3)
    compact(CompactionPlan(tmp_path))
    (action,) = pa.table(DeltaTable(str(tmp_path / "ledger")).get_add_actions(flatten=True)).to_pylist()
    assert sha256_of(action["path"]) is not None
    assert (action["num_records"], action["min.landed_offset"], action["max.landed_offset"]) == (3, 0, 2)
    assert action["min.recorded_at"] <= NOON
    assert action["max.recorded_at"] >= NOON + timedelta(microseconds=2)
    assert (action["partition.model"], str(action["partition.date"])) == ("fraud", "2026-03-01")


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_every_value_is_the_same_to_the_bit(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Floats of any bits, nulls, empty and missing maps, lists and structs, and microseconds."""
    lake = tmp_path_factory.mktemp("lake")
    numbers_of = st.floats() | st.sampled_from([NAN, math.nan, -0.0, 0.0, math.inf, 5e-324])
    floats, texts = st.none() | numbers_of, st.none() | st.text(max_size=5)
    maps = st.lists(st.tuples(st.text(max_size=3), numbers_of), max_size=3)
    features = st.one_of(
        st.none(),
        st.fixed_dictionaries({"numbers": maps, "missing": st.lists(st.text(max_size=3), max_size=2)}),
    )
    columns = {
        "event_time": st.integers(-(2**40), 2**40).map(lambda each: NOON + timedelta(microseconds=each)),
        "request_id": texts,
        "primary_score": floats,
        "shadow_vector": st.one_of(st.none(), st.lists(floats, max_size=3)),
        "agreement": st.sampled_from([True, False, None]),
        "segments": st.one_of(
            st.none(), st.lists(st.tuples(st.text(max_size=3), st.text(max_size=5)), max_size=2)
        ),
        "features": features,
    }
    commits = []
    for number in range(data.draw(st.integers(2, 4))):
        count = data.draw(st.integers(1, 4))
        values = {
            name: data.draw(st.lists(each, min_size=count, max_size=count)) for name, each in columns.items()
        }
        values |= {"model": ["fraud"] * count, "date": [NOON.date()] * count}
        values |= {"landed_partition": [number] * count, "landed_offset": list(range(count))}
        commits.append(rows_of(COMPARISONS, count, values))
    fill(lake, commits, COMPARISONS, "comparisons-0")

    def rows() -> list[Any]:
        found = [to_the_bit(row) for file in files(lake, "comparisons") for row in read(file)]
        return sorted(found, key=lambda row: (row["landed_partition"], row["landed_offset"]))

    before = rows()
    compact(CompactionPlan(lake))
    assert len(files(lake, "comparisons")) == 1
    assert rows() == before


def test_more_rows_than_a_slice_are_the_same_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that overlap in time, written in slices of a few rows each, from batches of as few."""
    monkeypatch.setattr("shadowlane.lake.care._merging._SLICE", 4_000)
    monkeypatch.setattr("shadowlane.lake.care._merging._FIRST_ROWS", 3)
    monkeypatch.setattr("shadowlane.lake.care._spool._BATCH", 7)
    fill(tmp_path, [entries(*range(start, 500, 5), producer_id=["p" * start] * 100) for start in range(5)])
    compact(CompactionPlan(tmp_path))
    (file,) = files(tmp_path)
    assert pq.ParquetFile(file).metadata.num_row_groups > 10
    assert [(row["landed_offset"], row["producer_id"]) for row in read(file)] == [
        (number, "p" * (number % 5)) for number in range(500)
    ]


def test_each_folder_keeps_its_own_rows(tmp_path: Path) -> None:
    """Models, days, and the folder of rows without a model."""
    for model in ("fraud", "ranker", None):
        small_commits(tmp_path, 2, model=model)
    tomorrow = [NOON + timedelta(days=1)] * 2
    fill(tmp_path, [entries(*pair, date=[each.date() for each in tomorrow]) for pair in ((90, 91), (92, 93))])
    assert one(CompactionPlan(tmp_path)).files == 4
    folders = {str(file.parent.relative_to(tmp_path / "ledger")): read(file) for file in files(tmp_path)}
    assert {folder: len(rows) for folder, rows in folders.items()} == {
        "model=fraud/date=2026-03-01": 2,
        "model=fraud/date=2026-03-02": 4,
        "model=ranker/date=2026-03-01": 2,
        "model=__HIVE_DEFAULT_PARTITION__/date=2026-03-01": 2,
    }
    listed = pa.table(DeltaTable(str(tmp_path / "ledger")).get_add_actions(flatten=True)).to_pylist()
    assert {each["partition.model"] for each in listed} == {"fraud", "ranker", None}


def test_dead_letters_are_joined_too(tmp_path: Path) -> None:
    """Their table has no models, and another order."""
    letters = [
        rows_of(DEAD_LETTERS, 1, {"topic": [topic], "date": [NOON.date()], "landed_offset": [1]})
        for topic in ("b", "a", "c")
    ]
    fill(tmp_path, letters, DEAD_LETTERS)
    compact(CompactionPlan(tmp_path))
    (file,) = files(tmp_path, "dead_letters")
    assert [row["topic"] for row in read(file)] == ["a", "b", "c"]


def test_files_that_are_large_already_stay(tmp_path: Path) -> None:
    """Only what is less than half of what a file is to become is written again."""
    names = [sha256(f"{number}".encode()).hexdigest() for number in range(20_000)]
    fill(tmp_path, [entries(*range(20_000), producer_id=names)])
    (large,) = files(tmp_path)
    assert large.stat().st_size > 2**19
    small_commits(tmp_path, 5, first=20_000)
    assert one(CompactionPlan(tmp_path, target_bytes=2**20)).joined == 5
    assert len(files(tmp_path)) == 2
    assert large in files(tmp_path)


def test_a_second_run_finds_nothing_to_do(tmp_path: Path) -> None:
    """And leaves the table at its version."""
    small_commits(tmp_path, 5)
    compact(CompactionPlan(tmp_path))
    version = DeltaTable(str(tmp_path / "ledger")).version()
    assert one(CompactionPlan(tmp_path)).joined == 0
    assert DeltaTable(str(tmp_path / "ledger")).version() == version


def test_a_dry_run_changes_nothing_and_says_what_would_be_done(tmp_path: Path) -> None:
    """Neither a file nor the log."""
    small_commits(tmp_path, 5)
    before = sorted(tmp_path.rglob("*"))
    done = one(CompactionPlan(tmp_path, dry_run=True))
    assert (done.joined, done.into, done.rows, done.into_bytes) == (5, 1, 5, None)
    assert sorted(tmp_path.rglob("*")) == before


def test_only_days_that_ended_long_enough_ago(tmp_path: Path) -> None:
    """The day that is being written to can be left alone."""
    small_commits(tmp_path, 3)
    assert one(CompactionPlan(tmp_path, older_than=timedelta(days=20_000))).joined == 0
    assert one(CompactionPlan(tmp_path, older_than=timedelta(0))).joined == 3


def test_only_the_model_that_was_named(tmp_path: Path) -> None:
    """The others' files stay."""
    small_commits(tmp_path, 2)
    small_commits(tmp_path, 2, model="ranker")
    assert one(CompactionPlan(tmp_path, model="ranker")).files == 3


def test_a_column_that_came_later_is_null_in_the_rows_of_before(tmp_path: Path) -> None:
    """Files of several versions of the events become one."""
    small_commits(tmp_path, 2)
    DeltaTable(str(tmp_path / "ledger")).alter.add_columns([Field("colour", PrimitiveType("string"))])
    fill(tmp_path, [entries(2).append_column("colour", pa.array(["blue"]))])
    compact(CompactionPlan(tmp_path))
    (file,) = files(tmp_path)
    assert [row["colour"] for row in read(file)] == [None, None, "blue"]


def test_a_file_with_an_unknown_column_is_not_joined(tmp_path: Path) -> None:
    """Its column would be lost."""
    small_commits(tmp_path, 2)
    table = DeltaTable(str(tmp_path / "ledger"))
    known = table.schema()
    stray = entries(2).append_column("colour", pa.array(["blue"])).drop_columns(["model", "date"])
    path = files(tmp_path)[0].with_name("stray.parquet")
    pq.write_table(stray, path)
    _list(table, path, known)
    with pytest.raises(LakeError, match=r"stray\.parquet has columns that its table does not know: colour"):
        compact(CompactionPlan(tmp_path))
    assert len(files(tmp_path)) == 3


def _list(table: DeltaTable, path: Path, schema: Any, rows: int = 1) -> None:
    values = {"model": "fraud", "date": "2026-03-01"}
    relative = str(path.relative_to(path.parents[2]))
    action = AddAction(relative, path.stat().st_size, values, 0, True, json.dumps({"numRecords": rows}))
    told = CommitProperties(app_transactions=[Transaction("another-engine", 1)])
    table.create_write_transaction([action], "append", schema, ["model", "date"], commit_properties=told)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_an_altered_file_is_named_and_never_laundered(tmp_path: Path, damage: str) -> None:
    """A byte that differs, a file that is cut or gone: it stays listed, and no new file holds its rows."""
    small_commits(tmp_path, 3)
    file = files(tmp_path)[1]
    data = file.read_bytes()
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes(data[:-1] if damage == "cut" else data[:100] + bytes([data[100] ^ 1]) + data[101:])
    before = files(tmp_path)
    with pytest.raises(DamagedLakeError, match=file.name):
        compact(CompactionPlan(tmp_path))
    assert files(tmp_path) == before


def test_positions_stay_where_they_are(tmp_path: Path) -> None:
    """Aggregators resume as if nothing had happened, and so do those that are at work."""
    table = small_commits(tmp_path, 5)
    compact(CompactionPlan(tmp_path))
    assert LakeTable(tmp_path, LEDGER).resume(APP) == 5
    table.append(entries(5), {APP: 6})
    assert numbers(tmp_path) == list(range(6))


def test_positions_outlive_the_log_that_they_were_committed_in(tmp_path: Path) -> None:
    """A checkpoint holds them when the entries before it are gone; by Delta's own rules, too."""
    small_commits(tmp_path, 3)
    other = LakeTable(tmp_path, LEDGER)
    other.resume("quiet-0")
    other.move({"quiet-0": 42})
    delta = DeltaTable(str(tmp_path / "ledger"))
    delta.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"})
    small_commits(tmp_path, 3, first=3)
    Event().wait(0.01)  # entries of this very millisecond are not older than it
    compact(CompactionPlan(tmp_path))
    small_commits(tmp_path, 1, first=6)
    log = tmp_path / "ledger" / "_delta_log"
    assert len(list(log.glob("*.json"))) <= 2
    (checkpoint,) = log.glob("*.checkpoint.parquet")
    assert LakeTable(tmp_path, LEDGER).resume("quiet-0") == 42
    assert LakeTable(tmp_path, LEDGER).resume(APP) == 7
    actions = pq.read_table(checkpoint).column("txn").to_pylist()
    moved = {each["appId"]: each["version"] for each in actions if each and each["appId"]}
    assert moved == {"quiet-0": 42, APP: 6, GUARD: 1}
    assert numbers(tmp_path) == list(range(7))


def test_two_compactions_at_once_double_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that comes second finds its files gone, and leaves the table as it is."""
    small_commits(tmp_path, 4)
    _before_commit(monkeypatch, lambda: compact(CompactionPlan(tmp_path)))
    assert one(CompactionPlan(tmp_path)).joined == 0
    assert numbers(tmp_path) == list(range(4))
    assert len(files(tmp_path)) == 1


def test_of_two_compactions_that_commit_at_once_one_loses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delta itself does not notice that both remove the same files: the guard does."""
    small_commits(tmp_path, 4)
    from shadowlane.lake.care._opened import KeptTable  # noqa: PLC0415 - what is interfered with

    check, rivals = KeptTable._check_listed, [lambda: compact(CompactionPlan(tmp_path))]

    def after_the_check(table: KeptTable, listed: Any) -> None:
        check(table, listed)
        if rivals:
            rivals.pop()()

    monkeypatch.setattr(KeptTable, "_check_listed", after_the_check)
    assert one(CompactionPlan(tmp_path)).joined == 0
    assert numbers(tmp_path) == list(range(4))


def test_rows_that_land_meanwhile_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An aggregator goes on while files are joined, with a column more; its file is the next run's."""
    small_commits(tmp_path, 4)

    def land() -> None:
        fill(tmp_path, [entries(4).append_column("colour", pa.array(["blue"]))])

    _before_commit(monkeypatch, land)
    assert one(CompactionPlan(tmp_path)).joined == 4
    assert len(files(tmp_path)) == 2
    assert numbers(tmp_path) == list(range(5))
    assert LakeTable(tmp_path, LEDGER).resume(APP) == 5


def _before_commit(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Any]) -> None:
    """Have something happen once, between the new file and its commit."""
    put, left = _Compaction._put, [happens]

    def put_and(compaction: _Compaction, *given: Any) -> Any:
        added = put(compaction, *given)
        if left:
            left.pop()()
        return added

    monkeypatch.setattr(_Compaction, "_put", put_and)


def test_a_writer_beside_many_compactions_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Each of its commits stands, and the files stay few."""
    table = small_commits(tmp_path, 1)
    stop = Event()

    def write() -> None:
        for number in range(1, 60):
            table.append(entries(number), {APP: number + 1})
        stop.set()

    writer = Thread(target=write)
    writer.start()
    while not stop.is_set():
        compact(CompactionPlan(tmp_path))
    writer.join()
    compact(CompactionPlan(tmp_path))
    assert numbers(tmp_path) == list(range(60))
    assert len(files(tmp_path)) == 1


def test_an_old_library_is_named_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the means to take files out, nothing is joined; a dry run needs none."""
    small_commits(tmp_path, 2)
    monkeypatch.delattr("deltalake.transaction.RemoveAction")
    with pytest.raises(LakeError, match=r"deltalake 1\.6\.6 or newer"):
        compact(CompactionPlan(tmp_path))
    assert one(CompactionPlan(tmp_path, dry_run=True)).joined == 2


def test_it_stops_between_two_files_and_goes_on(tmp_path: Path) -> None:
    """What was joined stands; the rest is joined by the next run."""
    for model in ("a", "b", "c"):
        small_commits(tmp_path, 2, model=model)
    stop = Event()

    def stop_after_one(_table: str, done: int, _all: int) -> None:
        if done:
            stop.set()

    assert one(CompactionPlan(tmp_path), stop=stop, tick=stop_after_one).into == 1
    assert one(CompactionPlan(tmp_path)).into == 2
    assert len(files(tmp_path)) == 3


def test_a_file_that_no_row_joins_stays_as_it_is(tmp_path: Path) -> None:
    """Joined with files of no rows, a file would have the same bytes, and the same name."""
    small_commits(tmp_path, 2)
    compact(CompactionPlan(tmp_path))
    (file,) = files(tmp_path)
    empty = file.with_name("empty.parquet")
    pq.write_table(LEDGER.schema.empty_table().drop_columns(["model", "date"]), empty)
    table = DeltaTable(str(tmp_path / "ledger"))
    _list(table, empty, table.schema(), rows=0)
    assert one(CompactionPlan(tmp_path)).joined == 2
    assert files(tmp_path) == [file]


def test_a_file_of_other_rows_than_the_log_says_is_named(tmp_path: Path) -> None:
    """Another engine's file has no hash in its name; its count of rows is held against it."""
    small_commits(tmp_path, 2)
    stray = files(tmp_path)[0].with_name("stray.parquet")
    pq.write_table(entries(2, 3).drop_columns(["model", "date"]), stray)
    table = DeltaTable(str(tmp_path / "ledger"))
    _list(table, stray, table.schema(), rows=1)
    with pytest.raises(DamagedLakeError, match=r"stray\.parquet has 2 rows where its table's log says 1"):
        compact(CompactionPlan(tmp_path))


def test_a_lake_that_is_none_is_said_to_be_none(tmp_path: Path) -> None:
    """And nothing is made of it."""
    with pytest.raises(LakeError, match=rf"no lake in {tmp_path}"):
        compact(CompactionPlan(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_no_temporary_folder_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is full, or is not there: the lake stays as it was, and it says which folder is meant."""
    small_commits(tmp_path, 2)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(LakeError, match=r"temporary folder \(TMPDIR says where\): No such file"):
        compact(CompactionPlan(tmp_path))
    assert len(files(tmp_path)) == 2


def test_a_table_of_another_engines_kind_is_left_alone(tmp_path: Path) -> None:
    """Rows that deletion vectors hide would come back."""
    small_commits(tmp_path, 2)
    from deltalake import TableFeatures  # noqa: PLC0415 - for this test alone

    DeltaTable(str(tmp_path / "ledger")).alter.add_feature(
        TableFeatures.DeletionVectors, allow_protocol_versions_increase=True
    )
    with pytest.raises(LakeError, match="has turned on deletionVectors"):
        compact(CompactionPlan(tmp_path))
