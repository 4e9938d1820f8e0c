"""What Kafka says of the topics before any of them is read: which they are, and where they end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confluent_kafka import IsolationLevel, TopicCollection, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from shadowlane.aggregator._share import UNREAD, Key
from shadowlane.aggregator._stream import Stream
from shadowlane.kafka import make_admin, mapped
from shadowlane.settings import KafkaSettings

_TIMEOUT = 30.0
_POSITIVE = 2**63 - 1


class Goal:
    """Where reading ends: at what was there at the start."""

    def __init__(self, ends: Mapping[Key, int]) -> None:
        self.ends = ends
        self._starts: dict[Key, int] = {}

    def reached_by(self, reached: Mapping[Key, int]) -> bool:
        """Whether all of it has been read."""
        return all(reached.get(key, UNREAD) >= end for key, end in self.ends.items())

    def progress(self, reached: Mapping[Key, int]) -> tuple[int, int]:
        """How many of the offsets that were to be read are, and how many they are."""
        for key in self.ends.keys() & reached.keys():
            self._starts.setdefault(key, max(0, reached[key]))
        done = total = 0
        for key, start in self._starts.items():
            end = max(start, self.ends[key])
            total += end - start
            done += min(end, max(start, reached.get(key, start))) - start
        return done, total


def identify(kafka: KafkaSettings, streams: Mapping[str, Stream]) -> None:
    """Have each stream check that this is the topic which it knows; old brokers give topics no id."""
    admin = make_admin(kafka)
    with mapped("looking for the ids of the topics"):
        answers = admin.describe_topics(TopicCollection(list(streams)), request_timeout=_TIMEOUT)
        ids = {topic: answer.result().topic_id for topic, answer in answers.items()}
    for topic, topic_id in ids.items():
        # Of the id's 128 random bits, as many as the version of a Delta transaction holds.
        number = topic_id.get_most_significant_bits() & _POSITIVE
        if number:
            streams[topic].identify(number)


def find_ends(kafka: KafkaSettings, topics: Sequence[str]) -> dict[Key, int]:
    """Where each partition's log ends now, open transactions included."""
    admin = make_admin(kafka)
    with mapped("looking for the ends of the topics"):
        found = admin.list_topics(timeout=_TIMEOUT).topics
        latest = {
            TopicPartition(topic, partition): OffsetSpec.latest()  # type: ignore[no-untyped-call]
            for topic in topics
            for partition in (found[topic].partitions if topic in found else ())
        }
        answers = admin.list_offsets(latest, isolation_level=IsolationLevel.READ_UNCOMMITTED)
        return {(each.topic, each.partition): answer.result().offset for each, answer in answers.items()}
