"""What Kafka says of the topics: which they are, and where they ended before any of them was read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future

from confluent_kafka import IsolationLevel, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    OffsetSpec,
    TopicDescription,
)

from shadowlane.aggregator._share import UNREAD, Key
from shadowlane.aggregator._stream import Stream
from shadowlane.kafka import make_admin, mapped
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

_TIMEOUT, _SHORT_TIMEOUT = 30.0, 3.0
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


class Identities:
    """Which topics these are: each stream checks that it is the one which it knows.

    Old brokers give topics no id.
    """

    def __init__(self, kafka: KafkaSettings, streams: Mapping[str, Stream]) -> None:
        self._admin = make_admin(kafka)
        self._streams = streams
        self._known: dict[str, int] = {}
        with mapped("looking for the ids of the topics"):
            for topic, answer in self._look(_TIMEOUT):
                self._known[topic] = _number(answer.result())
        for topic, number in self._known.items():
            if number:
                streams[topic].identify(number)

    def check(self) -> None:
        """See that no topic was made anew. To be asked once something was read, before it is committed.

        One that by now has more messages than the lake has landed of the other would be read on as if
        nothing had happened (tried: the client says nothing). Where Kafka does not answer, or the topic
        is gone, nothing was read of another.
        """
        for topic, answer in self._look(_SHORT_TIMEOUT):
            try:
                number = _number(answer.result())
            except KafkaException as failure:
                log.debug("whether %s is the topic that it was cannot be seen now: %s", topic, failure)
                continue
            if number != self._known[topic]:
                raise self._streams[topic].another_topic()

    def _look(self, timeout: float) -> Iterable[tuple[str, Future[TopicDescription]]]:
        topics = TopicCollection(list(self._streams))
        return self._admin.describe_topics(topics, request_timeout=timeout).items()


def _number(topic: TopicDescription) -> int:
    """Of the id's 128 random bits, as many as the version of a Delta transaction holds."""
    bits = topic.topic_id.get_most_significant_bits()  # type: ignore[attr-defined]
    return int(bits & _POSITIVE)


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
