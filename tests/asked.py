"""Requests as a model is asked about them: through the bytes of the event, as they come from Kafka."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shadowlane.replay_worker import FeatureBatch
from shadowlane.replay_worker._features import CONTEXT
from shadowlane.schemas import Codec, Features, ProductionRequest
from shadowlane.schemas.columns import ColumnCodec
from tests_support import request

_ONE, _MANY = Codec(ProductionRequest), ColumnCodec(ProductionRequest)


def asked(*features: Mapping[str, object], **changes: Any) -> FeatureBatch:
    """Requests with these features; each has the id `request-N`."""
    events = [request(n, features=Features.of(each), **changes) for n, each in enumerate(features)]
    columns = _MANY.decode([_ONE.encode(event) for event in events]).batch
    return FeatureBatch(columns.column("features"), columns.select(CONTEXT))
