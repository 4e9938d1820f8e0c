"""Which files a window reads: no more than it must, and never one too few."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shadowlane.lake import COMPARISONS, ERRORS, LEDGER, TableSpec, open_lake
from shadowlane.lake._parts import cut
from unit.aggregator.report_lake import NOON, append, comparison, error, hook
from unit.lake.reading_lakes import Window, read, write

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
MOMENTS = st.integers(-90 * 60_000_000, 49 * 3_600_000_000).map(
    lambda n: MIDNIGHT + timedelta(microseconds=n)
)


def count_files(lake: Path, window: Window, spec: TableSpec = COMPARISONS) -> int:
    """How many files a window reads."""
    with open_lake(lake, window, [spec]) as tables:
        return len(tables.tables[spec.name].files)


def within(window: Window, moment: datetime) -> bool:
    """Whether a request is in a window, said in another way than the lake does."""
    return not (window.start and moment < window.start) and not (window.end and moment >= window.end)


def test_an_hour_reads_an_hours_files(tmp_path: Path) -> None:
    """Of a day that landed in 24 commits, a window of an hour reads the one file that holds it."""
    write(
        tmp_path, *([comparison(h, event_time=MIDNIGHT + timedelta(hours=h, minutes=30))] for h in range(24))
    )
    window = Window(start=MIDNIGHT + timedelta(hours=7), end=MIDNIGHT + timedelta(hours=8))
    assert count_files(tmp_path, window) == 1
    assert read(tmp_path, window) == ["r7"]
    assert count_files(tmp_path, Window(end=MIDNIGHT + timedelta(hours=2))) == 2
    assert count_files(tmp_path, Window()) == 24


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    commits=st.lists(st.lists(MOMENTS, min_size=1, max_size=4), min_size=1, max_size=5),
    windows=st.lists(st.tuples(st.none() | MOMENTS, st.none() | MOMENTS), min_size=2, max_size=2),
    exact=st.integers(0, 4),
)
def test_no_window_misses_a_row(
    tmp_path_factory: pytest.TempPathFactory,
    commits: Sequence[Sequence[datetime]],
    windows: Sequence[tuple[datetime | None, datetime | None]],
    exact: int,
) -> None:
    """Whatever landed when, late and in any order: a window reads just the requests that were made in it."""
    lake = tmp_path_factory.mktemp("lake")
    times = {f"r{n}": time for n, time in enumerate(time for commit in commits for time in commit)}
    numbers = iter(range(len(times)))
    write(lake, *([comparison(next(numbers), event_time=time) for time in commit] for commit in commits))
    moment = list(times.values())[exact % len(times)]
    for start, end in (*windows, (moment, moment + timedelta(microseconds=1)), (None, moment)):
        window = Window(start=start, end=end)
        assert read(lake, window) == sorted(name for name, time in times.items() if within(window, time))


def test_rows_without_the_time_are_looked_for_in_each_window(tmp_path: Path) -> None:
    """An error of a message that nobody could read is dated by when it failed: its file is always read."""
    unread = error(1, event_time=None, failed_at=NOON, date=NOON.date())
    write(tmp_path, [error(0), unread], spec=ERRORS)
    assert count_files(tmp_path, Window(start=NOON + timedelta(hours=3)), ERRORS) == 1
    write(tmp_path / "all", [error(0)], spec=ERRORS)
    assert count_files(tmp_path / "all", Window(start=NOON + timedelta(hours=3)), ERRORS) == 0


def test_the_ledger_is_cut_by_no_window(tmp_path: Path) -> None:
    """A process counts since it began, whenever it says so."""
    write(tmp_path, [hook("a")], spec=LEDGER)
    assert count_files(tmp_path, Window(start=NOON + timedelta(days=9)), LEDGER) == 1


def _add(lake: Path, stats: str) -> None:
    """Land a row with these statistics in the log."""
    write(lake, [])
    table = DeltaTable(str(lake / "comparisons"))
    rows = pa.Table.from_pylist([comparison(1)], schema=COMPARISONS.schema)
    [part] = cut(rows, COMPARISONS)
    file = lake / "comparisons" / part.path
    file.parent.mkdir(parents=True)
    file.write_bytes(part.data)
    moves: list[Any] = [Transaction("topic-0", 1)]
    table.create_write_transaction(
        [AddAction(part.path, len(part.data), part.partition, 1, True, stats)], "append", table.schema(),
        ["model", "date"], commit_properties=CommitProperties(app_transactions=moves),
    )  # fmt: skip


@pytest.mark.parametrize(
    "stats",
    [
        {},
        {"numRecords": 1},
        {"numRecords": 1, "minValues": {"event_time": "2026-03-01T12:00:01.000Z"}},
        {
            "numRecords": 1,
            **{end: {"event_time": "2026-03-01T12:00:01.000Z"} for end in ("minValues", "maxValues")},
        },
    ],
)
def test_a_file_of_which_little_is_known_is_read(tmp_path: Path, stats: dict[str, Any]) -> None:
    """Without the ends, or without the number of nulls, a file may hold anything of its day."""
    _add(tmp_path, json.dumps(stats))
    assert count_files(tmp_path, Window(start=NOON + timedelta(hours=5))) == 1


def test_an_end_that_was_cut_to_milliseconds_loses_nothing(tmp_path: Path) -> None:
    """Delta's own writer cuts the greatest time down: a row of that very millisecond is still found."""
    moment = NOON + timedelta(microseconds=900)
    rows = pa.Table.from_pylist([comparison(1, event_time=moment)], schema=COMPARISONS.schema)
    append(tmp_path, COMPARISONS, rows)
    assert read(tmp_path, Window(start=moment)) == ["r1"]
    assert read(tmp_path, Window(end=moment)) == []
