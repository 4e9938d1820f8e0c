"""A hook for your service's own tests: it keeps in memory what the real one sends to Kafka.

    hook = MemoryHook(model="ranker")
    hook.publish(features={"a": 1.5}, prediction=0.87)
    assert hook.requests[0].prediction.score == 0.87

All but the last step is the real hook's: sampling, copies, redaction, encoding, counts, the ledger. One
suite of tests holds for both, on a real Kafka for the real one (tests/hook_contract.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from confluent_kafka import KafkaError

from shadowlane.kafka import KafkaSettings, TopicNames, to_error
from shadowlane.producer._encode import Message
from shadowlane.producer._hook import Hook
from shadowlane.producer._log import Log
from shadowlane.producer._outbox import CONFIG, MakeOutbox
from shadowlane.producer._plan import Limits
from shadowlane.producer._redaction import Redaction
from shadowlane.producer._sampling import Sampling
from shadowlane.producer._stats import Counts
from shadowlane.schemas import (
    Codec,
    EventT,
    LedgerEntry,
    ProductionRequest,
    ShadowComparison,
    ShadowError,
)

__all__ = ["MemoryHook", "Published"]

_TOPICS = TopicNames()
_RESULTS = {ShadowComparison: _TOPICS.comparisons, ShadowError: _TOPICS.errors}
# What Kafka's client takes, as the real hook sets it.
_LARGEST, _MOST = (int(str(CONFIG[name])) for name in ("message.max.bytes", "queue.buffering.max.messages"))
_NO_LIMITS_GIVEN = Limits()
_PATIENCE = 10.0


class Published(NamedTuple):
    """One message, as Kafka would hold it."""

    topic: str
    """Without a prefix: `production-requests`, `shadow-ledger`, `shadow-comparisons` or `shadow-errors`."""
    key: str
    value: bytes
    """The event, encoded as docs/events.md says."""
    timestamp_ms: int
    headers: Mapping[str, bytes]


class MemoryHook(Hook):
    """A `Hook` that needs no Kafka; whoever takes a `Hook` takes it.

    It takes what `Hook` takes, so that it can stand in its place, but reads nothing of how to reach
    Kafka, and follows no control topic. The redaction is the real one: where none is given, and
    shadowlane.toml says one, that one.

    Attributes:
        down: Set it, and no message is answered, as with a Kafka that is gone; take it back, and all
            that was held up is delivered. What is still unanswered at `close` is counted as failed.
    """

    def __init__(
        self,
        *,
        model: str,
        model_version: str = "",
        bootstrap_servers: str | None = None,  # noqa: ARG002 (taken, as Hook takes it)
        sampling: float | Sampling = 1.0,
        redaction: Redaction | Mapping[str, Any] | None = None,
        kafka: KafkaSettings | None = None,  # noqa: ARG002 (as above)
        limits: Limits = _NO_LIMITS_GIVEN,
    ) -> None:
        self._memory = _Memory()
        super().__init__(
            model=model,
            model_version=model_version,
            sampling=replace(Sampling.of(sampling), control=False),
            redaction=redaction,
            kafka=KafkaSettings(),
            limits=limits,
        )

    @property
    def down(self) -> bool:
        """Whether Kafka is gone."""
        return self._memory.down

    @down.setter
    def down(self, down: bool) -> None:
        self._memory.down = down

    @property
    def requests(self) -> list[ProductionRequest]:
        """The requests that were delivered, with their predictions."""
        return self._events(ProductionRequest, _TOPICS.requests)

    @property
    def comparisons(self) -> list[ShadowComparison]:
        """What a `ModelRouter` compared."""
        return self._events(ShadowComparison, _TOPICS.comparisons)

    @property
    def errors(self) -> list[ShadowError]:
        """What became of shadows of a `ModelRouter` that gave no prediction."""
        return self._events(ShadowError, _TOPICS.errors)

    @property
    def ledger(self) -> list[LedgerEntry]:
        """The hook's own counts, as the ledger has them: one at the start, the last at `close`."""
        return self._events(LedgerEntry, _TOPICS.ledger)

    @property
    def messages(self) -> list[Published]:
        """All that was delivered, in the order in which it was, the ledger's entries among them.

        Raises:
            TimeoutError: what was published before is not here within some seconds.
        """
        if not self.down and not self.flush(timeout=_PATIENCE):
            raise TimeoutError(f"the hook still has work after {_PATIENCE:.0f} s: {self.stats()}")
        return list(self._memory.delivered)

    def clear(self) -> None:
        """Forget what was delivered so far; the counts stay."""
        del self._memory.delivered[: len(self.messages)]

    def _outbox_maker(self, settings: KafkaSettings) -> MakeOutbox:  # noqa: ARG002 (it needs none)
        memory = self._memory  # and not the hook, which would then never end by itself
        return lambda _settings, counts, log: _MemoryOutbox(memory, counts, log)

    def _events(self, event: type[EventT], topic: str) -> list[EventT]:
        codec = Codec(event)
        return [codec.decode(each.value) for each in self.messages if each.topic == topic]


class _Memory:
    """What a hook and its outbox share."""

    def __init__(self) -> None:
        self.delivered: list[Published] = []
        self.down = False


class _MemoryOutbox:
    """Answers each message at the next poll, as Kafka's client does."""

    def __init__(self, memory: _Memory, counts: Counts, log: Log) -> None:
        self._memory, self._counts, self._log = memory, counts, log
        self._unanswered: list[Published] = []

    @property
    def clients(self) -> Sequence[object]:
        """None: nothing here has a thread of its own."""
        return ()

    @property
    def in_flight(self) -> int:
        """Messages, the ledger's aside, that have not been answered yet."""
        counts = self._counts
        requests = counts.published - counts.delivered - counts.failed
        return requests + counts.results_published - counts.results_delivered - counts.results_failed

    def send(self, message: Message) -> bool:
        """Take a request; False where there is no room now."""
        if not self._fits(_TOPICS.requests, message):
            self._counts.drop("too_large")
        elif not self._take(_TOPICS.requests, message):
            return False
        else:
            self._counts.published += 1
        return True

    def send_result(self, message: Message, event: type[ShadowComparison | ShadowError]) -> bool:
        """Take a comparison or an error; False where there is no room now."""
        if not self._fits(_RESULTS[event], message):
            with self._counts.lock:
                self._counts.results_dropped += 1
        elif not self._take(_RESULTS[event], message):
            return False
        else:
            self._counts.results_published += 1
        return True

    def send_ledger(self, message: Message) -> None:
        """Take a ledger entry."""
        self._take(_TOPICS.ledger, message)

    def poll(self, seconds: float) -> None:
        """Answer; where Kafka is gone, wait as for an answer that does not come."""
        if self._memory.down:
            time.sleep(seconds)
        else:
            self._answer()

    def flush(self, seconds: float) -> None:  # noqa: ARG002 (nobody comes back while we wait)
        """Answer all, or give up on all and count it."""
        if self._memory.down:
            self._give_up()
        else:
            self._answer()

    def _fits(self, topic: str, message: Message) -> bool:
        fits = len(message.value) + len(message.key.encode()) <= _LARGEST
        if not fits:
            self._log.once(str(to_error(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), f"writing to {topic}")))
        return fits

    def _take(self, topic: str, message: Message) -> bool:
        if len(self._unanswered) >= _MOST:
            return False
        value, key, timestamp, headers = message
        by_name = {name: value for name, value in headers or () if isinstance(value, bytes)}
        self._unanswered.append(Published(topic, key, value, timestamp, by_name))
        return True

    def _answer(self) -> None:
        counts = self._counts
        for each in self._unanswered:
            self._memory.delivered.append(each)
            if each.topic == _TOPICS.requests:
                counts.delivered += 1
            elif each.topic != _TOPICS.ledger:
                counts.results_delivered += 1
        self._unanswered.clear()

    def _give_up(self) -> None:
        counts = self._counts
        counts.failed = counts.published - counts.delivered
        counts.results_failed = counts.results_published - counts.results_delivered
        self._unanswered.clear()
