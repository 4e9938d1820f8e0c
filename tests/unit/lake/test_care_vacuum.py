"""Vacuum: what no reader can need goes; what is listed, young, or not the table's never does."""

from __future__ import annotations

import os
import re
import time
from datetime import timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from care_lakes import APP, files, numbers, small_commits
from shadowlane.errors import DamagedLakeError, LakeError, SettingsError
from shadowlane.lake import LEDGER, LakeTable
from shadowlane.lake._store import FolderStore
from shadowlane.lake.care import CompactionPlan, Vacuumed, VacuumPlan, compact, vacuum


def one(plan: VacuumPlan) -> Vacuumed:
    """Vacuum a lake of one table."""
    (done,) = vacuum(plan)
    return done


def all_of(lake: Path) -> VacuumPlan:
    """Keep nothing, as one may where nobody else is at work."""
    return VacuumPlan(lake, keep=timedelta(0), force=True)


def parquet(lake: Path) -> set[Path]:
    """The files that lie in the ledger's folders."""
    return set((lake / "ledger").rglob("*.parquet")) - set((lake / "ledger/_delta_log").iterdir())


def leave(path: Path, days: float = 30) -> Path:
    """A file that was written so long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"left over")
    then = time.time() - days * 86_400
    os.utime(path, (then, then))
    return path


def test_what_compaction_replaced_is_kept_until_its_time(tmp_path: Path) -> None:
    """Readers of an older version have days to finish."""
    small_commits(tmp_path, 4)
    compact(CompactionPlan(tmp_path))
    done = one(VacuumPlan(tmp_path))
    assert (done.files, done.waiting) == (0, 4)
    assert len(parquet(tmp_path)) == 5
    done = one(all_of(tmp_path))
    assert (done.files, done.waiting) == (4, 0)
    assert parquet(tmp_path) == set(files(tmp_path))
    assert numbers(tmp_path) == [0, 1, 2, 3]


def test_a_file_that_is_old_but_was_replaced_lately_is_kept(tmp_path: Path) -> None:
    """How long ago a version stopped listing it counts, not when it was written."""
    small_commits(tmp_path, 2)
    then = time.time() - 30 * 86_400
    for file in files(tmp_path):
        os.utime(file, (then, then))
    compact(CompactionPlan(tmp_path))
    assert one(VacuumPlan(tmp_path)).files == 0
    assert one(VacuumPlan(tmp_path, keep=timedelta(hours=1))).files == 0


@pytest.mark.parametrize(
    "name",
    [
        "model=fraud/date=2026-03-01/part-0123.zstd.parquet",
        "model=__HIVE_DEFAULT_PARTITION__/date=2026-03-01/part-0123.zstd.parquet",
        "model=fraud/date=2026-03-01/.0123456789abcdef.draft",
        "_delta_log/00000000000000000001.json#1",
        "_delta_log/_commit_0b4d7b4a-0f4e-4f0e-8f0e-0f4e0f4e0f4e.json.tmp",
    ],
)
def test_what_a_killed_writer_left_goes_when_it_is_old(tmp_path: Path, name: str) -> None:
    """A file that was never committed, and drafts; a young one may be committed yet."""
    small_commits(tmp_path, 2)
    left = leave(tmp_path / "ledger" / name, days=1)
    assert one(VacuumPlan(tmp_path)).files == 0
    assert left.exists()
    leave(left, days=8)
    done = one(VacuumPlan(tmp_path))
    assert (done.files, done.bytes) == (1, len(b"left over"))
    assert not left.exists()
    assert numbers(tmp_path) == [0, 1]


def test_what_is_listed_stays_however_old_it_is(tmp_path: Path) -> None:
    """And so does the log."""
    small_commits(tmp_path, 3)
    everything = [each for each in (tmp_path / "ledger").rglob("*") if each.is_file()]
    for file in everything:
        os.utime(file, (1, 1))
    assert one(all_of(tmp_path)).files == 0
    assert all(file.exists() for file in everything)


def test_a_dry_run_deletes_nothing(tmp_path: Path) -> None:
    """And says what would go."""
    small_commits(tmp_path, 2)
    left = leave(tmp_path / "ledger/model=fraud/date=2026-03-01/part-0123.zstd.parquet")
    assert one(VacuumPlan(tmp_path, dry_run=True)).files == 1
    assert left.exists()


def test_nothing_outside_the_table_goes(tmp_path: Path) -> None:
    """Neither the lake's other files nor what a symbolic link leads to."""
    lake = tmp_path / "lake"
    small_commits(lake, 2)
    beside = [leave(lake / "notes.parquet"), leave(tmp_path / "elsewhere/part-0.parquet")]
    (lake / "ledger" / "model=linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (lake / "ledger" / "linked.parquet").symlink_to(beside[1])
    one(all_of(lake))
    assert all(file.exists() for file in beside)


def test_less_than_an_hour_is_refused(tmp_path: Path) -> None:
    """An aggregator may be about to commit what it has just written."""
    small_commits(tmp_path, 1)
    with pytest.raises(SettingsError, match=r"less than 1 hour.*--force"):
        vacuum(VacuumPlan(tmp_path, keep=timedelta(minutes=59)))


def test_more_than_the_log_can_tell_is_refused(tmp_path: Path) -> None:
    """After seven days a table's log forgets what it removed, and a vacuum would take it as never listed."""
    small_commits(tmp_path, 1)
    with pytest.raises(SettingsError, match="168 hours or less"):
        vacuum(VacuumPlan(tmp_path, keep=timedelta(days=30)))


def test_a_part_of_an_hour_is_kept_too(tmp_path: Path) -> None:
    """Delta counts whole hours: of 90 minutes it must not make 60."""
    small_commits(tmp_path, 2)
    before = files(tmp_path)
    compact(CompactionPlan(tmp_path))
    for file in before:
        leave(file)
    for entry in (tmp_path / "ledger/_delta_log").iterdir():  # the checkpoint, too, would tell when
        if entry.suffix == ".json":
            earlier = lambda found: str(int(found[0]) - 70 * 60_000)  # noqa: E731
            entry.write_text(re.sub(r'(?<="deletionTimestamp":)\d+', earlier, entry.read_text()))
        else:
            entry.unlink()
    assert one(VacuumPlan(tmp_path, keep=timedelta(minutes=90))).files == 0
    assert one(VacuumPlan(tmp_path, keep=timedelta(minutes=60))).files == 2


def test_a_log_that_forgot_a_commit_is_no_reason_to_delete_its_rows(tmp_path: Path) -> None:
    """After a loss of power an entry may be empty: its files look like left over, and are not."""
    small_commits(tmp_path, 3)
    for file in files(tmp_path):
        os.utime(file, (1, 1))
    (tmp_path / "ledger/_delta_log/00000000000000000002.json").write_bytes(b"")
    with pytest.raises(DamagedLakeError, match=r"00000000000000000002\.json is cut or altered"):
        vacuum(all_of(tmp_path))
    assert len(parquet(tmp_path)) == 3


def test_a_file_that_is_written_again_while_it_is_looked_at_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An aggregator that comes back after a crash gives its file the same name."""
    small_commits(tmp_path, 1)
    left = leave(tmp_path / "ledger/model=fraud/date=2026-03-01/part-0123.zstd.parquet")
    walk = FolderStore.walk

    def walk_and_write(store: FolderStore, prefix: str = "") -> list[object]:
        found = list(walk(store, prefix))
        left.write_bytes(b"written again")
        return list(found)

    monkeypatch.setattr(FolderStore, "walk", walk_and_write)
    one(VacuumPlan(tmp_path))
    assert left.exists()


def test_an_aggregator_goes_on_after_a_vacuum(tmp_path: Path) -> None:
    """Its positions and its snapshot are as they were."""
    table = small_commits(tmp_path, 3)
    compact(CompactionPlan(tmp_path))
    vacuum(all_of(tmp_path))
    small_commits(tmp_path, 1, first=3)
    assert LakeTable(tmp_path, LEDGER).resume(APP) == 4
    assert table.resume(APP) == 4
    assert DeltaTable(str(tmp_path / "ledger")).count() == 4


def test_a_file_that_cannot_be_deleted_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the folder."""
    small_commits(tmp_path, 1)
    leave(tmp_path / "ledger/model=fraud/date=2026-03-01/part-0123.zstd.parquet")

    def refuse(_store: FolderStore, _path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FolderStore, "remove", refuse)
    with pytest.raises(LakeError, match=r"ledger/model=fraud/date=2026-03-01: .*Permission denied"):
        vacuum(VacuumPlan(tmp_path))
