"""Kafka: connections, topics, errors and log in one place, and an embedded Apache Kafka."""

from shadowlane.kafka._clients import close_consumer, make_admin, make_consumer, make_producer
from shadowlane.kafka._detached import KafkaStatus, start_detached, status, stop_detached
from shadowlane.kafka._embedded import EmbeddedKafka
from shadowlane.kafka._errors import mapped, moved_on, to_error
from shadowlane.kafka._log import ClientLog
from shadowlane.kafka._places import place_of
from shadowlane.kafka._scan import StallWatch, edges, ended, make_reader, read_to_end
from shadowlane.kafka._topics import (
    TopicDifference,
    TopicNames,
    TopicResult,
    TopicSpec,
    check_topics,
    create_topics,
    default_specs,
    require_topics,
)
from shadowlane.settings import KafkaSettings, Sasl, Secret, Tls

__all__ = [
    "ClientLog",
    "EmbeddedKafka",
    "KafkaSettings",
    "KafkaStatus",
    "Sasl",
    "Secret",
    "StallWatch",
    "Tls",
    "TopicDifference",
    "TopicNames",
    "TopicResult",
    "TopicSpec",
    "check_topics",
    "close_consumer",
    "create_topics",
    "default_specs",
    "edges",
    "ended",
    "make_admin",
    "make_consumer",
    "make_producer",
    "make_reader",
    "mapped",
    "moved_on",
    "place_of",
    "read_to_end",
    "require_topics",
    "start_detached",
    "status",
    "stop_detached",
    "to_error",
]
