"""Names that need no quoting, and names that become folders."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.errors import LakeError, SettingsError
from shadowlane.lake import TABLES, LakeTable, TableSpec
from shadowlane.lake._parts import cut
from shadowlane.lake.care import VacuumPlan, vacuum
from shadowlane.schemas import check_name
from strategies import moderate

# What Trino 484's own parser takes for a name only in quotes: `ReservedIdentifiers` of the Maven artifact
# io.trino:trino-parser:484, asked for its list.
TRINO = frozenset(
    """ALTER AND AS AUTO BETWEEN BY CASE CAST CONSTRAINT CREATE CROSS CUBE CURRENT_CATALOG CURRENT_DATE
    CURRENT_PATH CURRENT_ROLE CURRENT_SCHEMA CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER DEALLOCATE DELETE
    DESCRIBE DISTINCT DROP ELSE END ESCAPE EXCEPT EXISTS EXTRACT FALSE FOR FROM FULL GROUP GROUPING HAVING IN
    INNER INSERT INTERSECT INTO IS JOIN JSON_ARRAY JSON_EXISTS JSON_OBJECT JSON_QUERY JSON_SERIALIZE
    JSON_TABLE JSON_VALUE LEFT LIKE LISTAGG LOCALTIME LOCALTIMESTAMP NATURAL NORMALIZE NOT NULL ON OR ORDER
    OUTER OVERLAPS PREPARE RECURSIVE RIGHT ROLLUP SELECT SKIP TABLE THEN TRIM TRUE UESCAPE UNION UNNEST USING
    VALUES WHEN WHERE WITH""".lower().split()
)
NASTY = (
    "", ".", "..", "../up", "a/../../b", "/etc", "a\x00b", "a b", "a ", " a", "a.", "a..", ".hidden", "a=b",
    "_delta_log", "__HIVE_DEFAULT_PARTITION__", "a%2Fb", "a\\b", "a\n", "x" * 129, "x" * 300, "é", "e\u0301",
    "\uff46", "\u0663", "\u2024\u2024", "-rf", "~", "*", "a?", "[a]",
)  # fmt: skip
SPEC = TableSpec(
    "numbers",
    pa.schema([("number", pa.int64()), ("model", pa.string()), ("date", pa.date32())]),
    ("model", "date"),
    ("number",),
)


def paths(field: pa.Field, prefix: str = "") -> Iterator[str]:
    """A column, and the fields of a struct as one writes them in a query."""
    yield prefix + field.name
    if pa.types.is_struct(field.type):
        for each in field.type:
            yield from paths(each, f"{prefix}{field.name}.")


def rows(*models: str | None) -> pa.Table:
    """A row for each of these models."""
    days = pa.nulls(len(models), pa.date32())
    return pa.table({"number": range(len(models)), "model": models, "date": days}, schema=SPEC.schema)


@pytest.mark.parametrize("spec", TABLES, ids=lambda spec: spec.name)
def test_no_column_is_a_word_that_an_engine_reserves(spec: TableSpec) -> None:
    """Neither DuckDB's keywords nor Trino's reserved words; Spark is asked in the tests of engines."""
    asked = "select keyword_name from duckdb_keywords() where keyword_category <> 'unreserved'"
    taken = TRINO | {name for (name,) in duckdb.execute(asked).fetchall()}
    names = {part for field in spec.schema for path in paths(field) for part in path.split(".")}
    assert sorted((names | {spec.name}) & taken) == []


@pytest.mark.parametrize("spec", TABLES, ids=lambda spec: spec.name)
def test_every_column_is_queried_without_quotes(spec: TableSpec) -> None:
    """As a value, as an alias, in a group and an order, fields of structs too."""
    connection = duckdb.connect()
    connection.register("empty", spec.schema.empty_table())
    connection.execute(f"create table {spec.name} as from empty")
    for path in (path for field in spec.schema for path in paths(field)):
        name = path.rpartition(".")[2]
        connection.execute(
            f"select {path} as {name}, count(*) from {spec.name} where {path} is not null "  # noqa: S608 - ours
            f"group by {path} order by {name}"
        )


@pytest.mark.parametrize("spec", TABLES, ids=lambda spec: spec.name)
def test_every_column_may_be_null_and_differs_by_more_than_case(spec: TableSpec) -> None:
    """A file from before a column has none of it; Spark and Delta do not tell case apart."""
    assert all(field.nullable for field in spec.schema)
    assert len({name.lower() for name in spec.schema.names}) == len(spec.schema.names)


@given(name=st.text(max_size=8) | st.text("aA.-_/\\ \x00", max_size=8) | st.sampled_from(NASTY))
@moderate
def test_a_name_either_is_a_folder_of_its_own_or_is_refused(name: str) -> None:
    """What passes is one step below its table, under its own name; what does not writes nothing."""
    root = Path("/lake/numbers")
    try:
        check_name("model", name)
    except SettingsError:
        with pytest.raises(LakeError, match="no folder of the lake: model name"):
            list(cut(rows(name), SPEC))
        return
    (part,) = cut(rows(name), SPEC)
    folder = PurePosixPath(part.path).parts
    assert folder[:2] == (f"model={name}", "date=__HIVE_DEFAULT_PARTITION__")
    assert (root / part.path).resolve().parents[2] == root
    assert len(folder[0].encode()) < 255


@pytest.mark.parametrize("name", NASTY)
def test_names_that_could_do_harm_do_not_pass(name: str) -> None:
    """Steps up, NUL, nothing, too much, what Hive and Delta keep for themselves, letters that look alike."""
    with pytest.raises(SettingsError):
        check_name("model", name)


@pytest.mark.parametrize("name", ["a", "A.b_c-1", "7", "x" * 128, "2026-01-01", "null", "CON"])
def test_names_that_people_use_pass(name: str) -> None:
    """Letters, digits, dots, underscores and hyphens."""
    assert check_name("model", name) == name


def test_names_that_differ_in_case_alone_stay_apart() -> None:
    """A disk that does not tell them apart puts their files into one folder: values and names tell still."""
    parts: list[Any] = list(cut(rows("ranker", "Ranker", None), SPEC))
    assert [part.partition["model"] for part in parts] == ["ranker", "Ranker", None]
    assert len({part.path.lower() for part in parts}) == 3


def test_vacuum_spares_both_models_where_a_disk_makes_one_folder_of_two(tmp_path: Path) -> None:
    """What the log lists as `model=ranker/…` is found as `model=Ranker/…`, and is no leftover."""
    table = LakeTable(tmp_path, SPEC)
    table.append(rows("ranker", "Ranker"), {"t-0": 2})
    lower, upper = tmp_path / "numbers" / "model=ranker", tmp_path / "numbers" / "model=Ranker"
    for file in lower.rglob("*.parquet"):
        file.rename(upper / file.relative_to(lower))
    shutil.rmtree(lower)
    lower.symlink_to(upper)  # as such a disk has it: two names, one folder, listed once
    files = [Path(uri) for uri in DeltaTable(str(tmp_path / "numbers")).file_uris()]
    vacuum(VacuumPlan(tmp_path, (SPEC,), keep=timedelta(0), force=True))
    assert len(files) == 2
    assert all(file.exists() for file in files)
