"""Lakes in object stores: what is asked of them, and what is done when they fail."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import shadowlane.lake
from faulty_store import Answer, FaultyStore, LoseAnswer, Reset, Without, faulty_store
from object_stores import (
    AZURE_ACCOUNT,
    AZURITE,
    KEYS,
    Bucket,
    azure_container,
    azure_store,
    azurite,
    google_bucket,
    iam_user,
    s3_bucket,
    s3_store,
)
from shadowlane.errors import DamagedLakeError, LakeError, LakeUnavailableError, MissingExtraError
from shadowlane.lake import (
    DEAD_LETTERS,
    HeldTable,
    LakeTable,
    Location,
    OpenLake,
    TakenOverError,
    VersionGoneError,
    open_lake,
)
from shadowlane.lake._engine import engine
from shadowlane.lake._store import Store, open_store, prove_create_only

DAY = date(2026, 3, 1)


class Everything:
    """Every file."""

    model = start = end = None


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """An S3 of this run's own."""
    with s3_store() as endpoint:
        yield endpoint


@pytest.fixture
def proxy(s3: str) -> Iterator[FaultyStore]:
    """What stands before it."""
    with faulty_store(s3) as proxy:
        yield proxy


@pytest.fixture
def bucket(s3: str, proxy: FaultyStore) -> Bucket:
    """A bucket, reached through the proxy."""
    return s3_bucket(s3, uuid.uuid4().hex).through(proxy.url)


@pytest.fixture
def lake(bucket: Bucket) -> Location:
    """A lake in it, whose clients give up soon."""
    return bucket.location("some/lake", max_retries=2, timeout=2, retry_timeout=2)


@pytest.fixture(params=["s3", "gs", "az"])
def anywhere(request: pytest.FixtureRequest, s3: str, tmp_path: Path) -> Iterator[Location]:
    """A lake in each kind of store."""
    if request.param == "az":
        program = azurite()
        if program is None:
            pytest.skip(f"{AZURITE} is not on the PATH: npm install -g azurite")
        with azure_store(program, tmp_path) as endpoint, faulty_store(endpoint) as proxy:
            container = azure_container(endpoint, "lakes")
            yield container.location("a/lake", endpoint=f"{proxy.url}/{AZURE_ACCOUNT}")
    elif request.param == "gs":
        with faulty_store(s3) as proxy:
            bucket = google_bucket(s3, uuid.uuid4().hex)
            account = str(bucket.options["service_account_key"]).replace(s3, proxy.url)
            yield bucket.location("a/lake", service_account_key=account)
    else:
        yield s3_bucket(s3, uuid.uuid4().hex).location("a/lake")


def rows(*offsets: int) -> pa.Table:
    """Dead letters, as they have the fewest columns."""
    made = [{"topic": "t", "landed_partition": 0, "landed_offset": each, "date": DAY} for each in offsets]
    return pa.Table.from_pylist(made, schema=DEAD_LETTERS.schema)


def store_of(lake: Location) -> Store:
    """The files of the table."""
    return open_store(Location(lake.table(DEAD_LETTERS.name), lake.options))


def offsets(lake: Location) -> list[int]:
    """What has landed, as the query engine reads it."""
    with open_lake(lake, Everything(), (DEAD_LETTERS,)) as tables:
        return _offsets(tables)


def _offsets(tables: OpenLake) -> list[int]:
    tables.load(
        DEAD_LETTERS.name, "CREATE TABLE letters AS SELECT landed_offset FROM read_parquet($files)", {}
    )
    return [offset for (offset,) in tables.rows("SELECT * FROM letters ORDER BY 1")]


def opened(lake: Location) -> LakeTable:
    """The table, with its position read."""
    table = LakeTable(lake, DEAD_LETTERS)
    table.resume("t-0")
    return table


@contextmanager
def _environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Iterator[None]:
    with monkeypatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


def test_every_store_takes_commits_and_refuses_the_second_of_two(anywhere: Location) -> None:
    """Both clients, options, conditional commits and the engine's filesystem agree on where the lake is."""
    prove_create_only(anywhere)
    one, other = opened(anywhere), opened(anywhere)
    one.append(rows(0, 1), {"t-0": 2})
    with pytest.raises(TakenOverError):
        other.append(rows(0), {"t-0": 1})
    assert other.resume("t-0") == 2
    other.append(rows(2), {"t-0": 3})
    assert offsets(anywhere) == [0, 1, 2]


def test_every_store_keeps_files(anywhere: Location) -> None:
    """What is put can be listed, measured, read in any order, and removed; large files too."""
    store, large = store_of(anywhere), os.urandom(33 * 2**20)
    store.put("date=2026-03-01/large", large)
    store.put("date=2026-03-01/small", memoryview(b"small"))
    store.put("date=2026-03-02/other", b"other")
    assert {each.path: each.size for each in store.walk("date=2026-03-01")} == {
        "date=2026-03-01/large": len(large),
        "date=2026-03-01/small": 5,
    }
    measure = store.measure(["date=2026-03-01/large", "date=2026-03-01/none"])
    assert (measure("date=2026-03-01/large"), measure("date=2026-03-01/none")) == (len(large), None)
    with store.open("date=2026-03-01/large") as file:
        assert file.read() == large
        file.seek(-3, os.SEEK_END)
        assert file.read() == large[-3:]
    with store.open("date=2026-03-01/small") as file:
        assert file.read() == b"small"
    store.remove("date=2026-03-01/small")
    store.remove("date=2026-03-01/small")
    assert store.size("date=2026-03-01/small") is None
    with pytest.raises(FileNotFoundError):
        store.open("date=2026-03-01/small")


def test_both_clients_read_the_usual_variables(
    s3: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_ENDPOINT_URL, AWS_REGION, AWS_ALLOW_HTTP and the keys suffice, without an option of ours."""
    with _environment(monkeypatch, **bucket.environment()):
        lake = Location.parse(f"{bucket.url}/from-the-environment")
        opened(lake).append(rows(0), {"t-0": 1})
        assert offsets(lake) == [0]


def test_what_the_environment_says_for_others_makes_no_commit_overwrite(
    lake: Location, proxy: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each version of the log is a put that creates, whatever Spark's or an older writer's variables say."""
    with _environment(monkeypatch, AWS_S3_ALLOW_UNSAFE_RENAME="true", AWS_CONDITIONAL_PUT="disabled"):
        opened(lake).append(rows(0), {"t-0": 1})
    commits = [each for each in proxy.requests if each.is_commit]
    assert len(commits) == 2
    assert all(each.headers.get("if-none-match") == "*" for each in commits)


def test_a_store_that_overwrites_what_exists_is_refused(lake: Location, proxy: FaultyStore) -> None:
    """Two writers would undo each other's commits unseen: it is said before the first commit."""
    with proxy.doing(Without("if-none-match")), pytest.raises(LakeError, match="conditional writes"):
        LakeTable(lake, DEAD_LETTERS)
    assert not any("_delta_log" in each.path for each in proxy.requests)


def test_a_proof_is_asked_once(lake: Location, proxy: FaultyStore) -> None:
    """Its object stays, so that who opens the lake next is refused at once."""
    prove_create_only(lake)
    prove_create_only(Location(lake.url, lake.options))
    assert proxy.calls() == {"PutObject": 2}


def test_nothing_is_downloaded_to_read(
    lake: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine reads the store through Python: without extensions, and with nowhere to put any."""
    opened(lake).append(rows(4, 5), {"t-0": 6})
    monkeypatch.setenv("HOME", str(tmp_path))
    with open_lake(lake, Everything(), (DEAD_LETTERS,)) as tables:
        assert _offsets(tables) == [4, 5]
        [(loaded,)] = tables.rows("SELECT count(*) FROM duckdb_extensions() WHERE loaded AND NOT installed")
        names = tables.rows("SELECT extension_name FROM duckdb_extensions() WHERE loaded")
    assert loaded == 0
    assert not {"httpfs", "aws", "azure", "delta"} & {name for (name,) in names}
    assert not (tmp_path / ".duckdb").exists()


def test_without_the_extra_it_is_named(lake: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a line that can be pasted, before anything is asked of the store."""
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "shadowlane.lake._object_store")
    monkeypatch.delattr(shadowlane.lake, "_object_store")
    with pytest.raises(MissingExtraError, match=r"pip install 'shadowlane\[cloud\]'"):
        LakeTable(lake, DEAD_LETTERS)


def test_sizes_are_one_list(lake: Location, proxy: FaultyStore) -> None:
    """However many files there are, they are not asked for one at a time."""
    table = opened(lake)
    for number in range(5):
        table.append(rows(number), {"t-0": number + 1})
    proxy.forget()
    assert offsets(lake) == [0, 1, 2, 3, 4]
    asked = [each for each in proxy.requests if each.call == "ListObjectsV2" and "date%3D" in each.target]
    assert len(asked) == 1


def test_a_cut_or_altered_object_is_named(lake: Location) -> None:
    """No figure from a lake whose files are not those that its log lists."""
    opened(lake).append(rows(0), {"t-0": 1})
    store = store_of(lake)
    [path] = [each.path for each in store.walk("date=2026-03-01")]
    with store.open(path) as file:
        whole = file.read()
    altered = whole[:100] + bytes([whole[100] ^ 1]) + whole[101:]
    for content in (whole[:-1], altered):
        store.put(path, content)
        with pytest.raises(DamagedLakeError, match=path.rpartition("/")[2]):
            offsets(lake)
    store.remove(path)
    with pytest.raises(DamagedLakeError, match=path.rpartition("/")[2]):
        offsets(lake)


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        (Answer(503, "SlowDown"), "throttled"),
        (Answer(500, "InternalError"), "away"),
        (Reset(), "away"),
        (LoseAnswer(), "away"),
    ],
    ids=["slow down", "internal error", "reset", "answer lost"],
)
def test_a_store_that_fails_is_unavailable_for_now(
    lake: Location, proxy: FaultyStore, deed: Any, reason: str
) -> None:
    """It is tried again a few times, then told; nothing is listed by half, and it goes on afterwards."""
    table = opened(lake)
    with proxy.doing(deed, lambda each: each.is_data) as rule:
        with pytest.raises(LakeUnavailableError) as failure:
            table.append(rows(0), {"t-0": 1})
        assert rule.done <= 3
    assert failure.value.reason == reason
    assert table.resume("t-0") is None
    table.append(rows(0), {"t-0": 1})
    assert offsets(lake) == [0]


@pytest.mark.parametrize("deed", [Answer(503, "SlowDown"), Answer(403, "ExpiredToken"), Reset()])
def test_what_a_store_does_not_hand_out_is_not_damaged(lake: Location, proxy: FaultyStore, deed: Any) -> None:
    """Nothing is to be restored: not where a query meets it, nor where a version is held."""
    opened(lake).append(rows(0), {"t-0": 1})

    def is_read(each: Any) -> bool:
        return each.method == "GET" and "/part-" in each.path

    with (
        open_lake(lake, Everything(), (DEAD_LETTERS,)) as tables,
        proxy.doing(deed, is_read),
        pytest.raises(LakeError) as failure,
    ):
        _offsets(tables)
    assert not isinstance(failure.value, DamagedLakeError)
    assert "Traceback" not in str(failure.value)
    with proxy.doing(deed), pytest.raises(LakeError) as failure:
        HeldTable(lake, DEAD_LETTERS, 1)
    assert not isinstance(failure.value, VersionGoneError)


def test_a_moment_of_throttling_is_not_even_noticed(lake: Location, proxy: FaultyStore) -> None:
    """Two refusals are what any bucket that grows says."""
    table = opened(lake)
    with proxy.doing(Answer(503, "SlowDown"), times=2):
        table.append(rows(0), {"t-0": 1})
    assert offsets(lake) == [0]


@pytest.mark.parametrize("deed", [Answer(500, "InternalError"), Reset()], ids=["internal error", "reset"])
def test_a_commit_that_failed_has_not_happened(lake: Location, proxy: FaultyStore, deed: Any) -> None:
    """Its rows come again, once."""
    table = opened(lake)
    with proxy.doing(deed, lambda each: each.is_commit), pytest.raises(LakeUnavailableError):
        table.append(rows(0), {"t-0": 1})
    assert table.resume("t-0") is None
    table.append(rows(0), {"t-0": 1})
    assert offsets(lake) == [0]


def test_a_commit_whose_answer_was_lost_has_happened(lake: Location, proxy: FaultyStore) -> None:
    """The log itself says so: the rows are neither lost nor written again."""
    table = opened(lake)
    with proxy.doing(LoseAnswer(), lambda each: each.is_commit), pytest.raises(LakeUnavailableError):
        table.append(rows(0), {"t-0": 1})
    assert table.resume("t-0") == 1
    table.append(rows(1), {"t-0": 2})
    assert offsets(lake) == [0, 1]


def test_wrong_credentials_are_told_at_once(
    lake: Location, proxy: FaultyStore, caplog: pytest.LogCaptureFixture
) -> None:
    """In a sentence, with no second try and without the keys."""
    caplog.set_level(logging.DEBUG)
    with proxy.doing(Answer(403, "InvalidAccessKeyId")), pytest.raises(LakeError) as failure:
        LakeTable(lake, DEAD_LETTERS)
    assert not isinstance(failure.value, LakeUnavailableError)
    assert "refuses these credentials" in str(failure.value)
    assert "InvalidAccessKeyId" in str(failure.value)
    assert "\n" not in str(failure.value)
    assert len(proxy.requests) == 1
    assert KEYS["secret_access_key"] not in str(failure.value) + repr(lake) + caplog.text


def test_a_bucket_that_does_not_exist_is_told_at_once(bucket: Bucket, proxy: FaultyStore) -> None:
    """It is not made: who may make buckets is seldom who lands rows."""
    nowhere = Location.parse("s3://no-such-bucket-here/lake", dict(bucket.options))
    with pytest.raises(LakeError, match="there is no such bucket"):
        LakeTable(nowhere, DEAD_LETTERS)
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("use", [lambda lake: LakeTable(lake, DEAD_LETTERS), offsets])
def test_an_endpoint_that_cannot_be_asked_is_no_outage(
    bucket: Bucket, use: Callable[[Location], Any]
) -> None:
    """No waiting mends plain HTTP that nobody allowed; the sentence says how to allow it."""
    given = {name: value for name, value in bucket.options.items() if name != "allow_http"}
    with pytest.raises(LakeError, match="allow_http") as failure:
        use(Location.parse(f"{bucket.url}/lake", given))
    assert not isinstance(failure.value, LakeUnavailableError)


def test_a_store_that_is_not_there_is_told_in_seconds(lake: Location, port: int) -> None:
    """The clients' own patience is three minutes a request."""
    gone = Location.parse(
        lake.url, {"endpoint": f"http://127.0.0.1:{port}", "region": "x", "allow_http": True} | KEYS
    )
    with pytest.raises(LakeUnavailableError, match="for now"):
        LakeTable(gone, DEAD_LETTERS)


def test_the_engine_is_kept_to_its_folder(lake: Location) -> None:
    """What DuckDB may read can be told by URL, and then nothing else is."""
    opened(lake).append(rows(0), {"t-0": 1})
    [path] = [each.path for each in store_of(lake).walk("date=2026-03-01")]
    folder = f"{lake.table(DEAD_LETTERS.name)}/"
    with engine(lake) as (connection, _):
        connection.execute(f"SET allowed_directories = ['{folder}']")
        connection.execute("SET enable_external_access = false")
        read = connection.execute("SELECT count(*) FROM read_parquet($file)", {"file": folder + path})
        assert read.fetchall() == [(1,)]
        with pytest.raises(duckdb.PermissionException):
            connection.execute(
                "SELECT * FROM read_text($file)", {"file": f"{lake.url}/_shadowlane/create-only"}
            )


def test_the_rights_in_the_docs_suffice_and_no_more() -> None:
    """The two policies of docs/lake-cloud.md, held to by a store that checks them."""
    page = (Path(__file__).parents[2] / "docs" / "lake-cloud.md").read_text()
    writer, reader = (json.loads(each) for each in re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    with s3_store(os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": "8"}) as endpoint:
        writes, reads = iam_user(endpoint, "writer", writer), iam_user(endpoint, "reader", reader)
        bucket = s3_bucket(endpoint, "my-bucket")
        mine, theirs = bucket.location("shadowlane", **writes), bucket.location("shadowlane", **reads)
        table = opened(mine)
        for number in range(2):
            table.append(rows(number), {"t-0": number + 1})
        assert offsets(theirs) == [0, 1]
        with pytest.raises(LakeError, match="refuses these credentials"):
            opened(theirs).append(rows(2), {"t-0": 3})
        with pytest.raises(LakeError, match="refuses these credentials"):
            prove_create_only(bucket.location("elsewhere", **writes))
        with pytest.raises(LakeError, match="refuses these credentials"):
            offsets(bucket.location("shadowlane", **reads | {"secret_access_key": "wrong"}))
