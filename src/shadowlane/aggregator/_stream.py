"""One topic and the tables it lands in: each message is a row once, or a dead letter once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import pyarrow as pa
from confluent_kafka import Message, TopicPartition

from shadowlane.aggregator._lake import LakeTable
from shadowlane.aggregator._landing import land
from shadowlane.aggregator._tables import (
    DEAD_LETTERS,
    DEAD_LETTERS_SCHEMA,
    PARTITION_COLUMNS,
    TableSpec,
)
from shadowlane.schemas.columns import ColumnCodec

log = logging.getLogger(__name__)


class Stream:
    """One topic, its table, and the table of what could not be read."""

    def __init__(self, lake: str, spec: TableSpec) -> None:
        self.spec = spec
        self._codec = ColumnCodec(spec.event)
        self._table = LakeTable(lake, spec.name, spec.schema, PARTITION_COLUMNS)
        self._dead_letters = LakeTable(lake, DEAD_LETTERS, DEAD_LETTERS_SCHEMA, ("date",))

    def resume(self, partition: TopicPartition) -> int | None:
        """Where reading goes on, as the lake says; None where nothing of this partition has landed."""
        app_id = _app_id(partition.topic, partition.partition)
        self._dead_letters.resume(app_id)
        return self._table.resume(app_id)

    def land(self, messages: Sequence[Message]) -> int:
        """Commit the messages; the number of rows that they became.

        Dead letters go first: what a crash between the two commits leaves is read again, not lost.
        """
        positions = _positions(messages)
        landed = land(self.spec, self._codec, messages)
        if landed.dead_letters.num_rows:
            self._bury(landed.dead_letters, positions)
        if landed.rows.num_rows:
            self._table.append(landed.rows, positions)
        return int(landed.rows.num_rows)

    def _bury(self, letters: pa.Table, positions: Mapping[str, int]) -> None:
        """Keep what cannot be decoded, unless an earlier try has kept it already."""
        places = zip(*(letters.column(name).to_pylist() for name in _PLACE), strict=True)
        fresh = [
            offset >= (self._dead_letters.position(_app_id(topic, partition)) or 0)
            for topic, partition, offset in places
        ]
        if not any(fresh):
            return
        log.warning(
            "%s: %d messages are not what they should be; the table %s keeps them",
            self.spec.name,
            sum(fresh),
            DEAD_LETTERS,
        )
        self._dead_letters.append(letters.filter(pa.array(fresh)), positions)


_PLACE = ("topic", "landed_partition", "landed_offset")


def _app_id(topic: str | None, partition: int | None) -> str:
    return f"{topic}-{partition}"


def _positions(messages: Sequence[Message]) -> dict[str, int]:
    """For each partition, the offset after the last of its messages."""
    return {_app_id(each.topic(), each.partition()): (each.offset() or 0) + 1 for each in messages}
