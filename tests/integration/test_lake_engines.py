# ruff: noqa: S608  # statements made of our own columns and folders
"""The lake's tables in other engines: Spark with Delta Lake and without, plain DuckDB, pyarrow."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable

import spark as apache_spark
from golden.generate import GOLDEN, load, versions
from lake_rows import rows_of
from shadowlane.aggregator import Scope, read_report, report_to_json
from shadowlane.lake import (
    COMPARISONS,
    DEAD_LETTERS,
    DECISIONS,
    EVENT_TABLES,
    TABLES,
    EventTable,
    LakeTable,
    TableSpec,
)
from shadowlane.lake.care import CompactionPlan, ExpiryPlan, VacuumPlan, compact, expire, expiring, vacuum
from shadowlane.schemas import Codec, Features, Prediction, ShadowComparison
from shadowlane.schemas._contracts import FILES
from spark import Spark

EXAMPLES = Path(__file__).parents[2] / "examples"
START = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
COMPARISON = ShadowComparison(
    request_id="",
    event_time=START,
    model="fraud",
    model_version="7",
    shadow="boosted",
    source_topic="production-requests",
    source_partition=0,
    source_offset=0,
    primary_prediction=Prediction(score=0.5),
    shadow_prediction=Prediction(score=0.5),
    agreement=True,
    comparator="score:0.05",
    shadow_latency_ms=1.0,
    replay_lag_ms=1.0,
)


def comparisons(count: int) -> list[bytes]:
    """Comparisons over two days: some repeated, some ignored, latencies that are none among them."""
    draw = random.Random(7)  # noqa: S311 - data, no secret
    codec = Codec(ShadowComparison)
    return [
        codec.encode(
            replace(
                COMPARISON,
                request_id=f"r-{n if n % 20 else n // 2}",
                event_time=START + timedelta(seconds=n, microseconds=draw.randrange(10**6)),
                source_offset=n,
                segments={} if n % 11 == 0 else {"country": draw.choice(["DE", "FR", "US"])},
                agreement=draw.random() < 0.9,
                comparator="ignored:label=x" if n % 13 == 0 else "score:0.05",
                primary_latency_ms=draw.choice([None, float("nan"), -1.0]) if n % 17 == 0 else draw.random(),
                shadow_latency_ms=draw.expovariate(1),
                latency_basis="warmup" if n % 19 == 0 else "single",
                features=Features(numbers={"amount": draw.random()}) if n % 3 == 0 else None,
            )
        )
        for n in range(count)
    ]


def golden(spec: EventTable) -> list[bytes]:
    """The two golden messages of each version of an event."""
    stem = FILES[spec.event]
    return [
        (GOLDEN / f"{stem}.{version}{kind}.bin").read_bytes()
        for version in versions(stem)
        for kind in ("", ".bare")
    ]


def first_version() -> EventTable:
    """The comparisons as the first aggregators knew them."""
    there = {field["name"] for field in load(GOLDEN / "shadow_comparison.1.avsc")["fields"]}
    gone = {name for name in COMPARISONS.schema.names if name in FIELDS and name not in there}
    return replace(
        COMPARISONS, schema=pa.schema([each for each in COMPARISONS.schema if each.name not in gone])
    )


FIELDS = {field["name"] for field in load(GOLDEN / "shadow_comparison.3.avsc")["fields"]}


def make_lake(root: Path) -> Path:
    """Every table filled; the comparisons from an old version on, past a checkpoint of the log."""
    old = first_version()
    LakeTable(root, old).append(
        rows_of(COMPARISONS, golden(COMPARISONS)[:2]).select(old.schema.names), {"t-0": 2}
    )
    for spec in EVENT_TABLES:
        table = LakeTable(root, spec)
        table.resume("t-0")
        table.append(rows_of(spec, golden(spec), offset=2), {"t-0": 10})
    table = LakeTable(root, COMPARISONS)
    made = comparisons(3_000)
    for start in range(0, 3_000, 1_000):
        table.append(rows_of(COMPARISONS, made[start : start + 1_000], offset=start), {"t-1": start + 1_000})
    for offset in range(3_001, 3_101):
        table.move({"t-1": offset})
    table.append(rows_of(COMPARISONS, comparisons(10), offset=3_101), {"t-1": 3_111})
    letter = {"topic": "t", "landed_partition": 0, "landed_offset": 10, "error_type": "E", "message": "m"}
    letter |= {"raw": "AA==", "landed_at": START, "date": START.date()}
    LakeTable(root, DEAD_LETTERS).append(
        pa.Table.from_pylist([letter], schema=DEAD_LETTERS.schema), {"t-0": 11}
    )
    decision = dict.fromkeys(DECISIONS.schema.names, "x") | {"decided_at": START, "date": START.date()}
    LakeTable(root, DECISIONS).append(
        pa.Table.from_pylist([decision], schema=DECISIONS.schema), {"shadowlane/decisions": 1}
    )
    assert (root / "comparisons" / "_delta_log" / "_last_checkpoint").exists()
    return root


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that no test writes into."""
    return make_lake(tmp_path_factory.mktemp("engines") / "lake")


@pytest.fixture(scope="module")
def installed() -> Path:
    """Spark's environment; what keeps it from being made is said, and in CI it is a failure."""
    try:
        return apache_spark.install()
    except (OSError, RuntimeError, subprocess.CalledProcessError) as failure:
        if os.environ.get("SHADOWLANE_TEST_SPARK") == "required":
            raise
        pytest.skip(f"no Apache Spark here: {failure}")


@pytest.fixture(scope="module")
def spark(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spark]:
    """A session of Spark."""
    with apache_spark.session(installed, tmp_path_factory.mktemp("spark")) as running:
        yield running


def paths(field: pa.Field, prefix: str = "") -> Iterator[tuple[str, pa.DataType]]:
    """A column, or the fields of a struct as one writes them in a query, with their types."""
    if pa.types.is_struct(field.type):
        for each in field.type:
            yield from paths(each, f"{prefix}{field.name}.")
    else:
        yield prefix + field.name, field.type


def asked(spec: TableSpec, microseconds: str) -> str:
    """All columns, times as numbers."""
    columns = [
        f"{microseconds}({path})"
        if pa.types.is_timestamp(kind)
        else f"cast({path} as string)"
        if kind == pa.date32()
        else path
        for field in spec.schema
        for path, kind in paths(field)
    ]
    where = "where model <> 'fraud'" if "model" in spec.schema.names else ""
    order = "landed_offset" if "landed_offset" in spec.schema.names else spec.sorted_by[0]
    return f"select {', '.join(columns)} from {{table}} {where} order by {order}"


def in_duckdb(lake: Path, statement: str, table: str) -> list[list[Any]]:
    """A statement's rows, as JSON has them."""
    files = (
        "read_parquet($files, union_by_name = true, hive_partitioning = true, hive_types = {'date': DATE})"
    )
    found = duckdb.execute(
        statement.format(table=files), {"files": DeltaTable(str(lake / table)).file_uris()}
    ).fetchall()
    rows: list[list[Any]] = json.loads(json.dumps(found))
    return rows


def segments_of(lake: Path) -> dict[Any, tuple[int, float]]:
    """What the report says of each country: compared, and the rate of agreement."""
    report = json.loads(report_to_json(read_report(lake, Scope("fraud", "boosted"), by=["country"])))
    country, *_ = report["segments"]
    return {each["value"]: (each["compared"], each["agreement_rate"]) for each in country["groups"]}


def by_country(rows: list[dict[str, Any]]) -> dict[Any, tuple[int, float]]:
    """The same of an example's rows."""
    return {
        row["cohort"]: (
            row["compared"],
            # The report's JSON has twelve digits.
            float(f"{row['agreements'] / (row['compared'] - row['ignored']):.12g}"),
        )
        for row in rows
        if not row["is_total"]
    }


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """A row to twelve digits."""
    return {
        name: float(f"{value:.12g}") if isinstance(value, float) else value for name, value in row.items()
    }


def run_example(
    command: list[Any], folder: Path, environment: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """An example's output; Spark leaves a warehouse where it runs."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("spec", TABLES, ids=lambda spec: spec.name)
def test_spark_reads_every_column_of_every_version_as_duckdb_does(
    spec: TableSpec, lake: Path, spark: Spark
) -> None:
    """Extremes of every type: years 1 and 9999, the largest numbers, maps, lists, and text with NUL in it."""
    theirs = spark.sql(asked(spec, "unix_micros").format(table=f"delta.`{lake / spec.name}`"))
    ours = in_duckdb(lake, asked(spec, "epoch_us"), spec.name)
    assert len(ours) > 0
    assert theirs == ours


def test_spark_and_plain_duckdb_draw_the_figures_of_the_report(
    lake: Path, installed: Path, tmp_path: Path
) -> None:
    """Counts, agreement and the 99th percentiles of the examples are those of `shadowlane report`."""
    arguments = [lake, "fraud", "boosted", "--by", "country"]
    ours = run_example([sys.executable, EXAMPLES / "duckdb_report.py", *arguments], tmp_path)
    theirs = run_example(
        [installed / "bin" / "python", EXAMPLES / "spark_report.py", *arguments],
        tmp_path,
        apache_spark.environment(installed),
    )
    # What lies between two values is worked out in another order: the last digit may differ.
    assert [rounded(row) for row in theirs] == [rounded(row) for row in ours]
    report = json.loads(report_to_json(read_report(lake, Scope("fraud", "boosted"), by=["country"])))
    total = ours[0]
    assert total["is_total"]
    assert (total["compared"], total["agreements"], total["ignored"]) == (
        report["compared"],
        report["agreements"],
        report["ignored"],
    )
    assert total["compared"] < 3_000  # a request that came twice is one
    [single] = [each for each in report["latencies"] if each["basis"] == "single"]
    assert total["primary_p99_ms"] == pytest.approx(single["primary"]["p99_ms"], rel=1e-12)
    assert total["shadow_p99_ms"] == pytest.approx(single["shadow"]["p99_ms"], rel=1e-12)
    assert by_country(ours) == segments_of(lake)


def test_spark_takes_no_column_for_a_word_of_its_own(lake: Path, spark: Spark) -> None:
    """In ANSI mode with reserved words enforced: as a value, an alias, in a group and an order."""
    reserved = {
        word.lower() for word, is_reserved in spark.sql("select * from sql_keywords()") if is_reserved
    }
    assert "select" in reserved
    for spec in TABLES:
        columns = [path for field in spec.schema for path, _ in paths(field)]
        assert {part for path in columns for part in path.split(".")} & reserved == set()
        counts = ", ".join(f"count({path}) as {path.rpartition('.')[2]}{n}" for n, path in enumerate(columns))
        names = ", ".join(field.name for field in spec.schema)
        spark.sql(
            f"explain select {counts} from (select {names} from delta.`{lake / spec.name}`) as {spec.name}"
        )


def test_what_the_log_says_of_a_file_is_what_spark_finds_in_it(lake: Path, spark: Spark) -> None:
    """Files are skipped by the log's least and greatest values: none that has a wanted row."""
    table = f"delta.`{lake}/comparisons`"
    within = "event_time between timestamp'2026-11-20 23:55:00.5' and timestamp'2026-11-21 00:05:00'"
    for where in (within, "date = date'2026-11-21'", "landed_offset between 95 and 1007 and model = 'fraud'"):
        statement = f"select count(*), max(unix_micros(event_time)) from {table} where {where}"
        theirs = spark.sql(statement)
        files = {"files": DeltaTable(str(lake / "comparisons")).file_uris()}
        plain = statement.replace(table, "read_parquet($files, union_by_name = true)").replace(
            "unix_micros", "epoch_us"
        )
        ours = duckdb.connect()
        ours.execute("set TimeZone = 'UTC'")
        assert theirs == [list(ours.execute(plain, files).fetchone() or ())]
        assert theirs[0][0] > 0


def test_spark_sees_the_tables_history_and_reads_a_version_of_before(lake: Path, spark: Spark) -> None:
    """Each commit is a version, and the newest is the one that a report says it was drawn from."""
    history = spark.sql(f"describe history delta.`{lake}/comparisons`")
    report = json.loads(report_to_json(read_report(lake, Scope("fraud", "boosted"))))
    assert max(row[0] for row in history) == report["table_versions"]["comparisons"]
    before = spark.sql(f"select count(*) from delta.`{lake}/comparisons` version as of 5")
    assert before == [[DeltaTable(str(lake / "comparisons"), version=5).count()]]


def test_plain_spark_reads_the_files_that_the_log_lists(lake: Path, spark: Spark) -> None:
    """Without Delta Lake: the list, and the columns, which the log's text names as Spark does."""
    table = DeltaTable(str(lake / "comparisons"))
    spark.view_files("plain", lake / "comparisons", table.file_uris(), table.schema().to_json())
    statement = (
        "select model, date, count(*), count(traceparent), sum(landed_offset) from {} "
        "group by model, date order by model, date"
    )
    assert spark.sql(statement.format("plain")) == spark.sql(statement.format(f"delta.`{lake}/comparisons`"))


def test_pyarrow_reads_the_files_that_the_log_lists(lake: Path) -> None:
    """As a data set of Hive folders, whose types are named."""
    folders = ds.partitioning(pa.schema([("model", pa.string()), ("date", pa.date32())]), flavor="hive")
    for spec in EVENT_TABLES:
        table = DeltaTable(str(lake / spec.name))
        read = ds.dataset(
            table.file_uris(),
            schema=spec.schema,
            partitioning=folders,
            partition_base_dir=str(lake / spec.name),
        )
        assert read.count_rows() == table.count()
        assert set(read.to_table().schema.names) == set(spec.schema.names)


def test_spark_sees_a_struct_that_got_a_field(tmp_path: Path, spark: Spark) -> None:
    """Null in old rows, there in new ones."""
    kinds = [pa.struct([("a", pa.int64())]), pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))])]
    for n, kind in enumerate(kinds):
        spec = TableSpec(
            "small", pa.schema([("n", pa.int64()), ("s", kind), ("m", pa.string())]), ("m",), ("n",)
        )
        writer = LakeTable(tmp_path, spec)
        writer.resume("t-0")
        row = {"n": n, "s": {"a": n, "b": ["x"]}, "m": "m"}
        writer.append(pa.Table.from_pylist([row], schema=spec.schema), {"t-0": n + 1})
    found = spark.sql(f"select n, s.a, s.b from delta.`{tmp_path}/small` order by n")
    assert found == [[0, 0, None], [1, 1, ["x"]]]


def test_writers_go_on_after_spark_has_rewritten_a_table(tmp_path: Path, spark: Spark) -> None:
    """Spark joins files, deletes rows and writes a checkpoint; positions, rows and figures stay right."""
    made = comparisons(400)
    table = LakeTable(tmp_path, COMPARISONS)
    for start in range(0, 300, 100):
        table.append(rows_of(COMPARISONS, made[start : start + 100], offset=start), {"t-1": start + 100})
    path = tmp_path / "comparisons"
    spark.sql(f"optimize delta.`{path}`")
    spark.sql(f"delete from delta.`{path}` where landed_offset = 250")
    spark.sql(f"alter table delta.`{path}` set tblproperties ('delta.checkpointInterval' = '1')")
    spark.sql(f"delete from delta.`{path}` where landed_offset = 251")
    assert (path / "_delta_log" / "_last_checkpoint").exists()
    table.resume("t-1")
    table.append(rows_of(COMPARISONS, made[300:], offset=300), {"t-1": 400})
    fresh = LakeTable(tmp_path, COMPARISONS)
    assert fresh.resume("t-1") == 400
    counted = "select count(*), count(distinct landed_offset), sum(landed_offset) from {table}"
    expected = [[398, 398, sum(range(400)) - 250 - 251]]
    assert in_duckdb(tmp_path, counted, "comparisons") == expected
    assert spark.sql(counted.format(table=f"delta.`{path}`")) == expected
    assert read_report(tmp_path, Scope("fraud", "boosted")).compared > 0


def test_spark_reads_what_compaction_retention_and_vacuum_leave(tmp_path: Path, spark: Spark) -> None:
    """Fewer files with the same rows, also in the version before; then a day less, and no file missed."""
    made = comparisons(2_400)
    table = LakeTable(tmp_path, COMPARISONS)
    for start in range(0, 2_400, 400):
        table.append(rows_of(COMPARISONS, made[start : start + 400], offset=start), {"t-1": start + 400})
    path = tmp_path / "comparisons"
    before = DeltaTable(str(path))
    counted = (
        "select count(*), count(distinct landed_offset), sum(landed_offset), count(features) from {table}"
    )
    now, then = f"delta.`{path}`", f"delta.`{path}` version as of {before.version()}"
    compact(CompactionPlan(tmp_path, (COMPARISONS,)))
    assert len(DeltaTable(str(path)).file_uris()) == 2 < len(before.file_uris())
    expected = [[2_400, 2_400, sum(range(2_400)), 800]]
    assert spark.sql(counted.format(table=now)) == spark.sql(counted.format(table=then)) == expected
    assert in_duckdb(tmp_path, counted, "comparisons") == expected
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    plan = ExpiryPlan(tmp_path, (COMPARISONS,), older_than=datetime.now(UTC) - noon)
    expire(plan, expiring(plan))
    vacuum(VacuumPlan(tmp_path, (COMPARISONS,), keep=timedelta(0), force=True))
    [[rows, *_]] = left = spark.sql(counted.format(table=now))
    assert left == in_duckdb(tmp_path, counted, "comparisons")
    assert 0 < rows < 2_400
    assert spark.sql(f"select distinct date from {now}") == [["2026-11-21"]]
    assert LakeTable(tmp_path, COMPARISONS).resume("t-1") == 2_400
