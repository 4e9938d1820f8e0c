"""A batch of Kafka messages as columns: the requests that are ours, and the messages that are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Message

from shadowlane.errors import CodecError
from shadowlane.kafka import place_of
from shadowlane.replay_worker._answers import numbers
from shadowlane.replay_worker._features import CONTEXT, FeatureBatch
from shadowlane.replay_worker._plan import TimeRange
from shadowlane.schemas import ProductionRequest
from shadowlane.schemas.columns import ColumnCodec

_CODEC = ColumnCodec(ProductionRequest)

#: A column beside a request's own, once the worker has put a prediction in the primary's place.
PRIMARY_SOURCE = "primary_source"
_LAST_SECOND = datetime(9999, 12, 31, tzinfo=UTC).timestamp()

Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class RequestBatch:
    """Requests of one model as columns, and for each the message it came in."""

    columns: pa.RecordBatch
    messages: Sequence[Message]

    def __len__(self) -> int:
        return len(self.messages)

    def features(self, *, context: bool = False) -> FeatureBatch:
        """What the primary was given; with the context, where a model looks at that."""
        return FeatureBatch(
            self.columns.column("features"), self.columns.select(CONTEXT) if context else None
        )

    def select(self, rows: Rows) -> RequestBatch:
        """Some of them."""
        if len(rows) == len(self):
            return self
        chosen = self.columns.take(numbers(rows.astype(np.int64)))
        return RequestBatch(chosen, [self.messages[row] for row in rows.tolist()])


@dataclass(frozen=True, slots=True)
class Read:
    """What stood in some messages: our requests, and what no one can read."""

    requests: RequestBatch
    #: For each request the place of its message among those read.
    places: Rows
    rejects: Sequence[tuple[int, CodecError]]
    #: The places of what is of another time.
    outside: Rows


def read_requests(messages: Sequence[Message], model: str, window: TimeRange = TimeRange()) -> Read:  # noqa: B008 - frozen
    """Decode the messages, leave other models' requests and other times out, return what cannot be read."""
    decoded = _CODEC.decode(
        [message.value() for message in messages], lambda index: place_of(messages[index])
    )
    kept = np.array(decoded.kept, np.int64)
    rejects, unread = _of_the_time([(each.index, each.error) for each in decoded.rejects], messages, window)
    all_of_them = messages if len(kept) == len(messages) else [messages[index] for index in decoded.kept]
    requests = RequestBatch(decoded.batch, all_of_them)
    is_ours = pc.equal(decoded.batch.column("model"), model).to_numpy(zero_copy_only=False)
    is_outside = is_ours & ~_holds(window, decoded.batch.column("event_time"))
    ours = np.flatnonzero(is_ours & ~is_outside)
    outside = np.concatenate((kept[is_outside], np.array(unread, np.int64)))
    return Read(requests.select(ours), kept[ours], rejects, outside)


def _holds(window: TimeRange, times: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of these times lie in the window."""
    within = np.ones(len(times), dtype=bool)
    if window.start is not None:
        within &= pc.greater_equal(times, window.start).to_numpy(zero_copy_only=False)
    if window.end is not None:
        within &= pc.less(times, window.end).to_numpy(zero_copy_only=False)
    return within


def _of_the_time(
    rejects: list[tuple[int, CodecError]], messages: Sequence[Message], window: TimeRange
) -> tuple[list[tuple[int, CodecError]], list[int]]:
    """What cannot be read has no event time: the message's own says whether it is of the window."""
    if window == TimeRange():
        return rejects, []
    times = [_time_of(messages[index]) for index, _ in rejects]
    within = [reject for reject, time in zip(rejects, times, strict=True) if window.holds(time)]
    return within, [index for (index, _), time in zip(rejects, times, strict=True) if not window.holds(time)]


def _time_of(message: Message) -> datetime:
    """A message's own time; a broker takes any number, and what no calendar has is the last of its days."""
    return datetime.fromtimestamp(min(message.timestamp()[1] / 1000, _LAST_SECOND), UTC)
