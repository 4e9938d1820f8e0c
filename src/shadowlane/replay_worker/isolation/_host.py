"""What the replay asks of a model, wherever that lives: in this process, or in one of its own."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic
from typing import Protocol

import numpy as np
import pyarrow as pa

from shadowlane.errors import SettingsError
from shadowlane.replay_worker._answers import Answered, in_order
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker._fetched import still_missing
from shadowlane.replay_worker._plan import Isolation, ModelSource
from shadowlane.replay_worker.isolation._breaker import Breaker
from shadowlane.replay_worker.isolation._chunks import look_at
from shadowlane.replay_worker.isolation._fetching import open_runner
from shadowlane.replay_worker.isolation._isolated import BATCH_SECONDS, Isolated
from shadowlane.replay_worker.isolation._vitals import own_peak_mb
from shadowlane.replay_worker.models import load_model
from shadowlane.replay_worker.models._fetch import load_fetcher
from shadowlane.schemas import Failure

log = logging.getLogger(__name__)


class ModelHost(Protocol):
    """A loaded model that gives each request of a batch an answer or a failure."""

    @property
    def names(self) -> Sequence[str]:
        """The features that the model takes, in its order; empty where it does not say."""
        ...

    @property
    def wants_context(self) -> bool:
        """Whether it looks at more than the features."""
        ...

    @property
    def restarts(self) -> int:
        """How often its process had to be started again."""
        ...

    @property
    def denied(self) -> Counter[str]:
        """How often it was refused what it may not do, by kind: network, write."""
        ...

    @property
    def gpu_memory_mb(self) -> float | None:
        """The most GPU memory that it ever had, where it works with one."""
        ...

    def run(self, batch: FeatureBatch, give_up: Callable[[], bool]) -> Answered:
        """Answer the batch, or its first part where that takes too long or nobody waits any more."""
        ...

    def close(self) -> None:
        """Let go of the model."""
        ...


def open_host(
    source: ModelSource, isolation: Isolation, *, batch: bool, wait: Callable[[float], object]
) -> ModelHost:
    """Load the model. `wait(seconds)` rests between two deaths of its process, and is true once told to stop.

    Raises:
        ModelError: it cannot be loaded; the message says what to do.
        SettingsError: it cannot work under what it is denied.
    """
    scheme = source.uri.partition(":")[0]
    if isolation.deny_network and scheme in ("http", "https"):
        raise SettingsError(
            f"--deny-network, and the model is asked over the network ({scheme}:): leave one of them out"
        )
    source = replace(source, call_seconds=isolation.call_seconds)
    if isolation.kind == "none":
        return InProcess(source, batch=batch, wait=wait)
    return Isolated(source, isolation, batch=batch, wait=wait)


class InProcess:
    """A model in the replay's own process, for those who must: what it crashes is the replay."""

    def __init__(
        self, source: ModelSource, *, batch: bool, wait: Callable[[float], object] = lambda _seconds: None
    ) -> None:
        model, fetcher = load_model(source), load_fetcher(source)
        self.names: Sequence[str] = model.names
        self.wants_context, self.restarts = model.wants_context or fetcher is not None, 0
        self.denied: Counter[str] = Counter()
        self._runner = open_runner(model, fetcher, batch=batch)
        self._away = Breaker(wait)

    @property
    def gpu_memory_mb(self) -> float | None:
        """The most GPU memory that this process ever had."""
        return self._runner.gpu_memory_mb

    def run(self, batch: FeatureBatch, give_up: Callable[[], bool]) -> Answered:
        """Answer the batch."""
        self._away.rest()
        parts: list[pa.RecordBatch] = []
        failures: list[tuple[int, Failure]] = []
        settled, begun = np.zeros(len(batch), dtype=bool), monotonic()
        missing, unexpected = look_at(batch, self.names)
        for chunk in self._runner.run(batch):
            parts.append(chunk.answers)
            failures += chunk.failures
            settled[chunk.answers.column("row").to_numpy()] = True
            settled[[row for row, _ in chunk.failures]] = True
            if chunk.unavailable is not None:
                log.warning("the rest is asked again later: %s", chunk.unavailable)
                self._away.died()
            late = monotonic() - begun > BATCH_SECONDS and settled[:1].all()
            if give_up() or late:
                break
        if settled.all():
            self._away.lived()
        done = len(batch) if settled.all() else int(settled.argmin())
        kept = sorted((each for each in failures if each[0] < done), key=lambda each: each[0])
        answers = in_order(parts, done)
        return Answered(
            answers,
            kept,
            done,
            missing=None if missing is None else still_missing(missing.column("missing"), answers),
            unexpected=unexpected,
            memory_mb=own_peak_mb(),
        )

    def close(self) -> None:
        """Nothing to let go of."""
