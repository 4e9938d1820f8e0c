"""Reads single requests again from the lake's archive, by the offsets that they had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import cast

from confluent_kafka import Message

from shadowlane.lake import Lake
from shadowlane.replay_worker._plan import TimeRange
from shadowlane.replay_worker.archive import Archive, Choice
from shadowlane.replay_worker.redrive._failures import Failed, Spot
from shadowlane.replay_worker.redrive._queued import Queued
from shadowlane.schemas import ProductionRequest
from shadowlane.schemas.columns import ColumnCodec

_REQUESTS = ColumnCodec(ProductionRequest)
_MOMENT = timedelta(microseconds=1)


class ArchiveSource(Queued):
    """The requests of one model at some places; what nobody could read was never archived, and is gone."""

    def __init__(self, lake: Lake, topic: str, model: str, wanted: Mapping[Spot, Failed]) -> None:
        super().__init__()
        self._wanted = wanted
        self._missing: set[Spot] = set(wanted)
        times = [each.event_time for each in wanted.values() if each.event_time is not None]
        window = TimeRange(min(times), max(times) + _MOMENT) if times else TimeRange()
        archive = Archive(lake, Choice(topic, model, window), sorted({partition for partition, _ in wanted}))
        self._found = archive.pick(wanted) if times else iter(())
        self._is_through = False

    @property
    def finished(self) -> bool:
        """Whether all of them were handed out."""
        return self._is_through and not self._ready

    @property
    def gone(self) -> set[Spot]:
        """Those that are not in the archive, once all of it was looked through."""
        return self._missing if self._is_through else set()

    def take(self, size: int) -> list[Message]:
        """The next of them, so many at most; perhaps none yet."""
        while len(self._ready) < size and not self._is_through:
            some = next(self._found, None)
            self._is_through = some is None
            self._ready.extend(self._unchanged(cast("list[Message]", some or [])))
        return self._handed_out(size)

    def close(self) -> None:
        """Nothing is held open between two calls."""

    def _unchanged(self, messages: Sequence[Message]) -> list[Message]:
        """Those that are what the errors were about, each once."""
        ids = _REQUESTS.decode([each.value() for each in messages]).batch.column("request_id").to_pylist()
        found = []
        for message, request_id in zip(messages, ids, strict=True):
            spot = message.partition() or 0, message.offset() or 0
            if spot in self._missing and self._wanted[spot].is_of(message, request_id):
                self._missing.discard(spot)
                found.append(message)
        return found
