"""The hook on a real Kafka: what arrives, and that all of it does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shadowlane.kafka import KafkaSettings, TopicNames
from shadowlane.producer import Hook, Limits
from shadowlane.schemas import Codec, Features, LedgerEntry, Prediction, ProductionRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import Message

    from conftest import ConsumerFactory

GENEROUS = 60.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: A service as someone writes it who has never seen this repository.
SERVICE = """
import schemas, producer.client, kafka, comparators
from shadowlane.producer import Hook

assert (schemas.MINE, producer.client.MINE) == (1, 2)
hook = Hook(model="ranker", model_version="7")
for number in range(500):
    with hook.observe({"number": number}, entity_id=f"user-{number % 7}") as call:
        call.prediction = number / 500
    if number == 0:
        hook.flush(timeout=30)  # the ledger has its first entry; all that follows is left to the exit
"""


@pytest.fixture
def read(topics: TopicNames, consumer_factory: ConsumerFactory) -> Callable[[str, int], list[Message]]:
    """Reads so many messages of a topic, and sees that no more come."""

    def read(topic: str, expected: int) -> list[Message]:
        consumer, found = consumer_factory([topic]), list[Any]()
        end = time.monotonic() + GENEROUS
        while len(found) < expected and time.monotonic() < end:
            found += consumer.consume(500, 0.1)
        found += consumer.consume(1, 0.5)
        assert len(found) == expected
        assert not any(message.error() for message in found)
        return found

    return read


Read = Callable[[str, int], "list[Message]"]


def test_all_that_is_published_arrives(settings: KafkaSettings, topics: TopicNames, read: Read) -> None:
    """Each request once, equal field for field, keyed by its entity or itself, at its event time."""
    start = datetime.now(UTC) - timedelta(hours=1)  # older than the topic keeps, Kafka would delete them
    with Hook(model="ranker", model_version="7", kafka=settings) as hook:
        for number in range(2000):
            hook.publish(
                features={"number": number / 7, "vector": [1.0, number], "text": "grüße", "gone": None},
                prediction=number / 2000,
                latency_ms=1.5,
                request_id=f"r-{number}",
                entity_id=f"user-{number % 50}" if number % 2 else None,
                segments={"country": "DE"},
                event_time=start + timedelta(milliseconds=number),
                context={"trace": f"t-{number}"},
            )
        producer_id = hook.stats().producer_id
        assert hook.flush(timeout=GENEROUS)
    assert hook.stats().delivered == 2000
    codec, places = Codec(ProductionRequest), dict[bytes, int | None]()
    messages = read(topics.requests, 2000)
    for message in messages:
        event = codec.decode(message.value())
        number = event.sequence
        assert event == ProductionRequest(
            request_id=f"r-{number}",
            event_time=start + timedelta(milliseconds=number),
            model="ranker",
            model_version="7",
            entity_id=f"user-{number % 50}" if number % 2 else None,
            features=Features(
                numbers={"number": number / 7},
                vectors={"vector": [1.0, float(number)]},
                strings={"text": "grüße"},
                missing=["gone"],
            ),
            prediction=Prediction(score=number / 2000),
            latency_ms=1.5,
            segments={"country": "DE"},
            context={"trace": f"t-{number}"},
            producer_id=producer_id,
            sequence=number,
        )
        key = (event.entity_id or event.request_id).encode()
        assert message.key() == key
        assert message.timestamp()[1] == (event.event_time - EPOCH) // timedelta(milliseconds=1)
        assert places.setdefault(key, message.partition()) == message.partition()
    assert {message.partition() for message in messages} == {0, 1, 2}


def test_the_ledger_adds_up(settings: KafkaSettings, topics: TopicNames, read: Read) -> None:
    """Of an entry at the first request and one at the end, the last says where each request went."""
    with Hook(model="ranker", kafka=settings, sampling=0.5, limits=Limits(ledger_seconds=3600)) as hook:
        hook.publish(features={"a": 1.0}, prediction=0.5, entity_id="user-0")
        hook.flush(timeout=GENEROUS)
        for number in range(1, 300):
            hook.publish(features={"a": 1.0}, prediction=0.5, entity_id=f"user-{number}")
        for _ in range(3):
            hook.publish(features={"a": object()}, prediction=0.5, entity_id="42")  # within the sample
        with pytest.raises(ValueError, match="no"), hook.observe({}):
            raise ValueError("no")
        hook.close(timeout=GENEROUS)
    first, last = read(topics.ledger, 2)
    entry, stats = Codec(LedgerEntry).decode(last.value()), hook.stats()
    assert not Codec(LedgerEntry).decode(first.value()).final
    assert first.key() == last.key() == stats.producer_id.encode()
    assert entry.final
    assert (entry.observed, entry.primary_failed, entry.dropped) == (304, 1, {"not_encodable": 3})
    assert entry.observed == 1 + 3 + entry.sampled_out + entry.published
    assert (entry.delivered, entry.failed) == (entry.published, 0)
    assert len(read(topics.requests, entry.delivered)) == stats.delivered


def test_a_forked_childs_requests_arrive(settings: KafkaSettings, topics: TopicNames, read: Read) -> None:
    """Parent and child both publish through the hook that the parent made and used before the fork."""
    with Hook(model="ranker", kafka=settings) as hook:
        hook.publish(features={}, prediction=1.0)
        assert hook.flush(timeout=GENEROUS)
        with forking():
            pid = os.fork()
        if pid == 0:
            for _ in range(20):
                hook.publish(features={}, prediction=1.0)
            hook.close(timeout=GENEROUS)
            os._exit(0)
        for _ in range(10):
            hook.publish(features={}, prediction=1.0)
        assert os.waitpid(pid, 0)[1] == 0
        hook.close(timeout=GENEROUS)
    codec = Codec(ProductionRequest)
    events = [codec.decode(message.value()) for message in read(topics.requests, 31)]
    assert len({(event.producer_id, event.sequence) for event in events}) == 31
    assert len({event.request_id for event in events}) == 31
    assert len({event.producer_id for event in events}) == 2


def test_a_service_with_folders_of_our_names(
    settings: KafkaSettings, topics: TopicNames, read: Read, tmp_path: Path
) -> None:
    """Its own `schemas` and `producer` stay its own, and its short life loses no request."""
    for name, text in {
        "schemas/__init__.py": "MINE = 1",
        "producer/__init__.py": "",
        "producer/client.py": "MINE = 2",
        "kafka.py": "",
        "comparators.py": "",
        "service.py": SERVICE,
        "shadowlane.toml": f'[kafka]\nbootstrap_servers = "{settings.bootstrap_servers}"\n',
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(
        [sys.executable, "service.py"],
        cwd=tmp_path,
        env=os.environ | {"SHADOWLANE_TOPIC_PREFIX": topics.prefix},
        check=True,
        timeout=GENEROUS,
    )
    codec = Codec(ProductionRequest)
    events = [codec.decode(message.value()) for message in read(topics.requests, 500)]
    assert sorted(event.sequence for event in events) == list(range(500))
    assert all(event.latency_ms is not None and event.latency_ms >= 0 for event in events)
    entry = Codec(LedgerEntry).decode(read(topics.ledger, 2)[-1].value())
    assert (entry.final, entry.delivered) == (True, 500)


@contextmanager
def forking() -> Iterator[None]:
    """From 3.12 on, Python warns of what these tests are about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        yield
