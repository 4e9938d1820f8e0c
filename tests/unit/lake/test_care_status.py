"""Status: what the logs say of rows, files, positions and costs, and what only the rows can tell."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from care_lakes import APP, NOON, entries, files, fill, rows_of, small_commits
from shadowlane.cli._app import app
from shadowlane.errors import DamagedLakeError, LakeError
from shadowlane.lake import COMPARISONS, DEAD_LETTERS, ERRORS, LEDGER, REQUESTS, LakeTable
from shadowlane.lake.care import (
    CompactionPlan,
    Gaps,
    Position,
    TableStatus,
    compact,
    expire,
    expiring,
    look_deep,
    status,
)
from shadowlane.lake.care import ExpiryPlan as Plan


def one(lake: Path, **given: Any) -> TableStatus:
    """The status of a lake of one table."""
    (found,) = status(lake, **given)
    return found


def replayed(*offsets: int, partition: int = 0, run: str = "live", first: int = 0) -> pa.Table:
    """Comparisons of the requests at these offsets, landed one after the other."""
    count = len(offsets)
    return rows_of(
        COMPARISONS,
        count,
        {
            "model": ["fraud"] * count,
            "date": [NOON.date()] * count,
            "event_time": [NOON] * count,
            "shadow": ["boosting-2"] * count,
            "run": [run] * count,
            "source_topic": ["production-requests"] * count,
            "source_partition": [partition] * count,
            "source_offset": offsets,
            "landed_partition": [0] * count,
            "landed_offset": range(first, first + count),
        },
    )


def test_rows_files_and_bytes_by_table_and_by_model(tmp_path: Path) -> None:
    """As the log says, without a look into a file."""
    small_commits(tmp_path, 3)
    small_commits(tmp_path, 2, model="ranker")
    small_commits(tmp_path, 1, model=None)
    sizes = [file.stat().st_size for file in files(tmp_path)]
    for file in files(tmp_path):
        file.write_bytes(b"")
    found = one(tmp_path)
    assert (found.holding.rows, found.holding.files, found.holding.bytes) == (6, 6, sum(sizes))
    assert found.holding.bytes_a_row == sum(sizes) / 6
    assert {each.model: each.holding.rows for each in found.models} == {"fraud": 3, "ranker": 2, None: 1}
    assert one(tmp_path, model="ranker").holding.rows == 2


def test_how_fresh_it_is(tmp_path: Path) -> None:
    """The newest event to the millisecond, and when the newest commit was."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    small_commits(tmp_path, 3)
    found = one(tmp_path)
    assert found.holding.newest_event is not None
    assert timedelta(0) <= found.holding.newest_event - NOON <= timedelta(milliseconds=2)
    assert found.newest_commit is not None
    assert before <= found.newest_commit <= datetime.now(UTC)


def test_small_files_and_what_compaction_would_make_of_them(tmp_path: Path) -> None:
    """After it there are none to join."""
    small_commits(tmp_path, 5)
    found = one(tmp_path)
    assert (found.holding.small_files, found.joinable_files, found.joined_files) == (5, 5, 1)
    compact(CompactionPlan(tmp_path))
    found = one(tmp_path)
    assert (found.holding.small_files, found.joinable_files, found.joined_files) == (1, 0, 0)


def test_positions_from_the_log_and_from_its_checkpoint(tmp_path: Path) -> None:
    """Each partition's newest, and none of the log's other transactions."""
    table = small_commits(tmp_path, 3)
    other = LakeTable(tmp_path, LEDGER)
    for app_id, version in (("eu.a-b-12", 7), ("topic-id/shadow-ledger", 99), ("topic-id/eu-1", 5)):
        other.resume(app_id)
        other.move({app_id: version})
    expected = [Position("eu.a-b", 12, 7), Position("shadow-ledger", 0, 3)]
    assert one(tmp_path).positions == expected
    compact(CompactionPlan(tmp_path))  # writes a checkpoint
    assert one(tmp_path).positions == expected
    table.resume(APP)
    table.move({APP: 10})
    found = one(tmp_path)
    assert found.positions == [expected[0], Position("shadow-ledger", 0, 10)]
    assert found.log.checkpoint == found.log.version - 1


def test_what_a_day_brings_is_the_mean_of_whole_days(tmp_path: Path) -> None:
    """The newest may not be over; days without a row count."""
    for number, day in enumerate((1, 10, 12, 13)):
        rows = entries(*range(number * 10, number * 10 + 4), date=[date(2026, 3, day)] * 4)
        fill(tmp_path, [rows])
    growth = one(tmp_path).growth
    assert growth is not None
    assert (growth.first_day, growth.last_day) == (date(2026, 3, 10), date(2026, 3, 12))
    assert growth.rows_a_day == 8 / 3


def test_a_table_without_a_row(tmp_path: Path) -> None:
    """Has no bytes a row, no newest event and no growth, and is no error."""
    LakeTable(tmp_path, LEDGER)
    found = one(tmp_path)
    assert (found.holding.rows, found.holding.bytes_a_row, found.growth) == (0, None, None)
    assert (found.positions, found.models) == ([], [])
    assert look_deep(tmp_path).landed == []


def test_no_lake_is_said_to_be_none(tmp_path: Path) -> None:
    """It is not made by looking."""
    with pytest.raises(LakeError, match="no lake in"):
        status(tmp_path / "lake")
    assert not (tmp_path / "lake").exists()


def test_landed_offsets_that_are_neither_row_nor_dead_letter(tmp_path: Path) -> None:
    """Where the gaps are, and how long; dead letters fill them, of this table's topic only."""
    fill(tmp_path, [entries(0, 1, 3, 8, 9), entries(4, landed_partition=[1])])
    letters: dict[str, Any] = {
        "topic": ["eu.shadow-ledger", "eu.shadow-errors"],
        "landed_partition": [0, 0],
        "landed_offset": [2, 5],
        "error_type": ["CorruptMessageError"] * 2,
        "landed_at": [NOON] * 2,
        "date": [NOON.date()] * 2,
    }
    fill(tmp_path, [rows_of(DEAD_LETTERS, 2, letters)], DEAD_LETTERS)
    deep = look_deep(tmp_path)
    found = {(each.table, each.partition): each.gaps for each in deep.landed}
    assert found[LEDGER.name, 0] == Gaps(0, 9, present=6, gaps=1, missing=4, longest=4, longest_at=4)
    assert found[LEDGER.name, 1] == Gaps(4, 4, present=1, gaps=0, missing=0, longest=0, longest_at=None)
    assert found[ERRORS.name, 0].present == 1
    assert [(each.topic, each.error_type, each.messages, each.newest) for each in deep.dead_letters] == [
        ("eu.shadow-errors", "CorruptMessageError", 1, NOON),
        ("eu.shadow-ledger", "CorruptMessageError", 1, NOON),
    ]


def test_the_archives_offsets_are_looked_at_too(tmp_path: Path) -> None:
    """A window is replayed from it: what it lacks is missing there."""
    there: dict[str, Any] = {"date": [NOON.date()] * 2, "landed_partition": [0, 0], "landed_offset": [4, 7]}
    fill(tmp_path, [rows_of(REQUESTS, 2, there)], REQUESTS, "r-0")
    (landed,) = look_deep(tmp_path).landed
    assert (landed.table, landed.gaps.missing) == ("requests", 2)


def test_names_from_the_data_do_not_act_on_a_terminal(tmp_path: Path) -> None:
    """Whoever may write to a topic chooses the shadow's name, and who looks is an operator."""
    fill(tmp_path, [replayed(1, run="x\x1b]0;title\x07")], COMPARISONS, "c-0")
    shown = CliRunner().invoke(app, ["lake", "status", "--deep", "--lake", str(tmp_path)]).stdout
    assert "\\x1b]0;title\\x07" in shown
    assert "\x1b" not in shown


def test_requests_with_neither_comparison_nor_error(tmp_path: Path) -> None:
    """By shadow, run and partition; an error is an answer, too."""
    fill(tmp_path, [replayed(5, 6, 9), replayed(1, 2, partition=1, first=3)], COMPARISONS, "c-0")
    error = replayed(7).drop_columns([n for n in COMPARISONS.schema.names if n not in ERRORS.schema.names])
    failed = {name: error.column(name).to_pylist() for name in error.column_names}
    fill(tmp_path, [rows_of(ERRORS, 1, failed)], ERRORS, "e-0")
    found = {(each.run, each.partition): each.gaps for each in look_deep(tmp_path).sources}
    assert found["live", 0] == Gaps(5, 9, present=4, gaps=1, missing=1, longest=1, longest_at=8)
    assert found["live", 1].missing == 0


def test_duplicates_by_identity(tmp_path: Path) -> None:
    """The same request by the same shadow in the same run; another run's is none."""
    fill(
        tmp_path,
        [replayed(1, 2, 3), replayed(2, 3, 3, first=3), replayed(1, run="again", first=6)],
        COMPARISONS,
        "c-0",
    )
    (found,) = look_deep(tmp_path).duplicates
    assert (found.model, found.repeated) == ("fraud", 3)


def test_expired_days_leave_gaps_and_no_error(tmp_path: Path) -> None:
    """What is there is looked at."""
    fill(tmp_path, [entries(0), entries(1, date=[date(2026, 4, 1)])])
    plan = Plan(tmp_path, [LEDGER], keep_bytes=files(tmp_path)[0].stat().st_size)
    expire(plan, expiring(plan))
    (landed,) = look_deep(tmp_path).landed
    assert (landed.gaps.first, landed.gaps.missing) == (1, 0)


def test_a_damaged_file_is_named_by_a_deep_look(tmp_path: Path) -> None:
    """No figure comes from half the data."""
    small_commits(tmp_path, 2)
    file = files(tmp_path)[0]
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DamagedLakeError, match=file.name):
        look_deep(tmp_path)
