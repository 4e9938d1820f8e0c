"""A batch of Kafka messages as columns: the requests that are ours, and the messages that are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Message

from shadowlane.errors import CodecError
from shadowlane.kafka import place_of
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.schemas import ProductionRequest
from shadowlane.schemas.columns import ColumnCodec

_CODEC = ColumnCodec(ProductionRequest)


@dataclass(frozen=True, slots=True)
class RequestBatch:
    """Requests of one model as columns, and for each the message it came in."""

    columns: pa.RecordBatch
    messages: Sequence[Message]

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def features(self) -> FeatureBatch:
        """What the primary was given."""
        return FeatureBatch(self.columns.column("features"))

    def select(self, rows: Sequence[int]) -> RequestBatch:
        """Some of them."""
        if len(rows) == len(self):
            return self
        return RequestBatch(
            self.columns.take(pa.array(rows, pa.int64())), [self.messages[row] for row in rows]
        )


def read_requests(
    messages: Sequence[Message], model: str
) -> tuple[RequestBatch, list[tuple[Message, CodecError]]]:
    """Decode the messages, leave other models' requests out, and return what could not be read."""
    decoded = _CODEC.decode(
        [message.value() for message in messages], lambda index: place_of(messages[index])
    )
    ours = pc.equal(decoded.batch.column("model"), model).to_numpy(zero_copy_only=False)
    kept = [messages[index] for index in decoded.kept]
    rejects = [(messages[reject.index], reject.error) for reject in decoded.rejects]
    return RequestBatch(decoded.batch, kept).select(np.flatnonzero(ours).tolist()), rejects
