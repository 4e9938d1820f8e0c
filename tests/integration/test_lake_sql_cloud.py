"""`shadowlane lake sql` over an object store: the same rows, and not an object more than the lake's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from object_stores import Bucket, s3_bucket, s3_client, s3_store
from shadowlane.errors import DamagedLakeError, LakeUnavailableError, ShadowlaneError
from shadowlane.lake import COMPARISONS, LakeTable
from shadowlane.lake._object_store import make_filesystem
from shadowlane.lake.sql import QueryError, open_query
from shadowlane.lake.sql import _sandbox as sandbox
from shadowlane.lake.sql._gate import Query
from shadowlane.settings import Location
from unit.aggregator.report_lake import comparison

SECRET = "hunter2"  # noqa: S105 - the tests' own

ATTACKS = [
    "FROM read_parquet('s3://lakes/secret.parquet')",
    "FROM 's3://lakes/secret.parquet'",
    "FROM read_text('s3://lakes/secret.txt')",
    "FROM read_parquet('s3://lakes/lake/comparisons/stray.parquet')",
    "FROM glob('s3://lakes/*')",
    "COPY (SELECT 1 AS a) TO 's3://lakes/out.parquet'",
]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A bucket with a lake in it, and secrets beside."""
    secret = tmp_path_factory.mktemp("secret") / "secret.parquet"
    pq.write_table(pa.table({"a": [SECRET]}), secret)
    with s3_store() as endpoint:
        made = s3_bucket(endpoint, "lakes")
        store = s3_client(endpoint)
        store.put_object(Bucket="lakes", Key="secret.txt", Body=SECRET.encode())
        for key in ("secret.parquet", "lake/comparisons/stray.parquet"):
            store.upload_file(str(secret), "lakes", key)
        table = LakeTable(made.location("lake"), COMPARISONS)
        for n in range(3):
            table.resume("topic-0")
            rows = pa.Table.from_pylist([comparison(n)], schema=COMPARISONS.schema)
            table.append(rows, {"topic-0": n + 1})
        yield made


@pytest.fixture
def lake(bucket: Bucket) -> Location:
    """Where the lake is."""
    return bucket.location("lake")


def ask(lake: Location, query: str) -> list[tuple[object, ...]]:
    """The rows of a query."""
    with open_query(lake, query) as answer:
        return list(answer.rows)


def test_a_query_over_a_store_has_its_rows(lake: Location) -> None:
    """The tables are read where they are, with their models and dates."""
    rows = ask(lake, "SELECT model, date, count(*) FROM comparisons GROUP BY ALL")
    assert rows == [("ranker", "2026-03-01", 3)]
    assert ask(lake, "SELECT count(*) FROM errors") == [(0,)]


@pytest.mark.parametrize("attack", ATTACKS)
def test_other_objects_are_out_of_reach(
    lake: Location, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    """Refused at the gate, and by the engine if the gate erred; in an open engine each works."""
    with pytest.raises(QueryError):
        ask(lake, attack)
    monkeypatch.setattr(sandbox, "let_through", lambda text: Query(text, frozenset({"comparisons"})))
    with pytest.raises(ShadowlaneError) as caught:
        ask(lake, attack)
    assert SECRET not in str(caught.value)
    store = s3_client(bucket.endpoint)
    assert "out.parquet" not in [each["Key"] for each in store.list_objects_v2(Bucket="lakes")["Contents"]]
    with duckdb.connect(":memory:") as connection:
        connection.register_filesystem(make_filesystem(lake))
        connection.execute(attack.replace("out.parquet", "elsewhere.parquet"))


def test_an_altered_object_is_found(bucket: Bucket, tmp_path: Path) -> None:
    """An object of the right length and other bytes is named, and nothing is read."""
    LakeTable(bucket.location("altered"), COMPARISONS).append(
        pa.Table.from_pylist([comparison(0)], schema=COMPARISONS.schema), {"topic-0": 1}
    )
    store = s3_client(bucket.endpoint)
    listed = store.list_objects_v2(Bucket="lakes", Prefix="altered/comparisons/model")["Contents"]
    [key] = [each["Key"] for each in listed]
    content = bytearray(store.get_object(Bucket="lakes", Key=key)["Body"].read())
    assert ask(bucket.location("altered"), "SELECT count(*) FROM comparisons") == [(1,)]
    content[len(content) // 2] ^= 1
    store.put_object(Bucket="lakes", Key=key, Body=bytes(content))
    with pytest.raises(DamagedLakeError, match=key.rpartition("/")[2]):
        ask(bucket.location("altered"), "SELECT count(*) FROM comparisons")
    store.delete_object(Bucket="lakes", Key=key)
    with pytest.raises(DamagedLakeError, match="cannot be found"):
        ask(bucket.location("altered"), "SELECT count(*) FROM comparisons")


def test_a_log_that_is_cut_is_damage(bucket: Bucket) -> None:
    """What the store hands out and nobody can make sense of was altered."""
    store = s3_client(bucket.endpoint)
    table = LakeTable(bucket.location("cut"), COMPARISONS)
    table.append(pa.Table.from_pylist([comparison(0)], schema=COMPARISONS.schema), {"topic-0": 1})
    key = "cut/comparisons/_delta_log/00000000000000000001.json"
    content = store.get_object(Bucket="lakes", Key=key)["Body"].read()
    for length in (0, 300, content.rindex(b"\n")):
        store.put_object(Bucket="lakes", Key=key, Body=content[:length])
        with pytest.raises(DamagedLakeError, match=r"cut/comparisons"):
            ask(bucket.location("cut"), "SELECT count(*) FROM comparisons")


def test_a_store_that_does_not_answer_is_no_damage(bucket: Bucket) -> None:
    """It may pass by itself: nothing has to be restored."""
    away = bucket.through("http://127.0.0.1:9").location("lake", max_retries=0)
    with pytest.raises(LakeUnavailableError, match="cannot read"):
        ask(away, "SELECT count(*) FROM comparisons")
