"""How far the lake is behind Kafka, partition by partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from shadowlane.kafka import make_admin, mapped

if TYPE_CHECKING:
    from shadowlane.lake.care import Position
    from shadowlane.settings import KafkaSettings

_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Lag:
    """Where a partition begins and ends in Kafka, and where the lake goes on; None: it is not there."""

    topic: str
    partition: int
    next_offset: int
    start: int | None = None
    end: int | None = None

    @property
    def behind(self) -> int | None:
        """How many offsets are still to be read, transaction markers among them."""
        return None if self.end is None else max(0, self.end - self.next_offset)

    @property
    def lost(self) -> int | None:
        """How many Kafka has dropped that the lake has not landed."""
        return None if self.start is None else max(0, self.start - self.next_offset)

    @property
    def is_ahead(self) -> bool:
        """Whether the lake goes on after the end: the topic was made anew, or this is another Kafka."""
        return self.end is not None and self.next_offset > self.end


def lags(kafka: KafkaSettings, positions: Sequence[Position]) -> list[Lag]:
    """Ask Kafka, once for all partitions."""
    admin = make_admin(kafka)
    with mapped("looking for the ends of the topics"):
        topics = admin.list_topics(timeout=_TIMEOUT).topics
        there = [
            TopicPartition(each.topic, each.partition)
            for each in positions
            if each.topic in topics and each.partition in topics[each.topic].partitions
        ]
        starts = _offsets(admin, there, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        ends = _offsets(admin, there, OffsetSpec.latest())  # type: ignore[no-untyped-call]
    places = [(each, (each.topic, each.partition)) for each in positions]
    return [
        Lag(each.topic, each.partition, each.next_offset, starts.get(place), ends.get(place))
        for each, place in places
    ]


def _offsets(
    admin: AdminClient, partitions: Sequence[TopicPartition], spec: OffsetSpec
) -> dict[tuple[str, int], int]:
    if not partitions:
        return {}
    answers = admin.list_offsets(
        dict.fromkeys(partitions, spec), isolation_level=IsolationLevel.READ_UNCOMMITTED
    )
    return {(each.topic, each.partition): answer.result().offset for each, answer in answers.items()}
