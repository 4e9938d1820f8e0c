"""One topic and the tables it lands in: each message is a row once, or a dead letter once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from time import monotonic, time

import pyarrow as pa

from shadowlane.aggregator._gathered import Gathered
from shadowlane.aggregator._landing import land
from shadowlane.aggregator._landings import Landings
from shadowlane.errors import LakeError
from shadowlane.lake import DEAD_LETTERS, EventTable, Lake, LakeTable, TakenOverError
from shadowlane.schemas.columns import ColumnCodec

log = logging.getLogger(__name__)


class Stream:
    """One topic, its table, and the table of what could not be read."""

    def __init__(self, lake: Lake, topic: str, spec: EventTable, landings: Landings | None = None) -> None:
        self.topic = topic
        self.spec = spec
        self._landings = landings or Landings()
        self._lake = lake
        self._codec = ColumnCodec(spec.event)
        self._table = LakeTable(lake, spec)
        self._dead_letters = LakeTable(lake, DEAD_LETTERS)

    def identify(self, topic_id: int) -> None:
        """Hold the topic to the id under which it was first landed.

        A topic that was deleted and made anew counts its offsets from 0 again, and so does its
        namesake on another Kafka: by the lake's positions, its first messages would have landed.

        Raises:
            LakeError: the lake knows the topic under another id.
        """
        app_id = f"topic-id/{self.topic}"
        known = self._table.resume(app_id)
        if known is None:
            try:
                self._table.move({app_id: topic_id})
            except TakenOverError:
                known = self._table.resume(app_id)
        if known not in (None, topic_id):
            raise self.another_topic()

    def another_topic(self) -> LakeError:
        """What to say where Kafka's topic is not the one that the lake knows."""
        return LakeError(
            f"the lake {self._lake} holds another topic {self.topic}: since it landed there, the topic "
            "was deleted and made anew, or this is another Kafka. "
            "Land this one in a new lake folder (--lake)"
        )

    def resume(self, partition: int) -> int | None:
        """Where reading goes on, as the lake says; None where nothing of this partition has landed."""
        app_id = self._app_id(partition)
        self._dead_letters.resume(app_id)
        return self._table.resume(app_id)

    def position(self, partition: int) -> int:
        """The next offset of a partition, as far as we know; 0 where nothing of it has landed."""
        return self._table.position(self._app_id(partition)) or 0

    def land(self, messages: Gathered, reached: Mapping[int, int]) -> int:
        """Commit the messages and how far each partition was read; the number of rows that they became.

        Dead letters go first: what a crash between the two commits leaves is read again, not lost.
        """
        began = monotonic()
        positions = {self._app_id(partition): offset for partition, offset in reached.items()}
        landed = land(self.spec, self._codec, messages)
        if landed.dead_letters.num_rows:
            self._bury(landed.dead_letters, positions)
        self._table.append(landed.rows, positions)
        self._landings.add(self.spec.name, landed.rows.num_rows, messages.size)
        self._landings.time(self.spec.name, monotonic() - began, self._table.commit_seconds, time())
        return int(landed.rows.num_rows)

    def _bury(self, letters: pa.Table, positions: Mapping[str, int]) -> None:
        """Keep what cannot be decoded, unless an earlier try has kept it already."""
        kept = {app_id: self._dead_letters.position(app_id) or 0 for app_id in positions}
        places = zip(*(letters.column(name).to_pylist() for name in _PLACE), strict=True)
        fresh = [offset >= kept[self._app_id(partition)] for partition, offset in places]
        if not any(fresh):
            return
        # After a crash between the two commits these positions are ahead: never move them back.
        ahead = {app_id: offset for app_id, offset in positions.items() if offset > kept[app_id]}
        self._dead_letters.append(letters.filter(pa.array(fresh)), ahead)
        log.warning(
            "%s: %d messages are not what they should be; the table %s keeps them",
            self.spec.name,
            sum(fresh),
            DEAD_LETTERS.name,
        )
        self._landings.dead_letters[self.spec.name] += sum(fresh)

    def _app_id(self, partition: int) -> str:
        return f"{self.topic}-{partition}"


_PLACE = ("landed_partition", "landed_offset")
