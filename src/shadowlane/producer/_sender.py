"""From waiting items to messages in Kafka's client: read, redact, encode, send; in the background thread."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from shadowlane.producer._encode import Deferred, Encoder, Message, Observation, Result
from shadowlane.producer._intake import Intake, Item
from shadowlane.producer._log import Log, described
from shadowlane.producer._observer import Observer
from shadowlane.producer._outbox import Outbox
from shadowlane.producer._redaction import Redaction
from shadowlane.producer._stats import Counts
from shadowlane.schemas import ShadowComparison, ShadowError

# The interpreter runs one thread at a time: after so many items the callers' threads get their turn.
_SLICE = 32
# What a deferred request may leave out.
_ARGUMENTS: Mapping[str, Any] = MappingProxyType(
    dict.fromkeys(("latency_ms", "request_id", "entity_id", "segments", "event_time", "context"))
)
#: A message, and the kind of event where it is no request.
Ready = tuple[Message, type[ShadowComparison | ShadowError] | None]


class Sender:
    """Sends what waits, a slice at a time.

    A slice is encoded, then sent: each of the two keeps the processor's caches to itself for a while,
    which takes a third off its time. What Kafka's client has no room for stays here, encoded, so that
    nothing is encoded twice.
    """

    def __init__(
        self, intake: Intake, observer: Observer, encoder: Encoder, redaction: Redaction | None, log: Log
    ) -> None:
        self._intake, self._observer, self._encoder = intake, observer, encoder
        self._counts: Counts = intake.counts
        self._redaction, self._log = redaction, log
        self._ready: deque[Ready] = deque()

    def __len__(self) -> int:
        return len(self._ready)

    def send_slice(self, outbox: Outbox) -> bool:
        """Send a few items; True where more can be sent at once."""
        if not self._ready:
            self._encode_slice()
        while self._ready:
            if not self._send(self._ready[0], outbox):
                return False
            self._ready.popleft()
        return len(self._intake) > 0

    def give_up(self) -> None:
        """Drop what was encoded and not sent."""
        while self._ready:
            self._lose("closed", is_result=self._ready.popleft()[1] is not None)

    def _encode_slice(self) -> None:
        now_ms = time.time_ns() // 1_000_000
        for _ in range(_SLICE):
            item = self._intake.take()
            if item is None:
                return
            ready = self._encode(item, now_ms)
            if ready:
                self._ready.append(ready)

    def _encode(self, item: Item, now_ms: int) -> Ready | None:
        """An item's message; None where it has none, which is counted."""
        names = self._redaction is None
        try:
            if isinstance(item, Result):
                return self._encoder.result(item, now_ms), type(item.event)
            observation = self._read(item) if isinstance(item, Deferred) else item
            if observation is None:
                with self._counts.lock:
                    self._counts.sampled_out += 1
                return None
            names = True  # from here on what is wrong is said by a redaction, or has been through it
            if self._redaction:
                observation = self._redaction.apply(observation)
            return self._encoder.request(observation, now_ms), None
        except BaseException as error:  # from values of the caller's: whatever it is, it ends here
            self._refuse("not_encodable", error, is_result=isinstance(item, Result), names=names)
            return None

    def _read(self, request: Deferred) -> Observation | None:
        return self._observer.observe(**{**_ARGUMENTS, **request.read()}, sequence=request.sequence)

    def _send(self, ready: Ready, outbox: Outbox) -> bool:
        """Hand a message to Kafka's client, or count why not; False where there is no room for it now."""
        message, event = ready
        try:
            return outbox.send(message) if event is None else outbox.send_result(message, event)
        except BaseException as error:  # it is in nobody's hands any more, and each request is counted
            self._refuse("refused", error, is_result=event is not None)
            return True

    def _refuse(self, reason: str, error: BaseException, *, is_result: bool, names: bool = True) -> None:
        self._lose(reason, is_result=is_result)
        name = "a result of a shadow" if is_result else "a request"
        self._log.once(f"{name} was not published: {described(error, names=names)}")

    def _lose(self, reason: str, *, is_result: bool) -> None:
        if is_result:
            with self._counts.lock:
                self._counts.results_dropped += 1
        else:
            self._counts.drop(reason)
