"""The aggregator against what happens to topics and lakes: expiry, deletion, strange names, company."""

from __future__ import annotations

import logging
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import duckdb
import pytest
from confluent_kafka import ConsumerGroupState, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from deltalake import DeltaTable

from shadowlane.aggregator import AggregatorPlan, Landings, run_aggregator
from shadowlane.aggregator._stream import Stream
from shadowlane.errors import KafkaFailedError, LakeError
from shadowlane.kafka import (
    KafkaSettings,
    TopicNames,
    create_topics,
    default_specs,
    make_admin,
    make_consumer,
)
from shadowlane.lake._table import TakenOverError
from shadowlane.schemas import Codec, LedgerEntry, Prediction, ProductionLabel
from tests_support import NOON

CODEC = Codec(LedgerEntry)
ENTRY = LedgerEntry(producer_id="p", model="fraud", started_at=NOON, recorded_at=NOON)
NEVER = 600.0


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake that is not there yet."""
    return tmp_path / "lake"


@pytest.fixture
def settings(kafka: KafkaSettings, topics: TopicNames) -> KafkaSettings:
    """The run's Kafka under this test's prefix."""
    return KafkaSettings(kafka.bootstrap_servers, topic_prefix=topics.prefix)


@pytest.fixture
def admin(settings: KafkaSettings) -> AdminClient:
    """An admin client."""
    return make_admin(settings)


@pytest.fixture
def send(topics: TopicNames, producer_factory: Callable[..., Producer]) -> Callable[..., None]:
    """Sends ledger entries, numbered, to the first partition."""
    producer = producer_factory()

    def send(*numbers: int, **changes: Any) -> None:
        for number in numbers:
            entry = replace(ENTRY, observed=number, **changes)
            producer.produce(topics.ledger, CODEC.encode(entry), partition=0)
        assert producer.flush(30) == 0

    return send


@pytest.fixture
def transact(topics: TopicNames, producer_factory: Callable[..., Producer]) -> Callable[..., None]:
    """Sends ledger entries to the first partition in one transaction, committed or aborted."""
    producer = producer_factory(**{"transactional.id": uuid.uuid4().hex})
    producer.init_transactions(30)

    def transact(*numbers: int, commit: bool = True) -> None:
        producer.begin_transaction()
        for number in numbers:
            producer.produce(topics.ledger, CODEC.encode(replace(ENTRY, observed=number)), partition=0)
        assert producer.flush(30) == 0
        (producer.commit_transaction if commit else producer.abort_transaction)(30)

    return transact


def land(settings: KafkaSettings, lake: Path, **plan: Any) -> dict[str, int]:
    """Run an aggregator until it has caught up."""
    chosen = AggregatorPlan(str(lake), until_caught_up=True, **plan)
    return run_aggregator(chosen, settings, stop=Event()).rows


@contextmanager
def running(settings: KafkaSettings, lake: Path, **plan: Any) -> Iterator[Future[Landings]]:
    """An aggregator of the group, running beside the test until it ends."""
    stop = Event()
    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(run_aggregator, AggregatorPlan(str(lake), **plan), settings, stop=stop)
        finally:
            stop.set()


def landed(lake: Path) -> list[int]:
    """The numbers of the ledger entries in the lake."""
    if not DeltaTable.is_deltatable(str(lake / "ledger")):
        return []
    files = DeltaTable(str(lake / "ledger")).file_uris()
    if not files:
        return []
    query = "select observed from read_parquet($files) order by observed"
    return [row[0] for row in duckdb.execute(query, {"files": files}).fetchall()]


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Until it is so; fails when it is not so in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def has_partitions(admin: AdminClient, topics: TopicNames) -> bool:
    """Whether an aggregator of the group holds all partitions of the ledger."""
    group = f"{topics.prefix}shadowlane.aggregator"
    found = admin.describe_consumer_groups([group])[group].result()
    held = [each for member in found.members for each in member.assignment.topic_partitions]
    return found.state == ConsumerGroupState.STABLE and any(each.topic == topics.ledger for each in held)


def expire(admin: AdminClient, topic: str, before: int = -1) -> None:
    """Have Kafka drop what lies before an offset of the first partition, as retention does; all of it: -1."""
    for answer in admin.delete_records([TopicPartition(topic, 0, before)]).values():
        answer.result(30)


def make_anew(admin: AdminClient, settings: KafkaSettings, topics: TopicNames) -> None:
    """Delete the ledger's topic and create it again."""
    admin.delete_topics([topics.ledger])[topics.ledger].result(30)
    specs = [spec for spec in default_specs(topics, 3) if spec.name == topics.ledger]

    def created() -> bool:
        try:
            return all(result.created for result in create_topics(settings, specs))
        except KafkaFailedError:  # its deletion takes a moment
            return False

    wait_until(created)


def test_a_topic_made_anew_is_refused_by_name(
    settings: KafkaSettings, topics: TopicNames, admin: AdminClient, send: Callable[..., None], lake: Path
) -> None:
    """Its offsets start again, so its first messages would count as landed; a new lake takes them all."""
    send(1, 2, 3)
    assert land(settings, lake) == {"ledger": 3}
    make_anew(admin, settings, topics)
    send(4, 5, 6, 7)
    with pytest.raises(LakeError, match=rf"{lake} holds another topic {topics.ledger}: .*new lake folder"):
        land(settings, lake)
    assert landed(lake) == [1, 2, 3]
    assert land(settings, lake.with_name("new")) == {"ledger": 4}


def test_a_topic_that_ends_before_the_lakes_position_is_refused_without_an_id_too(
    settings: KafkaSettings,
    topics: TopicNames,
    admin: AdminClient,
    send: Callable[..., None],
    lake: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A broker that gives topics no id does not turn a shorter topic into an accepted gap."""
    monkeypatch.setattr(Stream, "identify", lambda *_: None)
    send(1, 2, 3)
    land(settings, lake)
    make_anew(admin, settings, topics)
    send(4)
    with pytest.raises(LakeError, match=r"\[0\] ends at offset 1, before offset 3 .*new lake folder"):
        land(settings, lake, accept_gaps=True)


def test_a_quiet_topic_that_retention_empties_stops_nobody(
    settings: KafkaSettings, topics: TopicNames, admin: AdminClient, transact: Callable[..., None], lake: Path
) -> None:
    """The lake's position goes past the markers of transactions, so nothing was lost and nothing is said."""
    transact(1, 2)
    assert land(settings, lake) == {"ledger": 2}
    expire(admin, topics.ledger)
    assert land(settings, lake) == {}
    transact(3)
    assert land(settings, lake) == {"ledger": 1}
    assert landed(lake) == [1, 2, 3]


def test_transactions_that_only_aborted_move_the_position(
    settings: KafkaSettings, topics: TopicNames, admin: AdminClient, transact: Callable[..., None], lake: Path
) -> None:
    """A partition whose end moved without a message is not left behind either."""
    transact(1)
    assert land(settings, lake) == {"ledger": 1}
    transact(2, 3, commit=False)
    assert land(settings, lake) == {}
    expire(admin, topics.ledger)
    transact(4)
    assert land(settings, lake) == {"ledger": 1}
    assert landed(lake) == [1, 4]


def test_a_running_aggregator_moves_the_position_past_the_markers(
    settings: KafkaSettings,
    topics: TopicNames,
    admin: AdminClient,
    transact: Callable[..., None],
    lake: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A topic that goes quiet after a transaction gets its position up to date without a further row."""
    monkeypatch.setattr("shadowlane.aggregator._gathering._SETTLE_SECONDS", 0.2)
    with running(settings, lake, flush_rows=1):
        for number in range(5):
            transact(number)
            wait_until(lambda: len(landed(lake)) > number)  # noqa: B023 - called at once
        wait_until(lambda: DeltaTable(str(lake / "ledger")).transaction_version(f"{topics.ledger}-0") == 10)
    expire(admin, topics.ledger)
    assert land(settings, lake) == {}
    assert landed(lake) == [0, 1, 2, 3, 4]


def test_dead_letters_alone_move_the_position(
    settings: KafkaSettings, topics: TopicNames, admin: AdminClient, send: Callable[..., None], lake: Path
) -> None:
    """A batch of which no row came is landed too, once."""
    send(1, 2, model="x" * 300)
    assert land(settings, lake) == {}
    expire(admin, topics.ledger)
    assert land(settings, lake) == {}
    assert DeltaTable(str(lake / "dead_letters")).count() == 2


def test_messages_that_expired_unread_are_a_gap_to_be_accepted(
    settings: KafkaSettings,
    topics: TopicNames,
    admin: AdminClient,
    send: Callable[..., None],
    lake: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without a word from its operator the aggregator stops; with it, it says what was skipped."""
    send(*range(5))
    land(settings, lake)
    send(*range(5, 10))
    expire(admin, topics.ledger, before=8)
    with pytest.raises(LakeError, match=r"\[0\] starts at offset 8, 3 after .* --accept-gaps"):
        land(settings, lake)
    with caplog.at_level(logging.WARNING):
        assert land(settings, lake, accept_gaps=True) == {"ledger": 2}
    assert f"{topics.ledger}[0]: skipped 3 offsets that Kafka no longer holds" in caplog.text
    assert landed(lake) == [0, 1, 2, 3, 4, 8, 9]


def test_an_aggregator_of_the_group_goes_on_after_an_accepted_gap(
    settings: KafkaSettings, topics: TopicNames, admin: AdminClient, send: Callable[..., None], lake: Path
) -> None:
    """The partition that met the gap goes on, and so do the messages that come later."""
    send(1)
    land(settings, lake)
    send(2, 3)
    expire(admin, topics.ledger, before=2)
    with running(settings, lake, accept_gaps=True, flush_rows=1):
        wait_until(lambda: landed(lake) == [1, 3])
        send(4)
        wait_until(lambda: landed(lake) == [1, 3, 4])


def test_an_accepted_gap_is_passed_once(
    settings: KafkaSettings, topics: TopicNames, admin: AdminClient, send: Callable[..., None], lake: Path
) -> None:
    """Where nothing came after a gap, its end is still where the next one goes on."""
    send(1)
    land(settings, lake)
    send(2)
    expire(admin, topics.ledger)
    assert land(settings, lake, accept_gaps=True) == {}
    assert land(settings, lake) == {}


def test_catching_up_beside_another_aggregator_lands_all(
    settings: KafkaSettings,
    topics: TopicNames,
    admin: AdminClient,
    send: Callable[..., None],
    producer_factory: Callable[..., Producer],
    lake: Path,
) -> None:
    """It reads every partition itself, and neither of the two lands a message twice."""
    producer = producer_factory()
    with running(settings, lake, flush_seconds=NEVER):
        wait_until(lambda: has_partitions(admin, topics))
        for number in range(30):
            label = ProductionLabel(
                request_id=f"{number}", model="fraud", label=Prediction(score=1.0), observed_at=NOON
            )
            producer.produce(topics.labels, Codec(ProductionLabel).encode(label), partition=number % 3)
        assert producer.flush(30) == 0
        send(1)
        assert land(settings, lake) == {"labels": 30, "ledger": 1}
    assert DeltaTable(str(lake / "labels")).count() == 30
    assert landed(lake) == [1]


def test_catching_up_goes_on_after_a_flush_that_another_forestalled(
    settings: KafkaSettings, send: Callable[..., None], lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush that was lost is read again before the end is called the end."""
    send(1, 2, 3)
    really = Stream.land
    lost: list[str] = []

    def land_later(stream: Stream, *gathered: Any) -> int:
        if not lost:
            lost.append(stream.spec.name)
            raise TakenOverError("ledger: moved by another aggregator")
        return really(stream, *gathered)

    monkeypatch.setattr(Stream, "land", land_later)
    assert land(settings, lake) == {"ledger": 3}
    assert landed(lake) == [1, 2, 3]


@pytest.mark.parametrize("model", ["x" * 300, "", "../up"])
def test_a_name_that_cannot_be_a_folder_stops_nobody(
    settings: KafkaSettings, send: Callable[..., None], lake: Path, model: str
) -> None:
    """One such ledger entry becomes a dead letter, and the rest lands."""
    send(1)
    send(2, model=model)
    send(3)
    assert land(settings, lake) == {"ledger": 2}
    assert landed(lake) == [1, 3]
    assert DeltaTable(str(lake / "dead_letters")).count() == 1


def test_bytes_make_a_commit_due(settings: KafkaSettings, send: Callable[..., None], lake: Path) -> None:
    """Wide rows land before they outgrow memory, however few they are."""
    with running(settings, lake, flush_bytes=1_000, flush_seconds=NEVER):
        send(1, 2, producer_id="p" * 2_000)
        wait_until(lambda: landed(lake) == [1, 2])


def test_a_lake_deleted_under_a_running_aggregator_is_an_error_of_ours(
    settings: KafkaSettings, send: Callable[..., None], lake: Path
) -> None:
    """It ends with a sentence that names the table."""
    with running(settings, lake, flush_rows=1) as run:
        send(1)
        wait_until(lambda: landed(lake) == [1])
        shutil.rmtree(lake)
        send(2)
        with pytest.raises(LakeError, match=rf"the table {lake}/ledger: "):
            run.result(60)


def test_a_lake_that_fails_while_partitions_are_given_is_an_error_of_ours(
    settings: KafkaSettings, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes wrong in the group's callback is not swallowed by the client."""

    def fail(_stream: Stream, _partition: int) -> None:
        raise LakeError("cannot read the table ledger: gone")

    monkeypatch.setattr(Stream, "resume", fail)
    with running(settings, lake) as run, pytest.raises(LakeError, match="cannot read the table"):
        run.result(60)


def test_the_groups_offsets_are_but_a_hint(
    settings: KafkaSettings, send: Callable[..., None], lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the group's offsets cannot be committed stops nobody: nothing resumes from there."""

    class Stubborn:
        def __init__(self, consumer: Any) -> None:
            self._consumer = consumer

        def __getattr__(self, name: str) -> Any:
            return getattr(self._consumer, name)

        def commit(self, **_options: Any) -> None:
            raise KafkaException(-1)

    def stubborn(*given: Any, **config: Any) -> Any:
        return Stubborn(make_consumer(*given, **config))

    monkeypatch.setattr("shadowlane.aggregator._membership.make_consumer", stubborn)
    send(1)
    assert land(settings, lake) == {"ledger": 1}
