"""What the tests on a real Kafka share."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from shadowlane.kafka import KafkaSettings, TopicNames


@pytest.fixture
def settings(kafka: KafkaSettings, topics: TopicNames) -> KafkaSettings:
    """The run's Kafka, with this test's topics."""
    return replace(kafka, topic_prefix=topics.prefix)


@pytest.fixture
def port() -> int:
    """One that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
