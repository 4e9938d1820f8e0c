"""A real Kafka for each test that asks for one, and topics and groups of its own."""

from __future__ import annotations

import logging
import os
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as chosen

import kafka_tiers
from shadowlane.kafka import (
    EmbeddedKafka,
    KafkaSettings,
    TopicNames,
    create_topics,
    default_specs,
    make_consumer,
    make_producer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from confluent_kafka import Consumer, Producer

# A busy machine is no fault of what is tested.
chosen.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
chosen.load_profile("busy")

PARTITIONS = 3
#: What steers the tests or the machine, not the software under test.
STEERING = ("SHADOWLANE_TEST_", "SHADOWLANE_KAFKA_IMAGE", "SHADOWLANE_MAVEN_REPOSITORY")
TIER = pytest.StashKey[kafka_tiers.Tier]()


class ConsumerFactory(Protocol):
    """Makes consumers that are closed when the test ends."""

    def __call__(self, topics: Sequence[str] = (), group: str | None = None, **config: Any) -> Consumer:
        """A consumer, subscribed where topics are given, of a fresh group where none is."""
        ...


class ProducerFactory(Protocol):
    """Makes producers that are flushed when the test ends."""

    def __call__(self, **config: Any) -> Producer:
        """A producer."""
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run use a Kafka that is there."""
    parser.addoption("--bootstrap-servers", help="use this Kafka rather than starting one")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the tier before anything runs: one that cannot be had fails the run."""
    if _may_need_kafka(config):
        try:
            config.stash[TIER] = kafka_tiers.choose(config.getoption("--bootstrap-servers"))
        except kafka_tiers.TierError as failure:
            raise pytest.UsageError(str(failure)) from None


def pytest_report_header(config: pytest.Config) -> str:
    """Say which Kafka this run gets, and why."""
    return str(config.stash[TIER]) if TIER in config.stash else "Kafka: none (unit tests only)"


def _may_need_kafka(config: pytest.Config) -> bool:
    """Unit tests alone need none: looking for an engine, or pulling an image, would be a waste."""
    return any("unit" not in Path(argument.split("::")[0]).parts for argument in config.args)


@pytest.fixture(autouse=True)
def _clean_log() -> Iterator[None]:
    """A command that a test ran in its own process leaves no handler, whose stream is gone by then."""
    root = logging.getLogger()
    before, level = [*root.handlers], root.level
    yield
    root.setLevel(level)
    root.handlers[:] = [each for each in root.handlers if each in before]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of whoever runs the tests must not leak into them."""
    for name in os.environ:
        if name.startswith("SHADOWLANE_") and not name.startswith(STEERING):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def kafka(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaSettings]:
    """The run's Kafka, shared by its tests: nobody may stop it (see `own_kafka`)."""
    tier = request.config.stash[TIER]
    with tier.start(tmp_path_factory.mktemp("kafka")) as servers:
        yield KafkaSettings(bootstrap_servers=servers)


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    """An embedded Kafka for one test, started, which that test may stop or kill."""
    with EmbeddedKafka(tmp_path / "own-kafka") as kafka:
        yield kafka


@pytest.fixture
def topics(kafka: KafkaSettings) -> TopicNames:
    """The six topics, created under a prefix that no other test has."""
    names = TopicNames(f"{uuid.uuid4().hex[:12]}-")
    create_topics(kafka, default_specs(names, PARTITIONS))
    return names


@pytest.fixture
def consumer_factory(kafka: KafkaSettings) -> Iterator[ConsumerFactory]:
    """Consumers of the run's Kafka."""
    with ExitStack() as stack:

        def make(topics: Sequence[str] = (), group: str | None = None, **config: Any) -> Consumer:
            consumer = make_consumer(kafka, group or f"test-{uuid.uuid4().hex}", **config)
            stack.callback(consumer.close)
            if topics:
                consumer.subscribe(list(topics))
            return consumer

        yield make


@pytest.fixture
def producer_factory(kafka: KafkaSettings) -> Iterator[ProducerFactory]:
    """Producers to the run's Kafka."""
    with ExitStack() as stack:

        def make(**config: Any) -> Producer:
            producer = make_producer(kafka, **config)
            stack.callback(producer.flush, 10)
            return producer

        yield make
