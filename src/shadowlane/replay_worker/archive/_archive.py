"""The lake's archive of one topic's requests, at one version: what of a window it holds, and the messages."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shadowlane.errors import LakeError
from shadowlane.lake import DEAD_LETTERS, REQUESTS, HeldFile, HeldTable, Lake, NoTableError
from shadowlane.replay_worker._message import ArchivedMessage
from shadowlane.replay_worker.archive._messages import COLUMNS, messages
from shadowlane.replay_worker.archive._order import in_order
from shadowlane.replay_worker.archive._pieces import (
    PLACE,
    Choice,
    Found,
    Piece,
    Places,
    Spans,
    find,
    micros,
    places,
)

_FIRST, _LAST = 0, 2**63 - 1
_HANDFUL = 2_000


@dataclass(frozen=True, slots=True)
class Covered:
    """What the archive holds of a partition's offsets, all models together."""

    #: The offset before which all has landed.
    landed: int
    #: Its first offset that is there, and the time of the request there in milliseconds.
    first: tuple[int, int] | None
    #: Of those asked about: in no table, and in the one of what nobody can read.
    holes: int
    unread: int


class Archive:
    """A model's requests of a time, held at one version of the lake."""

    def __init__(
        self, lake: Lake, choice: Choice, partitions: Sequence[int], version: int | None = None
    ) -> None:
        """Hold it.

        Raises:
            VersionGoneError: that version cannot be had any more.
            LakeError: nothing of this topic was archived in this lake.
        """
        self._lake, self._choice = lake, choice
        try:
            self._table = HeldTable(lake, REQUESTS, version)
        except NoTableError as error:
            raise NoTableError(
                f"{error}: the archive is filled by `shadowlane aggregate --archive-requests`"
            ) from error
        self.version = self._table.version
        self.landed = {each: self._table.position(f"{choice.topic}-{each}") or 0 for each in partitions}
        if not any(self.landed.values()):
            raise LakeError(
                f"the archive of {lake} holds nothing of the topic {choice.topic}: "
                "`shadowlane aggregate --archive-requests` fills it"
            )

    def find(self, spans: Spans | None = None) -> Found:
        """Look for what there is of these partitions."""
        spans = dict.fromkeys(self.landed, (_FIRST, _LAST)) if spans is None else spans
        return find(self._table, filter(self._choice.wants, self._table.files), self._choice, spans)

    def read(self, pieces: Sequence[Piece], spans: Spans) -> Iterator[list[ArchivedMessage]]:
        """The messages of these spans, some at a time; of a partition in the order of their offsets."""
        for rows in in_order(pieces, spans, self._rows):
            for start in range(0, rows.num_rows, _HANDFUL):
                yield messages(rows.slice(start, _HANDFUL), self._choice.model or "")

    def pick(self, wanted: Collection[tuple[int, int]]) -> Iterator[list[ArchivedMessage]]:
        """The messages at these places (partition and offset), in no order."""
        by_partition: dict[int, list[int]] = {}
        for partition, offset in wanted:
            by_partition.setdefault(partition, []).append(offset)
        spans = {each: (min(offsets), max(offsets) + 1) for each, offsets in by_partition.items()}
        for piece in self.find(spans).pieces:
            rows = self._rows(piece, spans)
            partitions, offsets = places(rows)
            chosen = np.zeros(rows.num_rows, bool)
            for partition, asked in by_partition.items():
                chosen |= (partitions == partition) & np.isin(offsets, asked)
            if chosen.any():
                yield messages(rows.filter(pa.array(chosen)), self._choice.model or "")

    def sample(self, pieces: Sequence[Piece], spans: Spans, count: int, looks: int) -> list[ArchivedMessage]:
        """Some messages, from row groups spread evenly over what there is."""
        chosen = sorted(pieces, key=lambda each: each.since)[:: max(1, -(-len(pieces) // looks))]
        found: list[ArchivedMessage] = []
        for piece in chosen:
            rows = self._rows(piece, spans)
            each = max(1, count // len(chosen))  # in a row: every n-th would meet what recurs, or miss it
            found += messages(rows.slice(max(0, rows.num_rows - each) // 2, each), self._choice.model or "")
        return found

    def covered(self, spans: Spans) -> dict[int, Covered]:
        """What there is of these offsets in the table, whatever model and time they are of."""
        all_of_them = Choice(self._choice.topic, None)
        there = find(self._table, filter(_meeting(spans), self._table.files), all_of_them, spans).places
        unread, firsts = self._unread(spans), self._firsts(set(spans))
        return {
            partition: Covered(
                landed=self.landed[partition],
                first=firsts.get(partition),
                holes=end - start - there.count(partition, start, end) - unread.get(partition, 0),
                unread=unread.get(partition, 0),
            )
            for partition, (start, end) in spans.items()
        }

    def _rows(self, piece: Piece, spans: Spans) -> pa.Table:
        with self._table.open(piece.file) as parquet:
            rows = parquet.read_row_group(piece.group, columns=COLUMNS)
        chosen = self._choice.holds(rows, spans)
        return rows if chosen.all() else rows.filter(pa.array(chosen))

    def _firsts(self, partitions: set[int]) -> dict[int, tuple[int, int]]:
        """Where the archive begins; the files by their least offset, until none can hold an earlier one."""
        found: dict[int, tuple[int, int]] = {}
        for file in sorted(self._table.files, key=lambda each: each.offsets or (_FIRST, _LAST)):
            least = file.offsets[0] if file.offsets else _FIRST
            if partitions <= found.keys() and all(first <= least for first, _ in found.values()):
                break
            with self._table.open(file) as parquet:
                rows = parquet.read(columns=PLACE)
            rows = rows.filter(pc.equal(rows.column("landed_topic"), self._choice.topic))
            for partition in partitions:
                ours = rows.filter(pc.equal(rows.column("landed_partition"), partition))
                if ours.num_rows:
                    at = pc.index(ours.column("landed_offset"), pc.min(ours.column("landed_offset"))).as_py()
                    place = (
                        ours.column("landed_offset")[at].as_py(),
                        micros(ours.column("event_time")[at].as_py()),
                    )
                    found[partition] = min(found.get(partition, place), place)
        return {partition: (offset, time // 1000) for partition, (offset, time) in found.items()}

    def _unread(self, spans: Spans) -> Mapping[int, int]:
        """How many messages nobody could read; as the table of those is now."""
        try:
            table = HeldTable(self._lake, DEAD_LETTERS)
        except NoTableError:
            return {}
        seen = Places()
        for file in filter(_meeting(spans), table.files):
            with table.open(file) as parquet:
                rows = parquet.read(columns=["topic", "landed_partition", "landed_offset"])
            seen.add(*places(rows.filter(pc.equal(rows.column("topic"), self._choice.topic))))
        return {partition: seen.count(partition, *span) for partition, span in spans.items()}


def _meeting(spans: Spans) -> Any:
    """Files that may hold some of these offsets."""
    low = min((start for start, end in spans.values() if start < end), default=_LAST)
    high = max((end for start, end in spans.values() if start < end), default=_FIRST)

    def may_hold(file: HeldFile) -> bool:
        return file.offsets is None or (file.offsets[0] < high and file.offsets[1] >= low)

    return may_hold
