"""Rows that lie by time, in the order in which they came: each row group read once, as long as memory allows.

A topic is nearly in the order of its requests' times. So row groups are read by time, and a row goes on as
soon as no row group that is still to be read holds an earlier offset of its partition; only requests that
came late wait. Where these are too many to hold, the later half of them is let go and read once more.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence

import numpy as np
import pyarrow as pa

from shadowlane.replay_worker.archive._pieces import Longs, Piece, Spans, places

Read = Callable[[Piece, Spans], pa.Table]

_LAST = 2**63 - 1
#: What waits takes no more memory than this.
MOST_BYTES = 256 * 2**20


def in_order(
    pieces: Sequence[Piece], spans: Spans, read: Read, most_bytes: int = MOST_BYTES
) -> Iterator[pa.Table]:
    """The rows of these spans, each place once: of a partition in the order of its offsets."""
    spans = dict(spans)
    while pieces := [each for each in sorted(pieces, key=lambda each: each.since) if each.meets(spans)]:
        within = yield from _sweep(pieces, spans, read, most_bytes)
        spans = {partition: (within[partition][1], end) for partition, (_, end) in spans.items()}


def _sweep(
    pieces: Sequence[Piece], spans: Spans, read: Read, most_bytes: int
) -> Generator[pa.Table, None, Spans]:
    """All row groups once, by time; returns the spans of which all was handed out."""
    held, later = None, _later(pieces)
    for piece, firsts in zip(pieces, later, strict=True):
        if not piece.meets(spans):
            continue
        rows = read(piece, spans)
        held = rows if held is None else pa.concat_tables([held, rows])
        partitions, offsets = places(held)
        is_ready = offsets < firsts[partitions]
        if is_ready.all():
            ready, held = held, held.slice(0, 0)
        else:
            ready, held = held.filter(pa.array(is_ready)), held.filter(pa.array(~is_ready))
        if ready.num_rows:
            yield _ordered(ready)
        if held.nbytes > most_bytes:
            spans, held = _let_go(spans, held)
    if held is not None and held.num_rows:  # it waited for row groups that hold none of these spans any more
        yield _ordered(held)
    return spans


def _later(pieces: Sequence[Piece]) -> list[Longs]:
    """For each piece and partition, the first offset in those that come after it."""
    width = max(partition for piece in pieces for partition in piece.ends) + 1
    first, found = np.full(width, _LAST, np.int64), []
    for piece in reversed(pieces):
        found.append(first.copy())
        for partition, (low, _) in piece.ends.items():
            first[partition] = min(first[partition], low)
    return found[::-1]


def _let_go(spans: Spans, held: pa.Table) -> tuple[Spans, pa.Table]:
    """Of each partition the later half of what waits, by ending its span before that."""
    partitions, offsets = places(held)
    ends = np.full(int(partitions.max()) + 1, _LAST, np.int64)
    for partition in np.unique(partitions).tolist():
        ends[partition] = int(np.median(offsets[partitions == partition])) + 1
    cut = {
        partition: (start, min(end, int(ends[partition])) if partition < len(ends) else end)
        for partition, (start, end) in spans.items()
    }
    return cut, held.filter(pa.array(offsets < ends[partitions]))


def _ordered(rows: pa.Table) -> pa.Table:
    """Each place once, in the order of its partition; and the partitions side by side, as time has it."""
    partitions, offsets = places(rows)
    order = np.lexsort((offsets, partitions))
    partitions, offsets = partitions[order], offsets[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (partitions[1:] != partitions[:-1]) | (offsets[1:] != offsets[:-1])
    order, partitions = order[is_first], partitions[is_first]
    _, begins, sizes = np.unique(partitions, return_index=True, return_counts=True)
    share = (np.arange(len(order)) - np.repeat(begins, sizes)) / np.repeat(sizes, sizes)
    return rows.take(pa.array(order[np.argsort(share, kind="stable")]))
