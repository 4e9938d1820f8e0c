"""Taking a request down in its caller's thread: number it, sample it, copy it. Nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from itertools import count
from sys import modules
from typing import Any

from shadowlane.producer._copies import copied, copied_mapping
from shadowlane.producer._encode import Observation, made_id
from shadowlane.producer._sampling import Rates, Sampling
from shadowlane.producer._trace import OPENTELEMETRY, with_trace
from shadowlane.schemas import NoFormError, position

# What a named tuple's own constructor does in the end, in half its time.
_observation: Callable[[tuple[Any, ...]], Observation] = partial(tuple.__new__, Observation)


class Observer:
    """Takes down the requests of one process.

    Attributes:
        mark: What tells this process's requests from all others'.
        rates: The sampling rates in force; replaced as a whole when they change.
    """

    def __init__(self, mark: str, sampling: Sampling, rates: Rates) -> None:
        self.mark, self._sampling = mark, sampling
        self._numbers = count()
        self.rates = rates

    def number(self) -> int:
        """The next request's number."""
        return next(self._numbers)

    @property
    def takes_none(self) -> bool:
        """Whether sampling leaves out every request, whatever it is."""
        return not self.rates.rate and not self.rates.segments

    def observe(
        self,
        features: Mapping[str, Any],
        prediction: Any,
        latency_ms: float | None,
        request_id: object,
        entity_id: object,
        segments: Mapping[str, Any] | None,
        event_time: datetime | None,
        context: Mapping[str, Any] | None,
        sequence: int | None = None,
    ) -> Observation | None:
        """The request with copies of all that its caller may change; None where sampling leaves it out.

        Raises:
            Exception: it is not what a request must be.
        """
        if sequence is None:
            sequence = next(self._numbers)
        # An empty id is none.
        request = request_id or None if type(request_id) is str else _text(request_id)
        entity = entity_id or None if type(entity_id) is str else _text(entity_id)
        rates = self.rates
        rate = rates.of(segments) if rates.segments else rates.rate
        if rate < 1:
            key = self._sampling.key(request or made_id(self.mark, sequence), entity, context)
            if position(key) >= rate:
                return None
        if context or OPENTELEMETRY in modules:
            context = with_trace(context)
        return _observation(
            (
                sequence,
                request,
                entity,
                time.time_ns() // 1000 if event_time is None else _time(event_time),
                copied_mapping("features", features),
                prediction if type(prediction) is float else copied(prediction),
                latency_ms,
                copied_mapping("segments", segments) if segments else None,
                copied_mapping("context", context) if context else None,
                rate,
            )
        )


def _time(event_time: object) -> datetime:
    """A time as it was given; a number could be seconds or milliseconds, and would be taken for 1970."""
    if isinstance(event_time, datetime):
        return event_time
    raise NoFormError(f"event_time: must be a datetime, not {type(event_time).__name__}")


def _text(name: object) -> str | None:
    return None if name is None else str(name) or None
