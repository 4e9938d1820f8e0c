"""Kafka: connections, topics, errors and log in one place, and an embedded Apache Kafka."""

from shadowlane.kafka._clients import make_admin, make_consumer, make_producer
from shadowlane.kafka._errors import mapped, to_error
from shadowlane.kafka._log import ClientLog
from shadowlane.kafka._topics import (
    TopicDifference,
    TopicNames,
    TopicResult,
    TopicSpec,
    check_topics,
    create_topics,
    default_specs,
)
from shadowlane.settings import KafkaSettings, Sasl, Secret, Tls

__all__ = [
    "ClientLog",
    "KafkaSettings",
    "Sasl",
    "Secret",
    "Tls",
    "TopicDifference",
    "TopicNames",
    "TopicResult",
    "TopicSpec",
    "check_topics",
    "create_topics",
    "default_specs",
    "make_admin",
    "make_consumer",
    "make_producer",
    "mapped",
    "to_error",
]
