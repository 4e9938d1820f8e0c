"""Retention: whole days leave the tables, the oldest first, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from care_lakes import APP, entries, files, fill, numbers, small_commits
from shadowlane.errors import SettingsError
from shadowlane.lake import COMPARISONS, DEAD_LETTERS, ERRORS, LABELS, LEDGER, REQUESTS, LakeTable
from shadowlane.lake.care import (
    EXPIRING,
    CompactionPlan,
    Day,
    ExpiryPlan,
    VacuumPlan,
    compact,
    expire,
    expiring,
    vacuum,
)
from shadowlane.lake.care._opened import GUARD, KeptTable

TODAY = datetime.now(UTC).date()


def days_ago(*days: int, lake: Path, model: str = "fraud", first: int = 0) -> None:
    """A ledger entry of each of these days, numbered as they stand here."""
    for number, day in enumerate(days, first):
        fill(lake, [entries(number, model=model, date=[TODAY - timedelta(days=day)])])


def plan(lake: Path, **given: Any) -> ExpiryPlan:
    """Of the ledger."""
    return ExpiryPlan(lake, [LEDGER], **given)


def ages(days: Iterable[Day]) -> list[int]:
    """How many days ago they were."""
    return [(TODAY - day.date).days for day in days]


def test_days_that_ended_long_enough_ago_go(tmp_path: Path) -> None:
    """A day of which an hour is younger stays whole."""
    days_ago(40, 31, 30, 5, 0, lake=tmp_path)
    chosen = plan(tmp_path, older_than=timedelta(days=30))
    days = expiring(chosen)
    assert ages(days) == [40, 31]
    assert numbers(tmp_path) == [0, 1, 2, 3, 4]
    assert ages(expire(chosen, days)) == [40, 31]
    assert numbers(tmp_path) == [2, 3, 4]


def test_by_size_the_oldest_days_go_until_the_rest_fits(tmp_path: Path) -> None:
    """And no more."""
    days_ago(4, 3, 2, 1, lake=tmp_path)
    sizes = [file.stat().st_size for file in files(tmp_path)]
    chosen = plan(tmp_path, keep_bytes=sum(sizes) // 2)
    assert ages(expiring(chosen)) == [4, 3]
    expire(chosen, expiring(chosen))
    assert expiring(chosen) == []


def test_age_and_size_together(tmp_path: Path) -> None:
    """What either of them says goes."""
    days_ago(50, 3, 2, 1, lake=tmp_path)
    much = plan(tmp_path, older_than=timedelta(days=30), keep_bytes=10**9)
    assert ages(expiring(much)) == [50]
    assert ages(expiring(plan(tmp_path, older_than=timedelta(days=30), keep_bytes=0))) == [50, 3, 2, 1]


def test_only_the_model_that_was_named(tmp_path: Path) -> None:
    """The others keep their days."""
    days_ago(40, lake=tmp_path)
    days_ago(40, lake=tmp_path, model="ranker", first=1)
    chosen = plan(tmp_path, model="ranker", older_than=timedelta(days=30))
    assert [day.model for day in expire(chosen)] == ["ranker"]
    assert numbers(tmp_path) == [0]


def test_labels_and_the_ledger_go_only_when_they_are_named() -> None:
    """Labels come late, and the ledger is what counts rest on."""
    assert set(EXPIRING) == {COMPARISONS, ERRORS, REQUESTS, DEAD_LETTERS}
    assert not {LABELS, LEDGER} & set(EXPIRING)


def test_without_age_or_size_nothing_is_guessed(tmp_path: Path) -> None:
    """It says what it takes."""
    small_commits(tmp_path, 1)
    with pytest.raises(SettingsError, match=r"--older-than 90d.*--keep-gb"):
        expiring(plan(tmp_path))


def test_positions_stay_and_so_does_the_guard(tmp_path: Path) -> None:
    """An aggregator resumes where it was; a compaction at the same time notices."""
    days_ago(40, 0, lake=tmp_path)
    chosen = plan(tmp_path, older_than=timedelta(days=30))
    expire(chosen, expiring(chosen))
    assert LakeTable(tmp_path, LEDGER).resume(APP) == 2
    assert DeltaTable(str(tmp_path / "ledger")).transaction_version(GUARD) == 1


def test_the_files_stay_for_readers_until_a_vacuum(tmp_path: Path) -> None:
    """The version before still has its rows."""
    days_ago(40, lake=tmp_path)
    (file,) = files(tmp_path)
    chosen = plan(tmp_path, older_than=timedelta(days=30))
    expire(chosen, expiring(chosen))
    assert file.exists()
    vacuum(VacuumPlan(tmp_path, keep=timedelta(0), force=True))
    assert not file.exists()


def test_a_compaction_in_between_saves_no_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The day's files are others by then; they go all the same."""
    days_ago(40, 40, lake=tmp_path)
    days_ago(0, lake=tmp_path, first=2)
    check, rivals = KeptTable._check_listed, [lambda: compact(CompactionPlan(tmp_path))]

    def after_a_compaction(table: KeptTable, listed: Any) -> None:
        if rivals:
            rivals.pop()()
            table.refresh()
        check(table, listed)

    monkeypatch.setattr(KeptTable, "_check_listed", after_a_compaction)
    chosen = plan(tmp_path, older_than=timedelta(days=30))
    assert [day.rows for day in expire(chosen, expiring(chosen))] == [2]
    assert numbers(tmp_path) == [2]


def test_nothing_to_do_is_done_without_a_commit(tmp_path: Path) -> None:
    """The table stays at its version."""
    days_ago(1, lake=tmp_path)
    version = DeltaTable(str(tmp_path / "ledger")).version()
    chosen = plan(tmp_path, older_than=timedelta(days=30))
    assert expire(chosen, expiring(chosen)) == []
    assert DeltaTable(str(tmp_path / "ledger")).version() == version
