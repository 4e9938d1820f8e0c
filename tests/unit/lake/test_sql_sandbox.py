"""A query over the lake reaches the lake's files, and nothing else: attacks, each shown to be real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shadowlane.errors import ShadowlaneError
from shadowlane.lake.sql import QueryError, open_query
from shadowlane.lake.sql import _sandbox as sandbox
from shadowlane.lake.sql._gate import Query
from unit.aggregator.report_lake import comparison
from unit.lake.reading_lakes import write

SECRET = "hunter2"  # noqa: S105 - the tests' own

#: What reads or writes files beside the lake; each works where nothing stops it.
FILES = [
    "SELECT * FROM read_csv('{folder}/secret.csv')",
    "SELECT * FROM read_csv_auto('{folder}/secret.csv')",
    "FROM '{folder}/secret.csv'",
    "FROM sniff_csv('{folder}/secret.csv')",
    "SELECT content FROM read_text('{folder}/secret.csv')",
    "SELECT content FROM read_blob('{folder}/secret.csv')",
    "SELECT * FROM read_json('{folder}/secret.json')",
    "SELECT * FROM read_json_objects('{folder}/secret.json')",
    "SELECT * FROM read_parquet('{folder}/secret.parquet')",
    "SELECT * FROM parquet_metadata('{folder}/secret.parquet')",
    "SELECT * FROM parquet_schema('{folder}/secret.parquet')",
    "SELECT * FROM parquet_kv_metadata('{folder}/secret.parquet')",
    "SELECT * FROM glob('{folder}/*')",
    "WITH a AS (FROM read_text('{folder}/secret.csv')) SELECT * FROM a",
    "SELECT (SELECT content FROM read_text('{folder}/secret.csv'))",
    "SELECT 1 UNION ALL SELECT size FROM read_text('{folder}/secret.csv')",
    "SELECT * FROM (VALUES (1)) v, LATERAL (FROM read_text('{folder}/secret.csv'))",
    "EXPLAIN ANALYZE SELECT * FROM read_text('{folder}/secret.csv')",
    "DESCRIBE SELECT * FROM read_text('{folder}/secret.csv')",
    "SUMMARIZE FROM read_text('{folder}/secret.csv')",
    "FROM query('FROM read_text(''{folder}/secret.csv'')')",
    "FROM main.read_text('{folder}/secret.csv')",
    "FROM \"READ_TEXT\"('{folder}/secret.csv')",
    "PIVOT (FROM read_text('{folder}/secret.csv')) ON size USING count(*)",
    "ATTACH '{folder}/other.db'",
    "COPY (SELECT 1) TO '{folder}/out.csv'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/out.csv'",
    "EXPORT DATABASE '{folder}/out'",
    "CREATE TABLE taken AS FROM read_csv('{folder}/secret.csv')",
    "CREATE VIEW taken AS FROM read_csv('{folder}/secret.csv')",
    "EXPLAIN ANALYZE CREATE TABLE taken AS FROM read_csv('{folder}/secret.csv')",
    "PREPARE a AS FROM read_text('{folder}/secret.csv')",
    "SELECT 1; COPY (SELECT 1) TO '{folder}/out.csv'",
    "SELECT 1 /* ; */; ATTACH '{folder}/other.db' -- ",
]

#: What changes the engine, or asks it about the machine; each works where nothing stops it.
ENGINE = [
    "SET memory_limit = '1GB'",
    "SET threads = 1",
    "RESET threads",
    "SET VARIABLE a = 1",
    "PRAGMA enable_profiling",
    "PRAGMA database_list",
    "FROM duckdb_settings()",
    "FROM duckdb_extensions()",
    "FROM pg_settings",
    'SELECT (SELECT any_value(setting) FROM pg_catalog."PG_Settings")',
    "SELECT current_setting('temp_directory')",
    "SELECT write_log('a')",
    "CREATE TABLE a (b INT)",
    "CREATE MACRO a() AS 1",
    "CREATE SECRET a (TYPE http, BEARER_TOKEN 'x')",
    "BEGIN",
    "CHECKPOINT",
    "USE memory",
    "VACUUM",
]

#: What would need more than a plain engine has, or exists in its shell or in some versions only.
ELSEWHERE = [
    "SELECT sleep_ms(1)",
    "FROM enable_logging()",
    "CALL enable_logging()",
    "INSTALL httpfs",
    "FORCE INSTALL httpfs FROM community",
    "LOAD httpfs",
    "LOAD '{folder}/evil.duckdb_extension'",
    "SELECT * FROM read_csv('http://127.0.0.1:9/x')",
    "SELECT * FROM read_parquet('s3://other/x.parquet')",
    "FROM 'https://127.0.0.1:9/x.csv'",
    "SELECT getenv('HOME')",
    "IMPORT DATABASE '{folder}/out'",
    "DETACH memory",
    "INSERT INTO comparisons SELECT * FROM comparisons",
    "DELETE FROM comparisons",
    "UPDATE comparisons SET model = 'x'",
    "TRUNCATE comparisons",
    "DROP VIEW comparisons",
    "ALTER VIEW comparisons RENAME TO x",
    "MERGE INTO comparisons USING errors ON true WHEN MATCHED THEN DELETE",
    "WITH a AS (DELETE FROM comparisons RETURNING *) SELECT * FROM a",
    "SELECT (WITH a AS (INSERT INTO comparisons FROM comparisons RETURNING *) SELECT count(*) FROM a)",
    "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "COMMENT ON VIEW comparisons IS 'x'",
    "EXECUTE a",
    "KILL 1",
    ".shell ls",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with secrets in it, and a lake below."""
    (tmp_path / "secret.csv").write_text(f"a\n{SECRET}\n")
    (tmp_path / "secret.json").write_text(f'{{"a": "{SECRET}"}}\n')
    pq.write_table(pa.table({"a": [SECRET]}), tmp_path / "secret.parquet")
    write(tmp_path / "lake", [comparison(n) for n in range(3)])
    return tmp_path


def everything(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ask(folder: Path, query: str) -> list[tuple[object, ...]]:
    """The rows of a query."""
    with open_query(folder / "lake", query) as answer:
        return list(answer.rows)


def test_the_lake_itself_is_read(folder: Path) -> None:
    """What is refused below is refused for its own sake: a query over the tables has an answer."""
    assert ask(folder, "SELECT count(*) FROM comparisons") == [(3,)]
    assert ask(folder, "WITH a AS (FROM comparisons) SELECT count(*) FROM a, range(2)") == [(6,)]


@pytest.mark.parametrize("attack", [*FILES, *ENGINE, *ELSEWHERE])
def test_an_attack_is_refused_before_it_runs(folder: Path, attack: str) -> None:
    """Nothing is read, written or changed, and the answer holds no secret."""
    before = everything(folder)
    with pytest.raises(QueryError) as caught:
        ask(folder, attack.format(folder=folder))
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert everything(folder) == before


@pytest.mark.parametrize("attack", [*FILES, *ENGINE])
def test_an_attack_is_real(folder: Path, monkeypatch: pytest.MonkeyPatch, attack: str) -> None:
    """The same statement works in an engine that nothing shuts in: it is no mere mistake in writing."""
    monkeypatch.chdir(folder)
    with duckdb.connect(":memory:") as connection:
        connection.execute(attack.format(folder=folder))


@pytest.fixture
def no_gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever is asked is run."""
    monkeypatch.setattr(sandbox, "let_through", lambda text: Query(text, frozenset({"comparisons"})))
    return iter(())


@pytest.mark.usefixtures("no_gate")
@pytest.mark.parametrize(
    "attack", [*FILES, "INSTALL httpfs", "LOAD httpfs", "SET threads = 1", "CALL enable_logging()"]
)
def test_the_engine_refuses_what_slips_through_the_gate(folder: Path, attack: str) -> None:
    """Were the gate to err, no file beside the lake's could be read or written all the same."""
    before = everything(folder)
    try:
        rows = ask(folder, attack.format(folder=folder))
    except ShadowlaneError as error:
        assert SECRET not in str(error)  # noqa: PT017 - a statement without an effect is fine, too
    else:
        pytest.fail(f"{rows} came of it")
    assert everything(folder) == before


def test_variables_of_the_program_are_no_tables(folder: Path) -> None:
    """A name in a query is a table's, never that of a data frame which happens to be in memory."""
    loot = pa.table({"a": [SECRET]})
    with duckdb.connect(":memory:") as connection:
        assert connection.execute("FROM loot").fetchall() == [(SECRET,)]
    with pytest.raises(QueryError, match="loot does not exist"):
        ask(folder, "FROM loot")
    assert loot.num_rows == 1


def test_files_of_the_lake_that_no_version_lists_are_not_read(folder: Path) -> None:
    """Neither a glob nor a name reaches what lies beside the listed files."""
    stray = folder / "lake" / "comparisons" / "stray.parquet"
    pq.write_table(pa.table({"a": [SECRET]}), stray)
    for query in (f"FROM '{stray}'", f"FROM read_parquet('{stray.parent}/*.parquet')"):
        with pytest.raises(QueryError):
            ask(folder, query)
    assert ask(folder, "SELECT count(*) FROM comparisons") == [(3,)]


def test_a_query_that_names_no_table_reads_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that the gate did not see named is there by its columns alone: no row of it can be had."""
    assert len(ask(folder, "SHOW TABLES")) == len(ask(folder, "SHOW ALL TABLES")) == 9
    columns = ask(
        folder, "SELECT column_name FROM information_schema.columns WHERE table_name = 'comparisons'"
    )
    assert ("request_id",) in columns
    monkeypatch.setattr(sandbox, "let_through", lambda text: Query(text, frozenset()))
    with pytest.raises(ShadowlaneError):
        ask(folder, "SELECT count(request_id) FROM comparisons")


@pytest.mark.parametrize("name", ["it's a lake", "l*ke [1]?", "läke", "a;b--"])
def test_a_lake_in_a_folder_with_an_odd_name_is_read(tmp_path: Path, name: str) -> None:
    """What means something in a pattern or in a query is a letter in a folder's name."""
    write(tmp_path / name, [comparison(0)])
    with open_query(tmp_path / name, "SELECT count(*) FROM comparisons") as answer:
        assert list(answer.rows) == [(1,)]
