"""How a window is replayed, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from shadowlane.replay_worker.window._speed import Speed

if TYPE_CHECKING:
    from shadowlane.lake import Lake

MARGIN = timedelta(minutes=10)
SourceName = Literal["kafka", "lake", "auto"]


@dataclass(frozen=True, slots=True)
class How:
    """How a window is replayed."""

    speed: Speed = field(default_factory=Speed)
    processes: int = 1
    #: So much later than their event time requests may come to Kafka.
    margin: timedelta = MARGIN
    #: Where requests are read; `auto`: in the lake, where Kafka no longer holds all of a new run's window.
    source: SourceName = "kafka"
    #: The lake, for those that are read there.
    lake: Lake = "./lake"
