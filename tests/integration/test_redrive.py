"""Errors go through again under their own identity, on a real Kafka, and count once in the lake."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from shadowlane.aggregator import AggregatorPlan, Report, Scope, read_report, run_aggregator
from shadowlane.errors import SettingsError
from shadowlane.kafka import KafkaSettings, TopicNames, make_admin, read_to_end
from shadowlane.replay_worker import ErrorCeiling, ModelSource, Tally, Target, WorkerPlan, run_worker
from shadowlane.replay_worker.redrive import Origin, Redriven, Selection, redrive
from shadowlane.schemas import Codec, ProductionRequest, ShadowComparison, ShadowError
from tests_support import request

MODEL = """
def broken(features):
    if features["amount"] in (3.0, 4.0):
        raise KeyError("history")
    return 0.5

def half_mended(features):
    if features["amount"] == 4.0:
        raise ValueError("still nothing")
    return 0.5

def mended(features):
    return 0.5
"""
CODEC = Codec(ProductionRequest)
REQUESTS = 100
FAILING = {n for n in range(REQUESTS) if n % 10 in (3, 4)}


@pytest.fixture(autouse=True)
def _models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "redrive_models.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])


@pytest.fixture
def publish(topics: TopicNames, producer_factory: Callable[..., Producer]) -> Callable[..., None]:
    """Publishes requests, or bytes that are none."""

    def produce(values: Iterable[ProductionRequest | bytes]) -> None:
        producer = producer_factory()
        for value in values:
            data = value if isinstance(value, bytes) else CODEC.encode(value)
            producer.produce(topics.requests, data)
        assert producer.flush(30) == 0

    return produce


def plan(model: str, **changes: Any) -> WorkerPlan:
    """Replay `fraud` on one of the models above, whatever the share of errors."""
    settings = {"ceiling": ErrorCeiling(1.0), **changes}
    return WorkerPlan(Target("fraud", "next"), ModelSource(f"python:redrive_models:{model}"), **settings)


def replay(settings: KafkaSettings, until: int, the_plan: WorkerPlan) -> None:
    """Run a worker until it has done so many requests."""
    stop = Event()

    def tick(tally: Tally) -> None:
        if tally.requests >= until:
            stop.set()

    assert run_worker(the_plan, settings, "w", stop=stop, tick=tick).requests == until


def again(settings: KafkaSettings, model: str, selection: Selection | None = None, **how: Any) -> Redriven:
    """Redrive with one of the models above."""
    return redrive(plan(model), settings, selection or Selection(), stop=Event(), **how)


def report(settings: KafkaSettings, tmp_path: Path) -> Report:
    """What the lake says, once all that was sent has landed."""
    lake = str(tmp_path / "lake")
    run_aggregator(AggregatorPlan(lake, until_caught_up=True), settings, stop=Event())
    return read_report(lake, Scope("fraud", "next"))


def compared(settings: KafkaSettings, topics: TopicNames) -> list[ShadowComparison]:
    """Every comparison on the topic."""
    batches = read_to_end(settings, topics.comparisons)
    return [Codec(ShadowComparison).decode(each.value() or b"") for batch in batches for each in batch]


def test_mended_requests_become_comparisons_under_their_own_identity(
    settings: KafkaSettings, topics: TopicNames, publish: Callable[..., None], tmp_path: Path
) -> None:
    """Half are mended, then all; each time only what still fails is asked, and the lake counts each once."""
    publish(request(number) for number in range(REQUESTS))
    replay(settings, REQUESTS, plan("broken"))
    before = report(settings, tmp_path)
    assert (before.compared, before.errored) == (80, 20)

    first = again(settings, "half_mended")
    assert (first.failed, first.already_compared, first.redriven) == (20, 0, 20)
    assert (first.compared, first.errors, first.left) == (10, {"predict": 10}, 0)
    halfway = report(settings, tmp_path)
    assert (halfway.compared, halfway.errored) == (90, 10)
    [stage] = halfway.errors
    assert [(each.error_type, each.requests) for each in stage.types] == [("ValueError", 10)]

    second = again(settings, "mended")
    assert (second.failed, second.already_compared, second.redriven, second.compared) == (20, 10, 10, 10)
    third = again(settings, "mended")
    assert (third.failed, third.already_compared, third.redriven) == (20, 20, 0)
    after = report(settings, tmp_path)
    assert (after.compared, after.errored, after.duplicates.repeated_rows) == (REQUESTS, 0, 0)
    assert after.duplicates.recovered == 20
    places = [(each.source_partition, each.source_offset) for each in compared(settings, topics)]
    assert len(places) == len(set(places)) == REQUESTS


def test_a_dry_run_asks_and_sends_nothing(settings: KafkaSettings, publish: Callable[..., None]) -> None:
    """It says how many would go through; the model is not even loaded."""
    publish(request(number) for number in range(REQUESTS))
    replay(settings, REQUESTS, plan("broken"))
    said = again(settings, "not_there", dry_run=True)
    assert (said.failed, said.left, said.redriven) == (20, 20, 0)
    assert again(settings, "mended").compared == 20


def test_a_redrive_that_is_stopped_is_gone_on_with(
    settings: KafkaSettings, topics: TopicNames, publish: Callable[..., None]
) -> None:
    """What came through stays; the next one does the rest, and nothing twice."""
    publish(request(number) for number in range(REQUESTS))
    replay(settings, REQUESTS, plan("broken"))
    stop = Event()

    def tick(tally: Tally) -> None:
        if tally.requests:
            stop.set()

    first = redrive(plan("mended", batch_size=6), settings, Selection(), stop=stop, tick=tick)
    done = first.redriven
    assert 0 < done < len(FAILING)
    assert (first.compared, first.left) == (done, len(FAILING) - done)
    second = again(settings, "mended")
    assert (second.already_compared, second.compared, second.left) == (done, len(FAILING) - done, 0)
    places = [(each.source_partition, each.source_offset) for each in compared(settings, topics)]
    assert len(places) == len(set(places)) == REQUESTS


def test_only_the_selected_errors_go_through(settings: KafkaSettings, publish: Callable[..., None]) -> None:
    """By stage, and by when they happened."""
    publish([request(number) for number in range(REQUESTS)] + [b"not ours"])
    replay(settings, REQUESTS + 1, plan("broken"))
    assert again(settings, "mended", Selection(stages=["decode"]), dry_run=True).left == 1
    assert again(settings, "mended", Selection(stages=["predict"]), dry_run=True).left == 20
    now = datetime.now(UTC)
    assert again(settings, "mended", Selection(since=now - timedelta(hours=1)), dry_run=True).left == 21
    assert again(settings, "mended", Selection(since=now + timedelta(hours=1)), dry_run=True).left == 0


def test_what_can_be_decoded_now_is_compared_and_the_rest_is_an_error_again(
    settings: KafkaSettings,
    topics: TopicNames,
    publish: Callable[..., None],
    producer_factory: Callable[..., Producer],
    tmp_path: Path,
) -> None:
    """Messages that an older decoder refused go through again like any other; poison stays poison."""
    publish([b"poison", request(1), request(2, model="another")])
    errors, spots = Codec(ShadowError), {each.value(): each for each in messages(settings, topics)}
    producer = producer_factory()
    for value, found in spots.items():
        refused = ShadowError(
            model="fraud", shadow="next", run="live",
            source_topic=topics.requests, source_partition=found.partition(), source_offset=found.offset(),
            failed_at=datetime.now(UTC), worker_id="old", stage="decode",
            error_type="UnknownSchemaError", message="of a newer version",
            raw=base64.b64encode(value).decode(),
        )  # fmt: skip
        producer.produce(topics.errors, errors.encode(refused), timestamp=found.timestamp()[1])
    assert producer.flush(30) == 0
    said = again(settings, "mended")
    assert (said.redriven, said.compared, said.errors, said.of_other_models) == (3, 1, {"decode": 1}, 1)
    landed = report(settings, tmp_path)
    assert (landed.compared, landed.errored, landed.undecodable) == (1, 0, 2)


def messages(settings: KafkaSettings, topics: TopicNames) -> list[Any]:
    """Every message on the requests' topic."""
    return [each for batch in read_to_end(settings, topics.requests) for each in batch]


def test_requests_that_retention_deleted_are_gone_and_said_to_be(
    settings: KafkaSettings, topics: TopicNames, publish: Callable[..., None], tmp_path: Path
) -> None:
    """What is left goes through; the rest cannot, nor is there an archive to have it from, and is counted."""
    publish(request(number) for number in range(REQUESTS))
    replay(settings, REQUESTS, plan("broken"))
    [*failed] = [each for each in messages(settings, topics) if number_of(each.value()) in FAILING]
    middle = {each.partition(): each.offset() for each in failed if number_of(each.value()) < 50}
    cut = [TopicPartition(topics.requests, partition, offset + 1) for partition, offset in middle.items()]
    delete(make_admin(settings), cut)
    left = sum(each.offset() > middle.get(each.partition(), -1) for each in failed)
    said = again(settings, "mended", origin=Origin("auto", str(tmp_path / "no-archive")))
    assert (said.gone, said.redriven, said.compared, said.left) == (20 - left, left, left, 0)
    assert said.gone > 0


def test_what_kafka_no_longer_holds_is_read_from_the_archive(
    settings: KafkaSettings, topics: TopicNames, publish: Callable[..., None], tmp_path: Path
) -> None:
    """`auto` reads there only what is gone from Kafka, `lake` everything; each request counts once."""
    publish(request(number) for number in range(REQUESTS))
    publish([request(7, model="ranker")])
    replay(settings, REQUESTS, plan("broken"))
    lake = str(tmp_path / "lake")
    run_aggregator(AggregatorPlan(lake, until_caught_up=True, archive_requests=True), settings, stop=Event())
    [partition] = {each.partition() for each in messages(settings, topics) if number_of(each.value()) == 4}
    delete(make_admin(settings), [TopicPartition(topics.requests, partition, -1)])
    said = again(settings, "half_mended", origin=Origin("lake", lake))
    assert (said.gone, said.redriven, said.archived, said.compared) == (0, 20, 20, 10)
    said = again(settings, "mended", origin=Origin("auto", lake))
    assert (said.gone, said.redriven, said.compared, said.left) == (0, 10, 10, 0)
    assert said.archived > 0
    landed = report(settings, tmp_path)
    assert (landed.compared, landed.errored) == (100, 0)


def number_of(value: bytes) -> int:
    """The request's number."""
    return int(CODEC.decode(value).request_id.removeprefix("request-"))


def delete(admin: AdminClient, before: list[TopicPartition]) -> None:
    """Delete what lies before these offsets, as retention does."""
    for future in admin.delete_records(before).values():
        future.result()


def test_another_message_in_a_failed_ones_place_is_not_taken_for_it(
    settings: KafkaSettings,
    topics: TopicNames,
    publish: Callable[..., None],
    producer_factory: Callable[..., Producer],
) -> None:
    """A topic that was made anew begins at 0 again; what failed in the old one is gone."""
    publish([request(7)])
    [there] = messages(settings, topics)
    stranger = ShadowError(
        model="fraud", shadow="next", run="live", request_id="request-3",
        source_topic=topics.requests, source_partition=there.partition(), source_offset=there.offset(),
        failed_at=datetime.now(UTC), worker_id="old", stage="predict", error_type="KeyError", message="",
    )  # fmt: skip
    producer = producer_factory()
    producer.produce(topics.errors, Codec(ShadowError).encode(stranger))
    assert producer.flush(30) == 0
    said = again(settings, "mended")
    assert (said.failed, said.gone, said.redriven) == (1, 1, 0)


def test_far_apart_requests_are_found(settings: KafkaSettings, publish: Callable[..., None]) -> None:
    """Thousands of good requests between two bad ones are not read one by one, nor is a bad one missed."""
    far = [
        request(number * 10 + (3 if number in (0, 5_999, 6_000, 11_999) else 0)) for number in range(12_000)
    ]
    publish(far)
    replay(settings, len(far), plan("broken", batch_size=5_000))
    said = again(settings, "mended")
    assert (said.failed, said.compared, said.gone) == (4, 4, 0)


def test_a_run_of_second_answers_cannot_be_redriven(settings: KafkaSettings) -> None:
    """Its errors are about answers that are set beside other answers."""
    for run in ("control", "march-control"):
        control = WorkerPlan(Target("fraud", "next", run=run), ModelSource("python:redrive_models:mended"))
        with pytest.raises(SettingsError, match="redrive the run itself"):
            redrive(control, settings, Selection(), stop=Event())
