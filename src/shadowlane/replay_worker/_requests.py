"""A batch of Kafka messages as columns: the requests that are ours, and the messages that are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Message

from shadowlane.errors import CodecError
from shadowlane.kafka import place_of
from shadowlane.replay_worker._answers import numbers
from shadowlane.replay_worker._features import CONTEXT, FeatureBatch
from shadowlane.schemas import ProductionRequest
from shadowlane.schemas.columns import ColumnCodec

_CODEC = ColumnCodec(ProductionRequest)

#: A column beside a request's own, once the worker has put a prediction in the primary's place.
PRIMARY_SOURCE = "primary_source"

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


def read_requests(messages: Sequence[Message], model: str) -> Read:
    """Decode the messages, leave other models' requests out, and return what could not be read."""
    decoded = _CODEC.decode(
        [message.value() for message in messages], lambda index: place_of(messages[index])
    )
    kept = np.array(decoded.kept, np.int64)
    rejects = [(reject.index, reject.error) for reject in decoded.rejects]
    all_of_them = messages if len(kept) == len(messages) else [messages[index] for index in decoded.kept]
    requests = RequestBatch(decoded.batch, all_of_them)
    is_ours = pc.equal(decoded.batch.column("model"), model).to_numpy(zero_copy_only=False)
    ours = np.flatnonzero(is_ours)
    return Read(requests.select(ours), kept[ours], rejects)
