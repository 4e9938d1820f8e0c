"""The archive: rows become the messages that they were, in their order, from one version of checked files."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, TableFeatures
from hypothesis import given
from hypothesis import strategies as st

from archived import CODEC, TOPIC, decoded, put
from shadowlane.errors import DamagedLakeError, LakeError
from shadowlane.lake import REQUESTS, HeldFile, HeldTable, LakeTable, VersionGoneError
from shadowlane.replay_worker._plan import TimeRange
from shadowlane.replay_worker.archive import Archive, ArchivedMessage, Choice, Spans
from shadowlane.replay_worker.archive._order import in_order
from shadowlane.replay_worker.archive._pieces import Piece
from shadowlane.schemas import Features, Prediction, ProductionRequest
from strategies import events, moderate, same
from tests_support import NOON, request

MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ALL = {0: (0, 2**63 - 1), 1: (0, 2**63 - 1), 2: (0, 2**63 - 1)}


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake that is not there yet."""
    return tmp_path / "lake"


def opened(lake: Path, *, version: int | None = None, **choice: Any) -> Archive:
    """The archive of three partitions, of one model's requests."""
    return Archive(lake, Choice(**{"topic": TOPIC, "model": "fraud"} | choice), range(3), version)


def read(archive: Archive, spans: Spans = ALL) -> list[ArchivedMessage]:
    """All that it holds of these spans."""
    return [each for some in archive.read(archive.find(spans).pieces, spans) for each in some]


def at(minute: int, **changes: Any) -> ProductionRequest:
    """The request of a minute after noon."""
    return request(minute, **{"event_time": NOON + minute * MINUTE} | changes)


EDGES = [
    request(1, features=Features(), prediction=None, segments={}, context={}),
    request(2, prediction=Prediction(), latency_ms=None, entity_id=None),
    request(3, prediction=Prediction(score=float("nan"), vector=[-0.0, float("inf")], ranking=[])),
    request(4, features=Features.of({"nothing": None, "zero": -0.0, "list": [], "deep": {"a": [1, None]}})),
    request(5, event_time=datetime(1, 1, 1, tzinfo=UTC), context={"traceparent": "00-ab-cd-01"}),
    request(6, event_time=datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), sampling_rate=0.25),
    request(7, producer_id="hook-1", sequence=2**63 - 1, request_id="", model_version=""),
]


def test_edges_come_back_field_by_field(lake: Path) -> None:
    """No features, no prediction, an empty one, NaN, -0.0, empty lists and maps, the first and last times."""
    put(lake, {(0, number): each for number, each in enumerate(EDGES)})
    found = decoded(read(opened(lake)))
    assert [same(found[0, number]) for number in range(len(EDGES))] == [same(each) for each in EDGES]


@moderate
@given(st.lists(events(ProductionRequest), min_size=1, max_size=5))
def test_any_request_comes_back_as_it_was(requests: Sequence[ProductionRequest]) -> None:
    """Whatever the schema takes: the messages are as long as those of Kafka, and say the same."""
    ours = [replace(each, model="fraud") for each in requests]
    with TemporaryDirectory() as folder:
        put(Path(folder, "lake"), {(number % 3, number): each for number, each in enumerate(ours)})
        messages = read(opened(Path(folder, "lake")))
        found = decoded(messages)
    assert [same(found[number % 3, number]) for number in range(len(ours))] == [same(each) for each in ours]
    for message in messages:
        it = ours[message.offset()]
        assert message.topic() == TOPIC
        assert message.key() == (it.entity_id or it.request_id).encode()
        assert message.timestamp()[1] == max(1, (it.event_time - EPOCH) // timedelta(milliseconds=1))
        assert len(message.value()) == len(CODEC.encode(it))


def offsets(messages: Sequence[ArchivedMessage]) -> dict[int, list[int]]:
    """The offsets of each partition, as they were handed out."""
    found: dict[int, list[int]] = {}
    for each in messages:
        found.setdefault(each.partition(), []).append(each.offset())
    return found


def test_each_partition_comes_in_the_order_of_its_offsets(lake: Path) -> None:
    """Whatever the order of times, however many files; late requests too, from their own day's folder."""
    chance = random.Random(3)  # noqa: S311 - not for secrets
    places = [(partition, offset) for offset in range(100) for partition in range(3)]
    for start in range(0, 300, 60):
        some = places[start : start + 60]
        put(lake, {place: at(place[1] - chance.choice((0, 0, 0, 2_000))) for place in some})
    found = offsets(read(opened(lake)))
    assert found == {partition: list(range(100)) for partition in range(3)}


def test_only_the_model_the_time_and_the_offsets_that_are_meant(lake: Path) -> None:
    """The start of the window included and its end not; other models' requests of the same times are not."""
    put(lake, {(0, minute): at(minute) for minute in range(30)})
    put(lake, {(0, 30 + minute): at(minute, model="ranker") for minute in range(30)})
    window = TimeRange(NOON + 5 * MINUTE, NOON + 10 * MINUTE)
    archive = opened(lake, times=window)
    assert offsets(read(archive)) == {0: [5, 6, 7, 8, 9]}
    assert offsets(read(archive, {0: (7, 9)})) == {0: [7, 8]}
    assert archive.find().days == {date(2026, 3, 1): 5}


def test_a_place_that_stands_there_twice_comes_once(lake: Path) -> None:
    """Within a file and across files; and it is counted once."""
    put(lake, {(0, offset): at(offset) for offset in range(10)})
    table = HeldTable(lake, REQUESTS)
    [file] = table.files
    again = lake / "requests" / file.path
    rows = pa.Table.from_batches(list(pq.ParquetFile(again).iter_batches()))
    model, day = pa.repeat("fraud", 10), pa.array([file.day] * 10, pa.date32())
    whole = rows.append_column("model", model).append_column("date", day).select(REQUESTS.schema.names)
    LakeTable(lake, REQUESTS).append(pa.concat_tables([whole, whole]), {})
    archive = opened(lake)
    assert offsets(read(archive)) == {0: list(range(10))}
    assert archive.find().places.count(0, 0, 100) == 10


@pytest.mark.parametrize("most_bytes", [1, 400, 2_000, 10**9])
def test_memory_is_bounded_by_reading_again(most_bytes: int) -> None:
    """Times in no order at all: whatever may be held, each place comes once and in order."""
    chance = random.Random(5)  # noqa: S311 - not for secrets
    rows = [(partition, offset, chance.randrange(1000)) for partition in range(2) for offset in range(200)]
    rows.sort(key=lambda row: row[2])
    groups = [rows[start : start + 20] for start in range(0, len(rows), 20)]
    reads = 0

    def load(piece: Piece, spans: Spans) -> pa.Table:
        nonlocal reads
        reads += 1
        chosen = [row for row in groups[piece.group] if spans[row[0]][0] <= row[1] < spans[row[0]][1]]
        return table_of(chosen)

    pieces = [piece_of(number, group) for number, group in enumerate(groups)]
    found: dict[int, list[int]] = {0: [], 1: []}
    for some in in_order(pieces, {0: (0, 200), 1: (0, 150)}, load, most_bytes):
        for partition, offset in zip(*(some.column(n).to_pylist() for n in some.column_names), strict=True):
            found[partition].append(offset)
    assert found == {0: list(range(200)), 1: list(range(150))}
    assert (reads == len(groups)) == (most_bytes == 10**9)


def table_of(rows: Sequence[tuple[int, int, int]]) -> pa.Table:
    """Places as the archive has them."""
    return pa.table(
        {
            "landed_partition": pa.array([row[0] for row in rows], pa.int32()),
            "landed_offset": pa.array([row[1] for row in rows], pa.int64()),
        }
    )


def piece_of(number: int, rows: Sequence[tuple[int, int, int]]) -> Piece:
    """A row group with these rows."""
    ends: dict[int, tuple[int, int]] = {}
    for partition, offset, _ in rows:
        low, high = ends.get(partition, (offset, offset))
        ends[partition] = min(low, offset), max(high, offset)
    nowhere = HeldFile("", 0, None, None, None, None, None)
    return Piece(nowhere, number, rows[0][2], ends)


def test_it_knows_what_it_lacks(lake: Path) -> None:
    """Where it begins, which offsets are in no table, how far it landed; of all models together."""
    put(lake, {(0, offset): at(offset) for offset in (5, 6, 9)}, landed={0: 20})
    put(lake, {(0, 7): at(7, model="ranker"), (1, 3): at(3)})
    covered = opened(lake).covered({0: (5, 10), 1: (0, 0)})
    begins = int((NOON + 5 * MINUTE).timestamp() * 1000)
    assert (covered[0].first, covered[0].landed, covered[0].holes) == ((5, begins), 20, 1)
    assert (covered[1].holes, covered[1].landed) == (0, 4)


def test_a_version_is_held_while_the_table_goes_on(lake: Path) -> None:
    """More rows and merged files change nothing; once its files are vacuumed it says that they are gone."""
    for start in (0, 10):
        put(lake, {(0, offset): at(offset) for offset in range(start, start + 10)})
    version = opened(lake).version
    put(lake, {(0, offset): at(offset) for offset in range(20, 30)})
    DeltaTable(str(lake / "requests")).optimize.compact()
    assert offsets(read(opened(lake, version=version))) == {0: list(range(20))}
    assert offsets(read(opened(lake))) == {0: list(range(30))}
    DeltaTable(str(lake / "requests")).vacuum(0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(VersionGoneError, match=f"version {version} of .* was removed since"):
        read(opened(lake, version=version))
    with pytest.raises(VersionGoneError, match="version 999"):
        opened(lake, version=999)


def test_rows_that_another_engine_has_hidden_are_not_replayed(lake: Path) -> None:
    """Whom somebody asked to be forgotten: the files still hold the rows that deletion vectors hide."""
    put(lake, {(0, offset): at(offset) for offset in range(3)})
    DeltaTable(str(lake / "requests")).alter.add_feature(
        TableFeatures.DeletionVectors, allow_protocol_versions_increase=True
    )
    with pytest.raises(LakeError, match=r"has turned on deletionVectors.*with that engine$"):
        opened(lake)


def test_an_altered_file_is_named_and_not_read(lake: Path) -> None:
    """A bit in the middle: its name promises another hash."""
    put(lake, {(0, offset): at(offset) for offset in range(50)})
    [file] = (lake / "requests").rglob("*.parquet")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(DamagedLakeError, match=file.name):
        read(opened(lake))


def test_without_an_archive_the_error_says_how_to_fill_it(lake: Path) -> None:
    """No table; and one of another topic."""
    with pytest.raises(LakeError, match="filled by `shadowlane aggregate --archive-requests`"):
        opened(lake)
    put(lake, {(0, 0): at(0)})
    with pytest.raises(LakeError, match=r"holds nothing of the topic other\.production-requests"):
        opened(lake, topic="other.production-requests")


def test_two_topics_in_one_lake_are_kept_apart(lake: Path) -> None:
    """The same places, of two topics: each comes with its own."""
    put(lake, {(0, 0): at(1)})
    put(lake, {(0, 0): at(2), (0, 1): at(3)}, topic="other.requests")
    assert [each.request_id for each in decoded(read(opened(lake))).values()] == ["request-1"]
    theirs = decoded(read(opened(lake, topic="other.requests")))
    assert [each.request_id for each in theirs.values()] == ["request-2", "request-3"]


def test_a_worker_that_reads_kafka_loads_nothing_of_the_lake() -> None:
    """Neither Delta nor DuckDB: only a replay from the lake brings them in."""
    code = (
        "import sys, shadowlane.replay_worker.window, shadowlane.replay_worker.redrive; "
        "print(sorted({'deltalake', 'duckdb', 'shadowlane.lake'} & {*sys.modules}))"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.strip() == "[]"
