"""What a reader refuses: files that are not what was written, and a log that is not whole."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shadowlane.errors import DamagedLakeError, LakeError
from shadowlane.lake import COMPARISONS, DEAD_LETTERS, MovedOnError, OpenLake, open_lake, read_lake
from shadowlane.lake._commits import is_whole
from unit.aggregator.report_lake import NOON, append, comparison, files
from unit.lake.reading_lakes import Window, read, seen, write

WHOLE = [f"r{n}" for n in range(4)]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of four files; who alters it mends it."""
    folder = tmp_path_factory.mktemp("lake")
    write(folder, *([comparison(n, event_time=NOON + timedelta(days=n))] for n in range(4)))
    return folder


def alter(file: Path, change: Callable[[bytes], bytes], then: Callable[[], None]) -> None:
    """Change a file, do something, and change it back."""
    before = file.read_bytes()
    file.write_bytes(change(before))
    try:
        then()
    finally:
        file.write_bytes(before)


def log_of(table: Path) -> list[Path]:
    """The commits."""
    return sorted((table / "_delta_log").glob("*.json"))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 3), place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
@example(which=0, place=0.0, bits=1)
@example(which=3, place=1 - 1e-9, bits=128)
def test_one_altered_byte_is_found(lake: Path, which: int, place: float, bits: int) -> None:
    """Whatever byte of whatever file is altered, in whichever bits: the file is named, nothing is read."""
    file = files(lake, "comparisons")[which]

    def change(content: bytes) -> bytes:
        position = int(place * len(content))
        return content[:position] + bytes([content[position] ^ bits]) + content[position + 1 :]

    def then() -> None:
        with pytest.raises(DamagedLakeError, match=f"{file.name} is altered"):
            read(lake)

    alter(file, change, then)
    assert len(files(lake, "comparisons")) == 4


def test_a_file_of_the_right_length_but_of_another_commit_is_found(tmp_path: Path) -> None:
    """Two good files that changed places are both altered."""
    write(tmp_path, [comparison(1, event_time=NOON)], [comparison(2, event_time=NOON)])
    one, other = files(tmp_path, "comparisons")
    assert one.stat().st_size == other.stat().st_size
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)
    with pytest.raises(DamagedLakeError, match="is altered"):
        read(tmp_path)


def test_files_outside_of_the_scope_are_not_hashed(lake: Path) -> None:
    """A report of one day rests on that day's files alone."""
    last = next(file for file in files(lake, "comparisons") if "date=2026-03-04" in str(file))
    day = Window(end=NOON + timedelta(hours=1))

    def then() -> None:
        assert read(lake, day) == ["r0"]

    alter(last, lambda content: content[:-1] + b"\0", then)


def test_files_of_other_engines_are_counted_as_unverified(tmp_path: Path) -> None:
    """Their names promise nothing: they are read, and it can be seen that there are some."""
    write(tmp_path, [comparison(0)])
    rows = [comparison(1)]
    append(
        tmp_path, COMPARISONS, COMPARISONS.schema.empty_table().from_pylist(rows, schema=COMPARISONS.schema)
    )
    with open_lake(tmp_path, Window(), [COMPARISONS]) as tables:
        assert tables.unverified == 1
        assert seen(tables, Window()) == ["r0", "r1"]


def test_a_table_by_date_alone_is_read(tmp_path: Path) -> None:
    """Dead letters have no model; a scope of one model reads them all."""
    row = {"topic": "t", "landed_partition": 0, "landed_offset": 7, "landed_at": NOON, "date": NOON.date()}
    write(tmp_path, [row], spec=DEAD_LETTERS)
    with open_lake(tmp_path, Window("ranker"), [DEAD_LETTERS]) as tables:
        assert len(tables.tables["dead_letters"].files) == 1


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(1, 4), share=st.floats(0, 1))
@example(which=2, share=0.0)
@example(which=4, share=0.0)
def test_a_commit_that_is_cut_is_damage_or_whole(lake: Path, which: int, share: float) -> None:
    """Wherever a commit ends too early, no row is missing without a word, not even where lines end."""
    commit = log_of(lake / "comparisons")[which]

    def then() -> None:
        try:
            found = read(lake)
        except DamagedLakeError as error:
            assert "comparisons" in str(error)  # noqa: PT017 - either outcome is right
        else:
            assert found == WHOLE

    alter(commit, lambda content: content[: int(share * len(content))], then)


def test_each_line_of_a_commit_is_missed(lake: Path) -> None:
    """A commit that lost its last lines is refused as long as rows went with them."""
    content = log_of(lake / "comparisons")[2].read_bytes()
    lines = content.splitlines(keepends=True)
    assert is_whole(content)
    assert [is_whole(b"".join(lines[:kept])) for kept in range(len(lines))] == [False] * 3
    assert not is_whole(b"\n\n")


def test_a_commit_without_rows_or_of_another_engine_is_whole() -> None:
    """What was restored or written elsewhere carries no position, and lacks nothing."""
    for info in (
        {"operation": "RESTORE", "engineInfo": "delta-rs:py-1.6.6"},
        {"operation": "WRITE", "engineInfo": "delta-rs:py-1.6.6", "operationMetrics": {"num_added_files": 0}},
        {"operation": "WRITE", "engineInfo": "Apache-Spark/4.0.0 Delta-Lake/4.0.0"},
    ):
        assert is_whole(json.dumps({"commitInfo": info}).encode())


@pytest.mark.parametrize("gone", [0, 2])
def test_a_commit_that_is_gone_is_damage(lake: Path, tmp_path: Path, gone: int) -> None:
    """A log with a hole, or without its beginning, is not read."""
    commit = log_of(lake / "comparisons")[gone]
    aside = commit.rename(tmp_path / commit.name)
    try:
        with pytest.raises(DamagedLakeError, match="the log of"):
            read(lake)
    finally:
        aside.rename(commit)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_a_checkpoint_that_is_cut_is_damage(tmp_path: Path, kept: float) -> None:
    """Files that only the checkpoint lists are not forgotten: nothing is read without it."""
    table = write(tmp_path, [comparison(0)], [comparison(1)])
    DeltaTable(str(table)).create_checkpoint()
    for commit in log_of(table)[:-1]:
        commit.unlink()
    assert read(tmp_path) == ["r0", "r1"]
    [checkpoint] = (table / "_delta_log").glob("*.checkpoint.parquet")
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DamagedLakeError, match="the log of"):
        read(tmp_path)


def test_a_hint_that_is_nonsense_does_no_harm(tmp_path: Path) -> None:
    """Where the last checkpoint is can be found without it."""
    table = write(tmp_path, [comparison(0)])
    DeltaTable(str(table)).create_checkpoint()
    (table / "_delta_log" / "_last_checkpoint").write_text("{nonsense")
    assert read(tmp_path) == ["r0"]


@pytest.mark.parametrize(
    "path",
    [
        "../elsewhere/",
        "%2e%2e/elsewhere/",
        "/etc/",
        "s3://other/",
        "file:///etc/",
        "a/../../",
        "..\\\\",
        "x/",
    ],
)
def test_a_path_out_of_the_table_is_refused(lake: Path, path: str) -> None:
    """A log that lists a file elsewhere, or in no folder of its values, was altered."""
    commit = log_of(lake / "comparisons")[2]

    def then() -> None:
        with pytest.raises(DamagedLakeError, match=r"outside of the table|does not lie in the folder"):
            read(lake, Window(end=NOON))

    alter(commit, lambda content: content.replace(b'"path":"', b'"path":"' + path.encode()), then)


def test_a_file_under_another_models_name_is_refused(lake: Path) -> None:
    """Where log and folder disagree on whose rows these are, nobody's figures get them."""
    commit = log_of(lake / "comparisons")[2]

    def then() -> None:
        with pytest.raises(DamagedLakeError, match="does not lie in the folder"):
            read(lake)

    alter(commit, lambda content: content.replace(b'"model":"ranker"', b'"model":"rankor"'), then)


def test_a_table_of_another_program_is_refused(tmp_path: Path) -> None:
    """A table that is cut in another way is none of ours."""
    rows = COMPARISONS.schema.empty_table().from_pylist([comparison(1)], schema=COMPARISONS.schema)
    write_deltalake(str(tmp_path / "comparisons"), rows, partition_by=["model"])
    with pytest.raises(DamagedLakeError, match="not partitioned by model and date"):
        read(tmp_path)


def test_rows_taken_out_by_another_engine_are_not_read_back_in(tmp_path: Path) -> None:
    """Files whose deleted rows are listed elsewhere do not say which rows there are."""
    table = write(tmp_path, [comparison(0)])
    first = log_of(table)[0]
    content = first.read_text()
    features = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
    protocol = json.dumps({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}})
    first.write_text("\n".join(protocol if '"protocol"' in line else line for line in content.splitlines()))
    with pytest.raises(LakeError, match="deletionVectors"):
        read(tmp_path)


def _compact(lake: Path) -> None:
    """Join the files, and remove those that they were, while somebody reads."""
    table = DeltaTable(str(lake / "comparisons"))
    table.optimize.compact()
    removed = table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert removed


def test_a_compaction_in_between_is_read_again(tmp_path: Path) -> None:
    """Files that are removed after the lake was opened: the reader goes on at the new version, once."""
    write(tmp_path, *([comparison(n)] for n in range(3)))
    versions: list[Any] = []

    def reading(tables: OpenLake) -> list[str]:
        versions.append(tables.versions["comparisons"])
        if len(versions) == 1:
            _compact(tmp_path)
        return seen(tables, Window())

    assert read_lake(tmp_path, Window(), [COMPARISONS], reading) == ["r0", "r1", "r2"]
    assert versions[0] < versions[1]


def test_a_table_that_moves_on_and_on_is_a_clear_sentence(tmp_path: Path) -> None:
    """A reader that is overtaken twice says so, and calls nothing damaged."""
    write(tmp_path, *([comparison(n)] for n in range(3)))

    def reading(tables: OpenLake) -> list[str]:
        write(tmp_path, [comparison(7)])
        _compact(tmp_path)
        return seen(tables, Window())

    with pytest.raises(MovedOnError, match=r"comparisons moved on while it was read .* run it again"):
        read_lake(tmp_path, Window(), [COMPARISONS], reading)


def test_a_file_lost_while_it_is_read_is_damage(tmp_path: Path) -> None:
    """A file that is gone though the table still lists it was not compacted away."""
    write(tmp_path, [comparison(0)])
    [file] = files(tmp_path, "comparisons")

    def reading(tables: OpenLake) -> list[str]:
        file.unlink()
        return seen(tables, Window())

    with pytest.raises(DamagedLakeError, match=re.escape(file.name)):
        read_lake(tmp_path, Window(), [COMPARISONS], reading)


def test_a_file_that_may_not_be_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine refuses may be mended without restoring anything."""
    write(tmp_path, [comparison(0)])
    [file] = files(tmp_path, "comparisons")
    content = file.read_bytes()
    file.unlink()
    file.mkdir()  # even the administrator cannot read a folder as a file
    size = file.stat().st_size
    commit = log_of(tmp_path / "comparisons")[1]
    commit.write_text(commit.read_text().replace(f'"size":{len(content)}', f'"size":{size}'))
    with pytest.raises(LakeError, match="cannot be read: Is a directory") as caught:
        read(tmp_path)
    assert not isinstance(caught.value, DamagedLakeError)
