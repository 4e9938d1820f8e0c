"""Old and new versions of the events in one table, and what cannot be reconciled."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from golden.generate import GOLDEN, load, versions
from lake_rows import query, rows_of
from shadowlane.aggregator import Scope, read_report, report_to_json
from shadowlane.errors import LakeError
from shadowlane.lake import (
    COMPARISONS,
    ERRORS,
    EVENT_TABLES,
    LEDGER,
    EventTable,
    LakeTable,
    TableSpec,
    TakenOverError,
)
from shadowlane.schemas import Codec, LedgerEntry, ShadowComparison
from shadowlane.schemas._contracts import FILES
from tests_support import NOON

EVOLVED = tuple(spec for spec in EVENT_TABLES if len(versions(FILES[spec.event])) > 1)
VERSIONS = [(spec, version) for spec in EVENT_TABLES for version in versions(FILES[spec.event])]
OLD_VERSIONS = [(spec, version) for spec, version in VERSIONS if version < versions(FILES[spec.event])[-1]]
PAGE = Path(__file__).parents[3] / "docs" / "lake.md"
TIMES = ("_time", "_at")
STRUCT = pa.struct([("a", pa.int64())])
WIDER = pa.struct([("a", pa.int64()), ("b", pa.struct([("c", pa.map_(pa.string(), pa.float64()))]))])


def golden(spec: EventTable, version: int) -> list[bytes]:
    """The two messages of a version: one with everything, one with what its schema demands."""
    stem = f"{FILES[spec.event]}.{version}"
    return [(GOLDEN / f"{stem}{kind}.bin").read_bytes() for kind in ("", ".bare")]


def new_since(spec: EventTable, version: int) -> set[str]:
    """The columns that events of this version do not have."""
    there = {field["name"] for field in load(GOLDEN / f"{FILES[spec.event]}.{version}.avsc")["fields"]}
    return {
        field.name
        for field in fields(spec.event)  # type: ignore[arg-type] # each is a dataclass
    } - there


def of_version(spec: EventTable, version: int) -> EventTable:
    """The table as an aggregator of back then knew it."""
    gone = new_since(spec, version)
    return replace(spec, schema=pa.schema([field for field in spec.schema if field.name not in gone]))


def small(*fields: tuple[str, pa.DataType]) -> TableSpec:
    """A small table with these columns."""
    return TableSpec(
        "small", pa.schema([("n", pa.int64()), *fields, ("model", pa.string())]), ("model",), ("n",)
    )


def append(lake: Path, spec: TableSpec, n: int, **values: Any) -> None:
    """Land one row in a small table."""
    writer = LakeTable(lake, spec)
    writer.resume("t-0")
    writer.append(pa.Table.from_pylist([{"n": n, "model": "m", **values}], schema=spec.schema), {"t-0": n})


@pytest.mark.parametrize("backwards", [False, True], ids=["oldest first", "newest first"])
@pytest.mark.parametrize("spec", EVOLVED, ids=lambda spec: spec.name)
def test_events_of_every_version_land_in_one_table(spec: EventTable, tmp_path: Path, backwards: bool) -> None:
    """In either order: what a version has is there, what came later is its default."""
    order = versions(FILES[spec.event])[:: -1 if backwards else 1]
    table = LakeTable(tmp_path, spec)
    for n, version in enumerate(order):
        table.append(rows_of(spec, golden(spec, version), offset=2 * n), {"t-0": 2 * n + 2})
    for n, version in enumerate(order):
        full = json.loads((GOLDEN / f"{FILES[spec.event]}.{version}.json").read_text())
        shared = sorted(
            full.keys() & set(spec.schema.names) - {each for each in full if each.endswith(TIMES)}
        )
        [found] = query(
            tmp_path / spec.name,
            f"select {', '.join(shared)} from {{files}} where landed_offset = {2 * n}",  # noqa: S608 - ours
        )
        for name, value in zip(shared, found, strict=True):
            assert value == full[name], name
    counted = "select count(*), count(distinct landed_offset) from {files}"
    assert query(tmp_path / spec.name, counted) == [(2 * len(order), 2 * len(order))]


@pytest.mark.parametrize(
    ("spec", "version"), OLD_VERSIONS, ids=[f"{spec.name}.{version}" for spec, version in OLD_VERSIONS]
)
@pytest.mark.parametrize("older_first", [True, False])
def test_an_older_aggregator_and_a_newer_one_share_a_table(
    spec: EventTable, version: int, tmp_path: Path, older_first: bool
) -> None:
    """Rows of the older have null in columns that it does not know, whoever of the two made the table."""
    older = of_version(spec, version)
    rows = {
        older: rows_of(spec, golden(spec, version)).select(older.schema.names),
        spec: rows_of(spec, golden(spec, versions(FILES[spec.event])[-1]), offset=2),
    }
    for n, each in enumerate([older, spec] if older_first else [spec, older]):
        writer = LakeTable(tmp_path, each)
        assert writer.resume("t-0") == (n or None)
        writer.append(rows[each], {"t-0": n + 1})
    fresh = sorted(new_since(spec, version))
    asked = f"select {', '.join(fresh)} from {{files}} order by landed_offset"  # noqa: S608 - our columns
    found = query(tmp_path / spec.name, asked)
    assert found[:2] == [(None,) * len(fresh)] * 2
    assert None not in found[2]
    assert {field.name for field in DeltaTable(str(tmp_path / spec.name)).schema().fields} == set(
        spec.schema.names
    )


def test_a_report_counts_rows_of_every_version(tmp_path: Path) -> None:
    """Files without the columns that it looks at are no obstacle, nor is a table that has never had them."""
    first = of_version(COMPARISONS, 1)
    rows = rows_of(COMPARISONS, golden(COMPARISONS, 1)).select(first.schema.names)
    LakeTable(tmp_path, first).append(rows, {"t-0": 2})
    errors = rows_of(ERRORS, golden(ERRORS, 1)).select(of_version(ERRORS, 1).schema.names)
    LakeTable(tmp_path, of_version(ERRORS, 1)).append(errors, {"t-0": 2})
    scope = Scope("m", "s")
    assert read_report(tmp_path, scope).compared == 1
    newest = LakeTable(tmp_path, COMPARISONS)
    newest.resume("t-0")
    message = Codec(ShadowComparison).encode(
        replace(Codec(ShadowComparison).decode(golden(COMPARISONS, 3)[1]), request_id="r2", source_offset=9)
    )
    newest.append(rows_of(COMPARISONS, [message], offset=2), {"t-0": 3})
    report = json.loads(report_to_json(read_report(tmp_path, scope)))
    assert report["compared"] == 2


@pytest.mark.parametrize(
    ("before", "after", "values"),
    [
        (STRUCT, WIDER, ({"a": 1}, {"a": 2, "b": {"c": [("k", 1.0)]}})),
        (pa.list_(STRUCT), pa.list_(WIDER), ([{"a": 1}], [{"a": 2, "b": {"c": [("k", 1.0)]}}])),
        (
            pa.map_(pa.string(), STRUCT),
            pa.map_(pa.string(), WIDER),
            ([("k", {"a": 1})], [("k", {"a": 2, "b": {"c": []}})]),
        ),
    ],
    ids=["struct", "list of structs", "map of structs"],
)
@pytest.mark.parametrize("widened_first", [True, False])
def test_a_struct_that_gets_a_field_has_null_there_in_old_rows(
    before: pa.DataType, after: pa.DataType, values: tuple[Any, Any], tmp_path: Path, widened_first: bool
) -> None:
    """At any depth, whichever row came first; the table says so to every engine."""
    landed = [(1, before, values[0]), (2, after, values[1])]
    for n, kind, value in landed[:: -1 if widened_first else 1]:
        append(tmp_path, small(("s", kind)), n, s=value)
    each = {STRUCT: "s", pa.list_(STRUCT): "s[1]"}.get(before, "s['k']")
    asked = f"select n, {each}.a, {each}.b is null from {{files}} order by n"  # noqa: S608 - our columns
    assert query(tmp_path / "small", asked) == [(1, 1, True), (2, 2, False)]
    (column,) = [each for each in DeltaTable(str(tmp_path / "small")).schema().fields if each.name == "s"]
    assert '"name":"b"' in column.to_json().replace(" ", "")


def test_a_table_is_widened_once(tmp_path: Path) -> None:
    """Rows of fewer columns, or of the same, change nothing in the table's log but for their own commit."""
    wide, narrow = small(("s", WIDER), ("x", pa.string())), small(("s", STRUCT))
    for n, spec in enumerate([narrow, wide, wide, narrow, wide], start=1):
        append(tmp_path, spec, n)
    # The table's making, five commits of rows, and one of columns.
    assert DeltaTable(str(tmp_path / "small")).version() == 6


def test_a_column_that_leaves_the_event_stays(tmp_path: Path) -> None:
    """Its old values are there still, and new rows have null."""
    append(tmp_path, small(("gone", pa.string())), 1, gone="before")
    append(tmp_path, small(), 2)
    assert query(tmp_path / "small", "select n, gone from {files} order by n") == [(1, "before"), (2, None)]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (pa.int64(), pa.string(), r"small\.c is long in the lake and string in"),
        (pa.int32(), pa.int64(), r"small\.c is integer in the lake and long in"),
        (pa.int64(), pa.int32(), r"small\.c is long in the lake and integer in"),
        (pa.timestamp("us", tz="UTC"), pa.int64(), r"small\.c is timestamp in the lake and long in"),
        (pa.int64(), pa.list_(pa.int64()), r"small\.c is long in the lake and array in"),
        (STRUCT, pa.struct([("z", pa.int64()), ("a", pa.string())]), r"small\.c\.a is long .* string in"),
        (pa.list_(pa.string()), pa.list_(pa.float64()), r"small\.c\.element is string .* double in"),
        (
            pa.map_(pa.string(), pa.list_(STRUCT)),
            pa.map_(pa.string(), pa.list_(pa.struct([("a", pa.bool_())]))),
            r"small\.c\.value\.element\.a is long .* boolean in",
        ),
        (
            pa.map_(pa.string(), pa.int64()),
            pa.map_(pa.int64(), pa.int64()),
            r"small\.c\.key is string .* long in",
        ),
    ],
)
def test_a_type_that_changed_is_refused_when_the_table_is_opened(
    before: pa.DataType, after: pa.DataType, said: str, tmp_path: Path
) -> None:
    """With its place and both types, before a row is written, and the table stays as it is."""
    append(tmp_path, small(("c", before)), 1)
    with pytest.raises(LakeError, match=said + r" this version's events: .*new lake folder \(--lake\)"):
        LakeTable(tmp_path, small(("c", after), ("fresh", pa.string())))
    assert DeltaTable(str(tmp_path / "small")).version() == 1
    append(tmp_path, small(("c", before)), 2)


def test_a_table_of_other_folders_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    """Another program's table of the same name is not written into."""
    append(tmp_path, small(), 1)
    with pytest.raises(LakeError, match="small is partitioned by model, not by n: another program's table"):
        LakeTable(tmp_path, replace(small(), partition_by=("n",)))


def test_the_way_out_of_a_changed_type_is_a_new_lake_and_both_are_read_as_one(tmp_path: Path) -> None:
    """The new lake takes what Kafka still holds; the query of docs/lake.md has each place of both once."""
    entries = [
        Codec(LedgerEntry).encode(
            LedgerEntry(producer_id="p", model="m", started_at=NOON, recorded_at=NOON, observed=n)
        )
        for n in range(6)
    ]
    rows = rows_of(LEDGER, entries)
    text = replace(LEDGER, schema=pa.schema([_as_text(field) for field in LEDGER.schema]))
    old = LakeTable(tmp_path / "lake", text)
    old.append(rows.slice(0, 4).cast(text.schema), {"t-0": 4})
    with pytest.raises(LakeError, match=r"ledger\.observed is string in the lake and long"):
        LakeTable(tmp_path / "lake", LEDGER)
    new = LakeTable(tmp_path / "lake-2", LEDGER)
    assert new.resume("t-0") is None
    new.append(rows.slice(2), {"t-0": 6})  # Kafka's retention has passed the first two
    files = {
        name: DeltaTable(str(tmp_path / lake / "ledger")).file_uris()
        for name, lake in (("old", "lake"), ("new", "lake-2"))
    }
    both = re.search(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert both
    connection = duckdb.connect()
    connection.execute("CREATE TABLE read AS " + both[1], files)
    asked = "SELECT landed_partition, landed_offset, observed FROM read ORDER BY landed_offset"
    assert connection.execute(asked).fetchall() == [(0, n, n) for n in range(6)]


def _as_text(field: pa.Field) -> pa.Field:
    return pa.field(field.name, pa.string()) if field.name == "observed" else field


def test_catching_up_older_writers_see_columns_of_newer_ones(tmp_path: Path) -> None:
    """A writer that opened the table before it was widened goes on after it has read the log afresh."""
    narrow, wide = small(), small(("x", pa.string()))
    older = LakeTable(tmp_path, narrow)
    older.resume("old-0")
    append(tmp_path, wide, 1, x="new")
    older.resume("old-0")
    older.append(pa.Table.from_pylist([{"n": 2, "model": "m"}], schema=narrow.schema), {"old-0": 1})
    assert query(tmp_path / "small", "select n, x from {files} order by n") == [(1, "new"), (2, None)]


def test_a_writer_that_widens_the_table_still_learns_that_it_was_forestalled(tmp_path: Path) -> None:
    """Its commit of columns carries it past the other's commit of rows, whose place must not land again."""
    narrow, wide = LakeTable(tmp_path, small()), LakeTable(tmp_path, small(("x", pa.string())))
    for writer in (narrow, wide):
        writer.resume("t-0")
    narrow.append(pa.Table.from_pylist([{"n": 1, "model": "m"}], schema=small().schema), {"t-0": 1})
    again = pa.Table.from_pylist([{"n": 1, "x": "x", "model": "m"}], schema=small(("x", pa.string())).schema)
    with pytest.raises(TakenOverError):
        wide.append(again, {"t-0": 1})
    assert query(tmp_path / "small", "select n from {files}") == [(1,)]


def test_two_aggregators_of_a_new_version_may_widen_a_table_at_once(tmp_path: Path) -> None:
    """Of two that saw the old columns the second reads afresh, and both land all of theirs."""
    append(tmp_path, small(), 1)
    spec = small(("x", pa.string()))
    writers = [LakeTable(tmp_path, spec), LakeTable(tmp_path, spec)]
    for n, writer in enumerate(writers):
        assert writer.resume(f"new-{n}") is None
    for n, writer in enumerate(writers):
        row = pa.Table.from_pylist([{"n": n + 2, "x": "x", "model": "m"}], schema=spec.schema)
        try:
            writer.append(row, {f"new-{n}": 1})
        except TakenOverError:
            assert n == 1
            assert writer.resume("new-1") is None
            writer.append(row, {"new-1": 1})
    assert query(tmp_path / "small", "select n, x from {files} order by n") == [(1, None), (2, "x"), (3, "x")]
    assert [field.name for field in DeltaTable(str(tmp_path / "small")).schema().fields].count("x") == 1
