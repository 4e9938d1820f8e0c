"""Reading the lake: which rows count, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from shadowlane.aggregator.report._read import read_report
from shadowlane.aggregator.report._report import Report
from shadowlane.aggregator.report._scope import Scope
from shadowlane.aggregator.report.figures import Duplicates
from shadowlane.errors import DamagedLakeError, LakeUnavailableError
from shadowlane.lake import HeldTable, count_rows
from shadowlane.lake._tables import COMPARISONS
from unit.aggregator.report_lake import NOON, Row, append, comparison, error, files, hook, land

SCOPE = Scope("ranker", "challenger")


def read(lake: Path, **window: Any) -> Report:
    """The report of the tests' model and shadow."""
    return read_report(lake, Scope("ranker", "challenger", **window))


def test_an_absent_lake_is_an_empty_one(tmp_path: Path) -> None:
    """Before anything has landed there is a report, of nothing, that says so."""
    report = read(tmp_path / "nowhere")
    assert report.requests == 0
    assert report.table_versions == dict.fromkeys(["comparisons", "errors", "ledger", "labels", "requests"])
    assert (report.agreement_rate, report.error_rate, report.distance, report.latency) == (None,) * 4
    assert report.ledger is None


def test_a_lake_without_these_requests_says_what_it_has(tmp_path: Path) -> None:
    """For a name that may be mistyped, and only then, the models, shadows and runs there are."""
    land(
        tmp_path,
        [comparison(1), comparison(2, run="march"), comparison(3, model="fraud", shadow="candidate-2")],
        [error(4, model="spam")],
    )
    assert read(tmp_path).known_runs == ()
    found = read_report(tmp_path, Scope("rankr", "challenger")).known_runs
    assert [(each.model, each.shadow, each.run) for each in found] == [
        ("fraud", "candidate-2", "live"),
        ("ranker", "challenger", "live"),
        ("ranker", "challenger", "march"),
        ("spam", "challenger", "live"),
    ]
    for file in files(tmp_path, "comparisons"):
        file.unlink()
    found = read_report(tmp_path, Scope("rankr", "challenger")).known_runs
    assert [each.model for each in found] == ["spam"]


def test_a_plain_file_is_an_empty_lake(tmp_path: Path) -> None:
    """A lake's path that leads to a file, by mistake, holds no table."""
    (tmp_path / "lake").write_text("not a folder")
    assert read(tmp_path / "lake").table_versions["comparisons"] is None


def test_a_table_without_rows_is_an_empty_one(tmp_path: Path) -> None:
    """A table that was made and never written to reads like an absent one, at its version."""
    DeltaTable.create(str(tmp_path / "comparisons"), COMPARISONS.schema, partition_by=["model", "date"])
    report = read(tmp_path)
    assert report.requests == 0
    assert report.table_versions["comparisons"] == 0


def test_rows_of_all_files_and_days_count(tmp_path: Path) -> None:
    """Several commits over several days are one set of requests, in whatever order they landed."""
    land(tmp_path, [comparison(n) for n in range(20, 30)])
    land(tmp_path, [comparison(n, event_time=NOON - timedelta(days=n)) for n in range(10)])
    report = read(tmp_path)
    assert len(files(tmp_path, "comparisons")) == 11
    assert report.requests == 20
    assert report.first_request == NOON - timedelta(days=9)
    assert report.last_request == NOON + timedelta(seconds=29)
    assert report.table_versions["comparisons"] == 1


def test_a_report_is_of_one_model_shadow_and_run(tmp_path: Path) -> None:
    """Rows of another model, shadow or run are none of this report's."""
    others: list[Row] = [{"model": "other"}, {"shadow": "rival"}, {"run": "march"}]
    land(
        tmp_path,
        [comparison(0), *(comparison(n, **each) for n, each in enumerate(others, 1))],
        [error(10), *(error(n, **each) for n, each in enumerate(others, 11))],
    )
    assert (read(tmp_path).compared, read(tmp_path).errored) == (1, 1)
    assert (read(tmp_path, run="march").compared, read(tmp_path, run="march").errored) == (1, 1)


def test_a_window_takes_its_start_and_not_its_end(tmp_path: Path) -> None:
    """A request made at the window's start counts, one at its end does not."""
    land(tmp_path, [comparison(n) for n in range(10)], [error(n) for n in range(10, 20)])
    report = read(tmp_path, start=NOON + timedelta(seconds=3), end=NOON + timedelta(seconds=12))
    assert (report.compared, report.errored) == (7, 2)


def test_a_window_over_midnight(tmp_path: Path) -> None:
    """A window that crosses days reads both days' files, and only what lies between."""
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    land(tmp_path, [comparison(n, event_time=midnight + timedelta(minutes=n - 5)) for n in range(10)])
    report = read(tmp_path, start=midnight - timedelta(minutes=2), end=midnight + timedelta(minutes=1))
    assert report.compared == 3


def test_a_row_landed_twice_counts_once(tmp_path: Path) -> None:
    """The same place of the source topic is the same comparison, however often it landed."""
    rows = [comparison(n) for n in range(10)]
    land(tmp_path, rows)
    land(tmp_path, rows[5:])
    report = read(tmp_path)
    assert report.compared == 10
    assert report.duplicates == Duplicates(
        repeated_rows=5, repeated_requests=0, repeated_errors=0, recovered=0
    )


def test_the_first_comparison_of_a_request_counts(tmp_path: Path) -> None:
    """A request that a client sent twice is one request: the earlier one counts, whichever landed first."""
    later = comparison(7, request_id="again", agreement=False, event_time=NOON + timedelta(seconds=9))
    land(tmp_path, [later])
    land(tmp_path, [comparison(3, request_id="again")])
    report = read(tmp_path)
    assert (report.compared, report.agreements) == (1, 1)
    assert report.duplicates.repeated_requests == 1


def test_at_the_same_time_the_first_place_counts(tmp_path: Path) -> None:
    """Of two comparisons of one request with one time, the lower partition and offset counts."""
    first = comparison(1, request_id="x", source_partition=0, source_offset=5, event_time=NOON)
    second = comparison(
        2, request_id="x", source_partition=0, source_offset=6, event_time=NOON, agreement=False
    )
    land(tmp_path, [second, first])
    assert read(tmp_path).agreements == 1


def test_a_topic_made_anew_hides_nothing(tmp_path: Path) -> None:
    """Where offsets begin at 0 again, another request_id at the same place is another request."""
    land(tmp_path, [comparison(1), comparison(1, request_id="after the topic was made anew")])
    assert read(tmp_path).compared == 2


def test_a_request_compared_after_an_error_was_compared(tmp_path: Path) -> None:
    """A redriven request counts as compared, and its error is told apart."""
    land(tmp_path, [comparison(1)], [error(1), error(2)])
    report = read(tmp_path)
    assert (report.compared, report.errored, report.requests) == (1, 1, 2)
    assert report.duplicates.recovered == 1


def test_an_unread_message_compared_later_is_found_by_its_place(tmp_path: Path) -> None:
    """A message that could not be decoded at first has no request_id: its place tells."""
    unread = {"request_id": None, "event_time": None, "stage": "decode"}
    land(tmp_path, [comparison(1)], [error(1, **unread), error(2, **unread), error(3, **unread)])
    report = read(tmp_path)
    assert (report.compared, report.errored, report.undecodable) == (1, 0, 2)


def test_the_last_error_of_a_request_counts(tmp_path: Path) -> None:
    """A request that failed twice is one errored request, at the stage where it failed last."""
    land(tmp_path, [], [error(1, stage="crash", failed_at=NOON + timedelta(hours=1)), error(1)])
    report = read(tmp_path)
    assert [(stage.stage, stage.requests) for stage in report.errors] == [("crash", 1)]
    assert report.duplicates.repeated_errors == 1


def test_a_name_is_a_value_and_never_sql(tmp_path: Path) -> None:
    """A segment called like an injection is looked up by that very name."""
    name = "x' OR 1=1 --"
    land(tmp_path, [comparison(1, segments=[(name, "yes")]), comparison(2, segments=[("x", "no")])])
    [segment, *_] = read_report(tmp_path, SCOPE, by=[name]).segments
    assert {(group.value, group.requests) for group in segment.groups} == {("yes", 1), (None, 1)}


def test_a_file_of_before_a_column_was_added_is_read(tmp_path: Path) -> None:
    """A file without a column of today reads as if the column were empty."""
    old = pa.Table.from_pylist([comparison(1)], schema=COMPARISONS.schema).drop_columns(["shadow_label"])
    append(tmp_path, COMPARISONS, old)
    assert read(tmp_path).compared == 1


@pytest.mark.parametrize("folder", ["a lake", "läke", "100%", "l*ke", "env=prod"])
def test_a_lake_in_a_folder_with_an_odd_name(tmp_path: Path, folder: str) -> None:
    """Signs that mean something in a URL or a pattern are letters in a folder's name."""
    land(tmp_path / folder, [comparison(1)])
    assert read(tmp_path / folder).compared == 1


@pytest.mark.parametrize("table", ["comparisons", "errors", "ledger"])
def test_a_file_that_is_gone_is_named(tmp_path: Path, table: str) -> None:
    """A file that the table lists and nobody can find: no figures, and the file's name."""
    land(tmp_path, [comparison(1)], [error(2)], [hook("a")])
    [file] = files(tmp_path, table)
    file.unlink()
    with pytest.raises(DamagedLakeError, match=file.name):
        read(tmp_path)


def test_a_file_that_is_cut_is_named(tmp_path: Path) -> None:
    """A file shorter than its table's log says is not read."""
    land(tmp_path, [comparison(1)])
    [file] = files(tmp_path, "comparisons")
    os.truncate(file, file.stat().st_size - 10)
    with pytest.raises(DamagedLakeError, match=rf"{file.name} is cut or altered"):
        read(tmp_path)


def test_a_file_that_is_altered_is_named(tmp_path: Path) -> None:
    """Of several files of the right length, the one with wrong bytes is found and named."""
    for day in range(3):
        land(tmp_path, [comparison(n, event_time=NOON + timedelta(days=day)) for n in range(50)])
    file = files(tmp_path, "comparisons")[1]
    content = bytearray(file.read_bytes())
    content[4:-8] = b"\xff" * (len(content) - 12)
    file.write_bytes(content)
    with pytest.raises(DamagedLakeError, match=file.name):
        read(tmp_path)


def test_a_damaged_log_is_damage(tmp_path: Path) -> None:
    """A table whose log cannot be read is damaged, not empty."""
    land(tmp_path, [comparison(1)])
    [entry] = (tmp_path / "comparisons" / "_delta_log").glob("*.json")
    entry.write_text("{not json")
    with pytest.raises(DamagedLakeError, match="comparisons"):
        read(tmp_path)


@contextmanager
def forbidden(path: Path) -> Iterator[None]:
    """Nobody may read it, not even who runs the tests."""
    me, mode = os.geteuid(), path.stat().st_mode
    path.chmod(0)
    if me == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)
        path.chmod(mode)


def test_a_lake_that_may_not_be_read_is_neither_damaged_nor_empty() -> None:
    """Rights, or a file server that does not answer: nothing is to be restored; it says so in one line."""
    with TemporaryDirectory() as folder:
        lake = Path(folder)
        lake.chmod(0o755)
        land(lake, [comparison(1)])
        read(lake)
        [entry] = (lake / "comparisons" / "_delta_log").glob("*.json")
        for look in (
            lambda: read(lake),
            lambda: HeldTable(lake, COMPARISONS),
            lambda: HeldTable(lake, COMPARISONS, 0),
            lambda: count_rows(lake, ["comparisons"]),
        ):
            with (
                forbidden(entry),
                pytest.raises(LakeUnavailableError, match=r"^cannot read [^\x1b]*denied"),
            ):
                look()
        with forbidden(lake), pytest.raises(LakeUnavailableError, match="denied"):
            read(lake)


def test_a_lost_log_is_damage(tmp_path: Path) -> None:
    """Files without a log are a table that lost it, not an absent one."""
    land(tmp_path, [comparison(1)])
    (tmp_path / "comparisons" / "_delta_log").rename(tmp_path / "elsewhere")
    with pytest.raises(DamagedLakeError, match="no readable _delta_log"):
        read(tmp_path)


def test_damage_in_another_models_files_does_not_matter(tmp_path: Path) -> None:
    """Only the files that the scope needs are looked at."""
    land(tmp_path, [comparison(1), comparison(2, model="other")])
    next(file for file in files(tmp_path, "comparisons") if "model=other" in str(file)).unlink()
    assert read(tmp_path).compared == 1


def test_files_that_no_version_lists_are_not_read(tmp_path: Path) -> None:
    """What lies in the folder without being in the log, as a commit that lost leaves it, does not count."""
    land(tmp_path, [comparison(1)])
    [file] = files(tmp_path, "comparisons")
    file.with_name("part-of-a-lost-commit.parquet").write_bytes(b"half a file")
    assert read(tmp_path).compared == 1


def test_the_engine_downloads_nothing_and_leaves_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    """No extension is fetched, and no work file is left in the current folder."""
    monkeypatch.chdir(tmp_path)
    land(tmp_path / "lake", [comparison(1)])
    seen: dict[str, Any] = {}
    connect = duckdb.connect
    monkeypatch.setattr(
        duckdb, "connect", lambda *args, **kw: seen.update(kw["config"]) or connect(*args, **kw)
    )
    read(tmp_path / "lake")
    assert seen["autoinstall_known_extensions"] is False
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]


def test_the_time_zone_of_the_machine_does_not_matter(tmp_path: Path) -> None:
    """The same window on a machine in another zone holds the same requests."""
    land(tmp_path, [comparison(n, event_time=NOON + timedelta(hours=n)) for n in range(24)])
    program = (
        "import sys; from datetime import datetime, UTC\n"
        "from shadowlane.aggregator import Scope, read_report\n"
        "scope = Scope('ranker', 'challenger', start=datetime(2026, 3, 2, tzinfo=UTC))\n"
        "report = read_report(sys.argv[1], scope); print(report.compared, report.first_request)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "TZ": "Pacific/Auckland"}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert answer.stdout.strip() == "12 2026-03-02 00:00:00+00:00"
