"""The archive on a real Kafka: requests land once, and windows that Kafka forgot are replayed from it."""

from __future__ import annotations

import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer
from deltalake import DeltaTable

from archived import decoded
from object_stores import s3_bucket, s3_store
from shadowlane.aggregator import AggregatorPlan, run_aggregator
from shadowlane.errors import DamagedLakeError, LakeError, SettingsError
from shadowlane.kafka import KafkaSettings, TopicNames, make_producer, read_to_end
from shadowlane.lake import Lake
from shadowlane.lake.care import CompactionPlan, VacuumPlan
from shadowlane.lake.care import compact as merge_files
from shadowlane.lake.care import vacuum as sweep
from shadowlane.replay_worker import WorkerPlan
from shadowlane.replay_worker.archive import Archive, Choice
from shadowlane.replay_worker.window import How, Speed, Summary, Window, estimate_replay, run_replay
from shadowlane.schemas import Features, to_record
from strategies import same
from tests_support import request
from windows import (
    CODEC,
    INSIDE,
    MINUTE,
    MODEL,
    START,
    WINDOW,
    Done,
    assert_exactly,
    command,
    committed,
    delete,
    done,
    has_moved,
    plan,
    publish,
    replay,
    send,
    wait_until,
)

ALL_GONE = dict.fromkeys(range(3), -1)
#: What may differ between two replays of one request.
TELLING = {"run", "worker_id", "latency_basis", "shadow_latency_ms", "shadow_cpu_ms", "shadow_memory_mb"} | {
    "replay_lag_ms"
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with a model in it; processes start there."""
    (tmp_path / "window_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.delitem(sys.modules, "window_model", raising=False)
    return tmp_path


@pytest.fixture
def producer(settings: KafkaSettings) -> Iterator[Producer]:
    """One that keeps the order of what it sends."""
    made = make_producer(settings, **{"enable.idempotence": True})
    yield made
    made.flush(30)


@pytest.fixture
def lake(folder: Path) -> str:
    """A lake that is not there yet."""
    return str(folder / "lake")


def archive(settings: KafkaSettings, lake: Lake, **more: Any) -> dict[str, int]:
    """Land all that is there, requests too."""
    chosen = AggregatorPlan(lake, until_caught_up=True, archive_requests=True, **more)
    return run_aggregator(chosen, settings, stop=Event()).rows


def from_lake(lake: str, **how: Any) -> How:
    """A replay from this lake."""
    return How(source="lake", lake=lake, **how)


def differing(left: Done, right: Done) -> set[str]:
    """Which fields of the same requests' comparisons are not the same."""
    assert left.compared.keys() == right.compared.keys()
    pairs = [(to_record(each), to_record(right.compared[key])) for key, each in left.compared.items()]
    return {name for one, other in pairs for name in one if same(one[name]) != same(other[name])}


def test_requests_land_once_and_are_the_messages_that_they_were(
    settings: KafkaSettings, topics: TopicNames, producer: Producer, lake: str
) -> None:
    """Field by field what Kafka holds, under its places; none is landed again; poison is a dead letter."""
    publish(producer, topics, range(60))
    features = Features.of({"zero": -0.0, "nan": math.nan, "no": None})
    odd = request(60, event_time=START, prediction=None, features=features)
    send(producer, topics, 0, CODEC.encode(odd), START)
    send(producer, topics, 1, b"not ours", START)
    producer.flush(30)
    assert archive(settings, lake)["requests"] == 61
    assert "requests" not in archive(settings, lake)
    kept = [each for some in read_to_end(settings, topics.requests) for each in some]
    there = {(m.partition(), m.offset()): m for m in kept if m.value() != b"not ours"}
    held = Archive(lake, Choice(topics.requests, "fraud"), range(3))
    spans = dict.fromkeys(range(3), (0, 1000))
    found = [each for some in held.read(held.find(spans).pieces, spans) for each in some]
    assert {place: same(each) for place, each in decoded(found).items()} == {
        place: same(CODEC.decode(message.value())) for place, message in there.items()
    }
    for message in found:
        assert message.timestamp()[1] == there[message.partition(), message.offset()].timestamp()[1]
    [letter] = pq.read_table(DeltaTable(f"{lake}/dead_letters").file_uris()).to_pylist()
    assert (letter["topic"], letter["landed_partition"]) == (topics.requests, 1)


def test_a_window_comes_to_the_same_from_kafka_and_from_the_lake(
    settings: KafkaSettings, topics: TopicNames, producer: Producer, lake: str
) -> None:
    """The same comparisons and errors under the same identities, after Kafka has deleted all of it."""
    publish(producer, topics, range(110))
    publish(producer, topics, range(60, 70), model="ranker")
    publish(producer, topics, range(110, 150))
    publish(producer, topics, range(50, 60))
    archive(settings, lake)
    replay(settings, plan())
    delete(settings, topics, ALL_GONE)
    summary = replay(settings, plan(run="old"), how=from_lake(lake))
    kafka, old = done(settings), done(settings, "old")
    assert_exactly(old, INSIDE)
    assert old.places == kafka.places
    assert differing(old, kafka) <= TELLING
    assert {each.request_id for each in old.errors} == {each.request_id for each in kafka.errors}
    assert (summary.progress.total, summary.progress.done) == (60, 60)
    assert (summary.finished, list(summary.clipped)) == (True, [])
    assert sum(summary.days.values()) == 60
    assert replay(settings, plan(run="old"), how=from_lake(lake)).already


def test_a_run_stays_where_it_was_begun(
    settings: KafkaSettings, topics: TopicNames, producer: Producer, lake: str, tmp_path: Path
) -> None:
    """Begun on Kafka or on one lake, it does not go on elsewhere: the error says what to do."""
    publish(producer, topics, range(150))
    archive(settings, lake)
    replay(settings, plan())
    with pytest.raises(SettingsError, match="begun from Kafka: go on with --source kafka"):
        replay(settings, plan(), how=from_lake(lake))
    interrupted(settings, plan(run="old"), lake)
    with pytest.raises(SettingsError, match="begun from the lake's archive"):
        replay(settings, plan(run="old"))
    with pytest.raises(SettingsError, match="begun on another lake"):
        replay(settings, plan(run="old"), how=from_lake(str(tmp_path / "other")))
    assert replay(settings, plan(run="old"), how=How(source="auto", lake=lake)).finished
    assert_exactly(done(settings, "old"), INSIDE)


def test_what_the_lake_lacks_is_said(
    settings: KafkaSettings, topics: TopicNames, producer: Producer, lake: str
) -> None:
    """The archive begins within the window, has a gap, a message nobody can read, and ends too early."""
    publish(producer, topics, range(90))
    delete(settings, topics, {0: 25, 1: 24, 2: 0})  # partition 0 from minute 75 on, 1 from 73
    archive(settings, lake)
    send(producer, topics, 2, b"not ours", START + 90 * MINUTE)
    publish(producer, topics, range(90, 105))
    delete(settings, topics, {0: 33})  # minutes 90, 93 and 96 never landed
    archive(settings, lake, accept_gaps=True)
    publish(producer, topics, range(105, 150))
    summary = replay(settings, plan(), how=from_lake(lake))
    lost = {60, 63, 66, 69, 72, 61, 64, 67, 70} | {90, 93, 96} | set(range(105, 120))
    assert_exactly(done(settings), INSIDE - lost)
    begins, behind, holes, unread = summary.clipped
    assert "2 of 3 partitions begin later, as the archive begins there" in begins
    lacking = sum(each.archived.behind for each in summary.record.slices if each.archived)
    assert lacking >= 15
    assert behind.startswith(f"{lacking} messages of the topic had not landed")
    assert holes.startswith("3 offsets")
    assert unread.startswith("1 messages")
    assert summary.covered.start == START + 75 * MINUTE


def test_without_an_archive_it_says_how_to_have_one(
    settings: KafkaSettings, topics: TopicNames, producer: Producer, lake: str, folder: Path
) -> None:
    """No table, and one that another topic was landed in."""
    publish(producer, topics, range(70))
    with pytest.raises(LakeError, match=r"no table .* filled by `shadowlane aggregate --archive-requests`"):
        replay(settings, plan(), how=from_lake(lake))
    archive(settings, lake)
    DeltaTable(f"{lake}/requests")
    elsewhere = replace(settings, topic_prefix=settings.topic_prefix + "other.")
    with pytest.raises(LakeError, match="holds nothing of the topic"):
        Archive(lake, Choice(TopicNames(elsewhere.topic_prefix).requests, "fraud"), range(3))


def test_auto_reads_the_lake_only_where_kafka_lacks_something(
    settings: KafkaSettings, topics: TopicNames, producer: Producer, lake: str
) -> None:
    """And Kafka's summary of a cut window points to the lake."""
    publish(producer, topics, range(150))
    archive(settings, lake)
    auto = How(source="auto", lake=lake)
    assert replay(settings, plan(run="whole"), how=auto).record.lake is None
    delete(settings, topics, {0: 30})
    assert replay(settings, plan(run="kafka")).is_cut
    summary = replay(settings, plan(run="cut"), how=auto)
    assert (summary.record.lake is not None, summary.is_cut) == (True, False)
    assert_exactly(done(settings, "cut"), INSIDE)


def test_one_version_is_read_whatever_happens_to_the_table(
    settings: KafkaSettings,
    topics: TopicNames,
    producer: Producer,
    lake: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """More lands, files are merged: the run keeps its version; vacuumed, it goes on with the present one."""
    publish(producer, topics, range(100))
    archive(settings, lake)
    publish(producer, topics, range(100, 150))
    archive(settings, lake)
    first = interrupted(settings, plan(), lake)
    assert first.record.lake is not None
    publish(producer, topics, range(60, 120))  # the same times once more: landed after the run was settled
    archive(settings, lake)
    merge(lake)
    again = interrupted(settings, plan(), lake)
    assert again.record.lake == first.record.lake
    vacuum(lake)
    summary = replay(settings, plan(), how=from_lake(lake))
    assert "were removed; going on with version" in caplog.text
    assert (summary.finished, summary.progress.done) == (True, 60)
    assert_exactly(done(settings), INSIDE)


def test_requests_that_the_lake_has_let_go_of_end_a_run_with_the_reason(
    settings: KafkaSettings, topics: TopicNames, producer: Producer, lake: str
) -> None:
    """Its version is vacuumed, and retention took rows out of the present one."""
    publish(producer, topics, range(150))
    archive(settings, lake)
    interrupted(settings, plan(), lake)
    table = DeltaTable(f"{lake}/requests")
    table.delete()
    vacuum(lake)
    with pytest.raises(LakeError, match=r"of its 60 requests version \d+, the present one, holds 0"):
        replay(settings, plan(), how=from_lake(lake))


def test_an_altered_file_ends_it_with_its_name(
    settings: KafkaSettings, topics: TopicNames, producer: Producer, lake: str
) -> None:
    """Not a request of it is replayed."""
    publish(producer, topics, range(150))
    archive(settings, lake)
    file = max(Path(lake).rglob("requests/model=fraud/**/*.parquet"), key=lambda each: each.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(DamagedLakeError, match=file.name):
        replay(settings, plan(), how=from_lake(lake))
    assert not done(settings).places


def test_a_pace_and_a_dry_run(
    settings: KafkaSettings, topics: TopicNames, producer: Producer, lake: str
) -> None:
    """The original pace spreads the requests over time; a dry run counts exactly and writes nothing."""
    publish(producer, topics, range(200))
    archive(settings, lake)
    estimate = estimate_replay(plan(), WINDOW, settings, from_lake(lake), stop=Event())
    assert (estimate.messages, estimate.requests, estimate.sample.failed) == (60, 60, 6)
    assert not done(settings).places
    begun = time.monotonic()
    replay(settings, plan(), how=from_lake(lake, speed=Speed.parse("1800x")))
    assert time.monotonic() - begun >= 59 * 60 / 1800 - 0.1
    assert_exactly(done(settings), INSIDE)


def test_offsets_bound_a_window_of_the_lake_as_well(
    settings: KafkaSettings, topics: TopicNames, producer: Producer, lake: str
) -> None:
    """By partition, whatever the times."""
    publish(producer, topics, range(90))
    archive(settings, lake)
    delete(settings, topics, ALL_GONE)
    replay(settings, plan(), Window.parse("@0:5,2:28", "@0:7,2:99"), from_lake(lake))
    assert done(settings).places == Counter({(0, 5): 1, (0, 6): 1, (2, 28): 1, (2, 29): 1})


@pytest.mark.timeout(300)
def test_killed_at_any_moment_the_lake_is_replayed_once(
    settings: KafkaSettings, topics: TopicNames, producer: Producer, folder: Path, lake: str
) -> None:
    """Kill -9 of the command and its workers, while the aggregator goes on; with one process and with two."""
    publish(producer, topics, range(2600), minute=MINUTE / 20)
    archive(settings, lake, flush_rows=500)
    delete(settings, topics, ALL_GONE)
    stop = Event()
    beside = AggregatorPlan(lake, archive_requests=True, flush_seconds=0.2)
    aggregator = Thread(target=run_aggregator, args=(beside, settings), kwargs={"stop": stop})
    aggregator.start()
    chance = random.Random(7)  # noqa: S311 - not for secrets
    more = ("--source", "lake", "--lake", lake)
    try:
        for processes in (1, 2):
            with command(settings, folder, processes, *more) as running:
                before = sum(committed(settings, plan().target.group).values())
                wait_until(lambda: has_moved(settings, before) or running.poll() is not None)  # noqa: B023 - called in this round
                publish(producer, topics, range(10), event_time=START + timedelta(minutes=70))
                time.sleep(chance.uniform(0, 0.3))
                assert running.poll() is None, "it had ended by itself"
        with command(settings, folder, 2, *more) as running:
            assert running.wait(120) == 0, (folder / "replay.log").read_text()
    finally:
        stop.set()
        aggregator.join(60)
    assert_exactly(done(settings), set(range(1200, 2400)))
    said = json.loads((folder / "replay.json").read_text())
    assert (said["finished"], said["requests"], said["messages"]["total"]) == (True, 1200, 1200)
    assert said["source"] == "lake"


def test_an_archive_in_an_object_store_is_replayed_as_well(
    settings: KafkaSettings, topics: TopicNames, producer: Producer
) -> None:
    """Landed there, deleted in Kafka, replayed by two processes."""
    publish(producer, topics, range(150))
    with s3_store() as endpoint:
        lake = s3_bucket(endpoint, "lakes").location("archive")
        archive(settings, lake)
        delete(settings, topics, ALL_GONE)
        summary = replay(settings, plan(), how=How(source="lake", lake=lake, processes=2))
    assert (summary.finished, list(summary.clipped)) == (True, [])
    assert_exactly(done(settings), INSIDE)


def interrupted(settings: KafkaSettings, it: WorkerPlan, lake: str) -> Summary:
    """A replay from the lake that is told to stop after some requests."""
    stop, before = Event(), len(done(settings, it.target.run).places)
    follow = partial(stop_after, stop, before + 5)
    how = from_lake(lake, speed=Speed.parse("20/s"))
    summary = run_replay(replace(it, batch_size=5), WINDOW, settings, how, stop=stop, follow=follow)
    assert not summary.finished
    return summary


def stop_after(stop: Event, requests: int, now: Any) -> None:
    """Say to stop once so many are counted."""
    if now.counts.requests >= requests:
        stop.set()


def merge(lake: str) -> None:
    """Merge the small files of the archive."""
    merged = merge_files(CompactionPlan(lake))
    assert any(each.joined for each in merged)


def vacuum(lake: str) -> None:
    """Remove the files that only old versions list."""
    sweep(VacuumPlan(lake, keep=timedelta(0), force=True))
