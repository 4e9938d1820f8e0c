"""What a message or a model may do to a worker: become a row of its own, and never more than that."""

from __future__ import annotations

import base64
import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from shadowlane.kafka import KafkaSettings, TopicNames
from shadowlane.replay_worker import ErrorCeiling, ModelSource, Tally, Target, WorkerPlan, run_worker
from shadowlane.replay_worker._results import RAW_LIMIT
from shadowlane.schemas import (
    Codec,
    ControlSetting,
    Features,
    ProductionRequest,
    ShadowComparison,
    ShadowError,
)
from tests_support import NOON, request

MODEL = r"""
from shadowlane.schemas import Prediction

class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")

def predict(features):
    match features["kind"]:
        case "surrogate answer": return "\ud800"
        case "surrogate error": raise ValueError("bad \ud800 text")
        case "mute error": raise Mute
        case "wrong type": return Prediction(score="x")
        case "huge": return [0.5] * 1_000_000
        case "deep": return predict(features)
    return 0.5
"""
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KINDS = ("surrogate answer", "surrogate error", "mute error", "wrong type", "huge")
STAGES = {"surrogate answer": "predict", "huge": "oversize"}
REQUESTS = Codec(ProductionRequest)
GOOD = REQUESTS.encode(request(77, features=Features.of({"kind": "good"})))
RANDOM = random.Random(6)  # noqa: S311 - not for secrets
#: Messages that are no request, and what each is called.
POISON: dict[str, tuple[bytes | None, str]] = {
    "empty": (b"", "ForeignMessageError"),
    "a tombstone": (None, "ForeignMessageError"),
    "random": (RANDOM.randbytes(300), "ForeignMessageError"),
    "random behind our frame": (GOOD[:10] + b"\x7f" + RANDOM.randbytes(300), "CorruptMessageError"),
    "text": (b'{"request_id": "1"}', "ForeignMessageError"),
    "the frame alone": (GOOD[:10], "CorruptMessageError"),
    "half a frame": (GOOD[:6], "ForeignMessageError"),
    "cut": (GOOD[:-1], "CorruptMessageError"),
    "trailing bytes": (GOOD + b"\x00", "CorruptMessageError"),
    "two in one": (GOOD + GOOD[10:], "CorruptMessageError"),
    "an unknown fingerprint": (GOOD[:2] + b"\x01" * 8 + GOOD[10:], "UnknownSchemaError"),
    "an unknown schema id": (b"\x00\x00\x00\x00\x07" + GOOD[10:], "UnknownSchemaError"),
    "another event": (
        Codec(ControlSetting).encode(ControlSetting(model="fraud", set_at=NOON, set_by="x")),
        "",
    ),
    "invalid UTF-8": (GOOD.replace(b"request-77", b"request-\xff\xfe"), "CorruptMessageError"),
    "long": (b"\xc3\x02" + RANDOM.randbytes(900_000), "ForeignMessageError"),
}


@pytest.fixture
def settings(
    kafka: KafkaSettings, topics: TopicNames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> KafkaSettings:
    """The run's Kafka under this test's prefix, and a folder with a model in it."""
    (tmp_path / "poison_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.delitem(sys.modules, "poison_model", raising=False)
    return KafkaSettings(kafka.bootstrap_servers, topic_prefix=topics.prefix)


def plan(**changes: Any) -> WorkerPlan:
    """Replay `fraud` on the poisonous model, whatever the share of errors."""
    source = ModelSource("python:poison_model:predict")
    return WorkerPlan(Target("fraud", "poison"), source, ceiling=ErrorCeiling(1.0), **changes)


def replay(settings: KafkaSettings, until: int, the_plan: WorkerPlan) -> Tally:
    """Run a worker until it has done so many requests."""
    stop = Event()
    seen = []

    def tick(progress: Tally) -> None:
        seen.append(progress)
        if progress.requests >= until or len(seen) > 2_000:
            stop.set()

    return run_worker(the_plan, settings, "w", stop=stop, tick=tick)


def read(consumer: Consumer, count: int) -> list[bytes]:
    """So many messages of a topic."""
    values: list[bytes] = []
    while len(values) < count:
        message = consumer.poll(30)
        assert message is not None, f"{len(values)} of {count} messages came"
        values.append(message.value() or b"")
    return values


@pytest.mark.parametrize("batch", [False, True])
def test_whatever_a_model_answers_or_raises_is_a_row_of_its_own(
    batch: bool,
    settings: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
    consumer_factory: Callable[..., Consumer],
) -> None:
    """Answers that cannot be sent, errors that cannot be said: one error each; the others are compared."""
    producer = producer_factory()
    for number, kind in enumerate([*KINDS, "good", "good"]):
        event = request(number, features=Features.of({"kind": kind}))
        producer.produce(topics.requests, REQUESTS.encode(event), key=event.entity_id)
    producer.flush()
    tally = replay(settings, 7, plan(batch=batch))
    assert (tally.requests, tally.compared, tally.failed) == (7, 2, 5)
    errors = [Codec(ShadowError).decode(value) for value in read(consumer_factory([topics.errors]), 5)]
    stages = {error.request_id: error.stage for error in errors}
    assert stages == {f"request-{number}": STAGES.get(kind, "predict") for number, kind in enumerate(KINDS)}
    assert next(error for error in errors if error.request_id == "request-1").message == "bad ? text"


@pytest.mark.parametrize("batch", [False, True])
def test_each_kind_of_poison_is_one_error_with_its_bytes_and_the_batch_goes_on(
    batch: bool,
    settings: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
    consumer_factory: Callable[..., Consumer],
) -> None:
    """All of them at once, among good requests, in one partition: as many rows as messages."""
    producer = producer_factory()
    for value, _ in POISON.values():
        producer.produce(topics.requests, GOOD, partition=0)
        producer.produce(topics.requests, value, partition=0)
    assert producer.flush(30) == 0
    count = len(POISON)
    tally = replay(settings, 2 * count, plan(batch=batch))
    assert (tally.requests, tally.compared, tally.errors) == (2 * count, count, {"decode": count})
    errors = [Codec(ShadowError).decode(value) for value in read(consumer_factory([topics.errors]), count)]
    by_offset = {error.source_offset: error for error in errors}
    for place, (kind, (value, error_type)) in enumerate(POISON.items()):
        error = by_offset[2 * place + 1]
        assert base64.b64decode(error.raw or "") == (value or b"")[:RAW_LIMIT], kind
        assert error_type in (error.error_type, ""), kind
        assert (error.stage, error.model, error.shadow, error.run) == ("decode", "fraud", "poison", "live")
        assert (error.request_id, error.attempts) == (None, 1)
        assert error.message


def test_an_error_says_all_that_is_known_of_its_request(
    settings: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
    consumer_factory: Callable[..., Consumer],
) -> None:
    """Who, when and where, its cohort and missing features, and a traceback that is cut."""
    producer = producer_factory()
    event = request(5, features=Features.of({"kind": "deep", "age": None}), context={"traceparent": TRACE})
    producer.produce(topics.requests, REQUESTS.encode(event), partition=1)
    assert producer.flush(30) == 0
    assert replay(settings, 1, plan()).failed == 1
    [value] = read(consumer_factory([topics.errors]), 1)
    error = Codec(ShadowError).decode(value)
    assert (error.stage, error.error_type, error.attempts) == ("predict", "RecursionError", 1)
    assert error.message.startswith("maximum recursion depth exceeded")
    assert error.traceback is not None
    assert error.traceback.endswith(f"RecursionError: {error.message}\n")
    assert 1_000 < len(error.traceback) <= 4_000
    assert (error.request_id, error.event_time, error.entity_id) == ("request-5", NOON, "user-5")
    assert (error.segments, error.missing_features) == ({"country": "DE"}, ["age"])
    assert (error.source_topic, error.source_partition, error.source_offset) == (topics.requests, 1, 0)
    assert (error.model_version, error.worker_id, error.traceparent) == ("7", "w", TRACE)
    assert error.raw is None


def test_times_at_the_ends_of_the_calendar_are_compared(
    settings: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
    consumer_factory: Callable[..., Consumer],
) -> None:
    """A zero time of another language, or the last one, is a request as any other."""
    times = [datetime(1, 1, 1, tzinfo=UTC), NOON, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)]
    producer = producer_factory()
    for number, time in enumerate(times):
        event = request(number, event_time=time, features=Features.of({"kind": "good"}))
        producer.produce(topics.requests, REQUESTS.encode(event))
    producer.flush()
    assert replay(settings, 3, plan()).compared == 3
    values = read(consumer_factory([topics.comparisons]), 3)
    assert {Codec(ShadowComparison).decode(value).event_time for value in values} == set(times)


def test_one_request_with_nested_features_that_are_no_json_fails_alone(
    settings: KafkaSettings, topics: TopicNames, producer_factory: Callable[..., Producer]
) -> None:
    """Another producer's bad text is that request's error; the batch around it is compared."""
    producer = producer_factory()
    for number in range(20):
        bad = Features(strings={"kind": "good"}, json={"nested": "{"} if number == 7 else {})
        producer.produce(topics.requests, REQUESTS.encode(request(number, features=bad)), partition=0)
    producer.flush()
    tally = replay(settings, 20, plan())
    assert (tally.requests, tally.compared, tally.errors) == (20, 19, {"predict": 1})


def test_latest_means_from_the_first_start_on(
    settings: KafkaSettings, topics: TopicNames, producer_factory: Callable[..., Producer]
) -> None:
    """What came before the first start is left out; what comes while no worker runs is not."""
    producer = producer_factory()
    good = Features.of({"kind": "good"})

    def publish(numbers: range) -> None:
        for number in numbers:
            producer.produce(topics.requests, REQUESTS.encode(request(number, features=good)))
        assert producer.flush(30) == 0

    publish(range(5))
    assert replay_until_idle(settings, plan(start="latest")).requests == 0
    publish(range(5, 15))
    assert replay(settings, 10, plan(start="latest")).requests == 10


def replay_until_idle(settings: KafkaSettings, the_plan: WorkerPlan) -> Tally:
    """Run a worker for a while that is long enough to get its partitions."""
    stop = Event()
    rounds = []

    def tick(progress: Tally) -> None:
        rounds.append(progress)
        if len(rounds) > 100:
            stop.set()

    return run_worker(the_plan, settings, "w", stop=stop, tick=tick)
