"""Requests put into a lake's archive as the aggregator does it, without a Kafka."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from shadowlane.aggregator._gathered import Gathered
from shadowlane.aggregator._landing import land
from shadowlane.lake import REQUESTS, LakeTable
from shadowlane.replay_worker.archive import ArchivedMessage
from shadowlane.schemas import Codec, ProductionRequest
from shadowlane.schemas.columns import ColumnCodec

TOPIC = "production-requests"
CODEC = Codec(ProductionRequest)
_COLUMNS = ColumnCodec(ProductionRequest)

#: Requests by their places: partition and offset.
Placed = Mapping[tuple[int, int], ProductionRequest]


def put(lake: Path, requests: Placed, topic: str = TOPIC, landed: Mapping[int, int] | None = None) -> None:
    """Commit these; `landed` tells how far the partitions are then, where that is not behind the last one."""
    table, gathered = LakeTable(lake, REQUESTS), Gathered(topic)
    for (partition, offset), request in requests.items():
        value = CODEC.encode(request)
        message = ArchivedMessage(topic, partition, offset, "", 1, value)
        gathered.add(partition, [message], [message.offset()])  # type: ignore[list-item] # it has what is asked of it
    ends = dict(landed or {})
    for partition, offset in requests:
        ends[partition] = max(ends.get(partition, 0), offset + 1)
    ids = {f"{topic}-{partition}": end for partition, end in ends.items()}
    known = {each: table.resume(each) or 0 for each in ids}
    moves = {each: end for each, end in ids.items() if end > known[each]}
    table.append(land(REQUESTS, _COLUMNS, gathered).rows, moves)


def decoded(messages: Sequence[ArchivedMessage]) -> dict[tuple[int, int], ProductionRequest]:
    """What stands in messages, by their places."""
    return {(each.partition(), each.offset()): CODEC.decode(each.value()) for each in messages}
