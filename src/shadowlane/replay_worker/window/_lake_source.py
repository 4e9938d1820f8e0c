"""Where a window's worker reads in the lake's archive, at one version of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Event as Flag
from typing import cast

from confluent_kafka import Message

from shadowlane.kafka import close_consumer, make_consumer
from shadowlane.replay_worker._patience import patiently
from shadowlane.replay_worker._plan import WorkerPlan
from shadowlane.replay_worker.archive import Archive, ArchivedMessage, Choice
from shadowlane.replay_worker.window._bounded import POLL_SECONDS, Bounded, Held, Share
from shadowlane.settings import KafkaSettings

_TIMEOUT = 30.0
_TRY_SECONDS = 5.0
# With an original pace so many wait for their time, and no more are read.
_WAITING = 20_000


class LakeSource(Bounded):
    """Partitions of a window, as the archive has them; Kafka keeps how far they are."""

    def __init__(
        self, share: Share, kafka: KafkaSettings, group: str, topic: str, stop: Flag, plan: WorkerPlan
    ) -> None:
        super().__init__(share, make_consumer(kafka, group), topic, stop)
        lake, version = cast("Held", share.held)
        choice = Choice(topic, plan.target.model, plan.window)
        self._archive = Archive(lake, choice, list(self._slices), version)
        self._ready: list[Message] = []
        self._begin(_TIMEOUT)

    def rewind(self, _batch: Sequence[Message]) -> None:
        """Go back to what is committed, of all partitions: the batch may have come through after all."""
        self._sent, self._again, self._ready = {}, [], []
        self._pace.forget(self._slices)
        if not self._stop.is_set():  # whoever is next goes on from the commit
            patiently(lambda: self._begin(_TRY_SECONDS), self._stop)

    def close(self) -> None:
        """Hang up."""
        close_consumer(self._consumer)

    def _begin(self, timeout: float) -> None:
        """Read each partition from where the run left it."""
        self._settled.update(self._committed(list(self._slices), timeout))
        spans = {
            each.partition: (self._settled[each.partition].offset, each.end) for each in self._slices.values()
        }
        self._stream: Iterator[list[ArchivedMessage]] = self._archive.read(
            self._archive.find(spans).pieces, spans
        )
        self._ended.clear()

    def _read(self, size: int) -> list[Message]:
        """The next messages of the window."""
        if self._ended or len(self._pace) > _WAITING:
            self._stop.wait(POLL_SECONDS)
            return []
        while len(self._ready) < size:
            some = next(self._stream, None)
            if some is None:
                break
            self._ready += cast("list[Message]", some)  # they have all that is asked of a message
        taken, self._ready = self._ready[:size], self._ready[size:]
        if not self._ready and len(taken) < size:
            self._ended.update(self._slices)
        return taken
