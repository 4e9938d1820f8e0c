"""What of the archive is meant, and the row groups that hold some of it: found by their places alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shadowlane.lake import HeldFile, HeldTable
from shadowlane.replay_worker._plan import TimeRange

#: By partition: from an offset up to, and without, another.
Spans = Mapping[int, tuple[int, int]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Longs = np.ndarray[Any, np.dtype[np.int64]]

PLACE = ["event_time", "landed_topic", "landed_partition", "landed_offset"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Other engines write ends in whole milliseconds, cut off.
_SLACK = timedelta(milliseconds=1)
_BLOCK = 2**20
_ALWAYS = TimeRange()


@dataclass(frozen=True, slots=True)
class Choice:
    """One model's requests of a time; None: of all models."""

    topic: str
    model: str | None
    times: TimeRange = _ALWAYS

    def wants(self, file: HeldFile) -> bool:
        """Whether a file may hold some of them, by its folder and what the table's log says of it."""
        start, end = self.times.start, self.times.end
        if self.model is not None and file.model != self.model:
            return False
        if start is not None and file.last is not None and file.last < start - _SLACK:
            return False
        return end is None or file.first is None or file.first < end

    def holds(self, rows: pa.Table, spans: Spans) -> Mask:
        """Which of these rows are meant, and lie in these spans."""
        partitions, offsets = places(rows)
        most = max(int(partitions.max(initial=0)), *spans, 0) + 1
        low, high = np.zeros(most, np.int64), np.zeros(most, np.int64)
        for partition, (first, end) in spans.items():
            low[partition], high[partition] = first, end
        within = (offsets >= low[partitions]) & (offsets < high[partitions])
        within &= pc.equal(rows.column("landed_topic"), self.topic).to_numpy().astype(bool)
        times = rows.column("event_time").cast(pa.int64()).to_numpy()
        if self.times.start is not None:
            within &= times >= micros(self.times.start)
        if self.times.end is not None:
            within &= times < micros(self.times.end)
        return within


@dataclass(frozen=True, slots=True)
class Piece:
    """A row group that holds some of what is meant: since when, and by partition between which offsets."""

    file: HeldFile
    group: int
    since: int
    ends: Mapping[int, tuple[int, int]]

    def meets(self, spans: Spans) -> bool:
        """Whether some of it may lie in these spans."""
        return any(
            max(first, start) < min(last + 1, end)
            for partition, (first, last) in self.ends.items()
            for start, end in [spans.get(partition, (0, 0))]
        )


class Places:
    """Remembers which offsets there are: a byte for each that may be, in blocks where there are some."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[int, int], Mask] = {}

    def add(self, partitions: Longs, offsets: Longs) -> int:
        """Take these in; how many of them are new."""
        new = 0
        for partition in np.unique(partitions).tolist():
            ours = np.unique(offsets[partitions == partition])
            blocks = ours // _BLOCK
            for block in np.unique(blocks).tolist():
                known = self._blocks.setdefault((partition, block), np.zeros(_BLOCK, bool))
                inner = ours[blocks == block] % _BLOCK
                new += len(inner) - int(known[inner].sum())
                known[inner] = True
        return new

    def count(self, partition: int, start: int, end: int) -> int:
        """How many there are from an offset up to another."""
        total = 0
        for (whose, block), known in self._blocks.items():
            if whose == partition:
                first = block * _BLOCK
                total += int(known[max(0, start - first) : max(0, end - first)].sum())
        return total

    def ends(self, partition: int) -> tuple[int, int] | None:
        """The first one, and the one after the last."""
        blocks = sorted(block for whose, block in self._blocks if whose == partition)
        if not blocks:
            return None
        first, last = (np.flatnonzero(self._blocks[partition, block]) for block in (blocks[0], blocks[-1]))
        return blocks[0] * _BLOCK + int(first[0]), blocks[-1] * _BLOCK + int(last[-1]) + 1


@dataclass(frozen=True, slots=True)
class Found:
    """The row groups that hold what was meant, the places of it, and how much there is of each day."""

    pieces: tuple[Piece, ...]
    places: Places
    days: Mapping[date, int]


def find(table: HeldTable, files: Iterable[HeldFile], choice: Choice, spans: Spans) -> Found:
    """Look for what is meant, at nothing but the places and times of the rows."""
    pieces, seen, days = [], Places(), Counter[date]()
    for file in files:
        with table.open(file) as parquet:
            for group in groups(parquet, choice.times):
                rows = parquet.read_row_group(group, columns=PLACE)
                rows = rows.filter(pa.array(choice.holds(rows, spans)))
                if rows.num_rows:
                    pieces.append(_piece(file, group, rows))
                    days[file.day or date.min] += seen.add(*places(rows))
    return Found(tuple(pieces), seen, dict(sorted(days.items())))


def groups(parquet: pq.ParquetFile, times: TimeRange) -> list[int]:
    """The row groups of a file that may hold something of a time, by their statistics."""
    meta = parquet.metadata
    column = next(i for i in range(meta.num_columns) if meta.schema.column(i).path == "event_time")
    start = None if times.start is None else micros(times.start)
    end = None if times.end is None else micros(times.end)
    found = []
    for group in range(meta.num_row_groups):
        said = meta.row_group(group).column(column).statistics
        if said is not None and said.has_min_max:
            if start is not None and micros(said.max) < start:
                continue
            if end is not None and micros(said.min) >= end:
                continue
        found.append(group)
    return found


def places(rows: pa.Table) -> tuple[Longs, Longs]:
    """Where rows lay: their partitions and offsets."""
    return (
        rows.column("landed_partition").cast(pa.int64()).to_numpy(),
        rows.column("landed_offset").to_numpy(),
    )


def micros(moment: datetime) -> int:
    """A moment as the archive's columns count it."""
    return (moment - _EPOCH) // _MICROSECOND


def _piece(file: HeldFile, group: int, rows: pa.Table) -> Piece:
    partitions, offsets = places(rows)
    ends = {}
    for partition in np.unique(partitions).tolist():
        ours = offsets[partitions == partition]
        ends[partition] = int(ours.min()), int(ours.max())
    return Piece(file, group, int(rows.column("event_time").cast(pa.int64()).to_numpy().min()), ends)
