"""The hook: three lines in a service, and no way to hurt it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from shadowlane.errors import SettingsError
from shadowlane.producer import _lifetime
from shadowlane.producer._calls import NOT_SET, Call, wrapped
from shadowlane.producer._copies import copied, copied_mapping
from shadowlane.producer._courier import Courier, Limits
from shadowlane.producer._encode import Observation, Subject
from shadowlane.producer._log import described
from shadowlane.producer._outbox import check_settings
from shadowlane.producer._sampling import check_rate, is_sampled
from shadowlane.producer._stats import Stats
from shadowlane.schemas import check_name
from shadowlane.settings import KafkaSettings

P = ParamSpec("P")
R = TypeVar("R")

_NO_LIMITS_GIVEN = Limits()
# What any observation takes: its tuple, its times, its ids' and its containers' own.
_FIXED_BYTES = 500
# What a named tuple's own constructor does in the end, in half its time.
_observation: Callable[[tuple[Any, ...]], Observation] = partial(tuple.__new__, Observation)


class Hook:
    """Publishes what a service's primary model is asked and answers.

    It never raises into, blocks or slows its caller: the calling thread only samples, copies and
    enqueues; a background thread encodes and sends. What cannot be published is counted (`stats`)
    and said once in the log (`shadowlane.producer`). Threads may share a hook, and a forked child
    may go on with its parent's: it gets a thread, a connection and counts of its own. Nothing is
    started before the first request. At exit what still waits is sent, as far as
    `limits.exit_seconds` goes.

    Args:
        model: The model's name, the same for primary and shadow.
        model_version: The primary's version.
        bootstrap_servers: Where Kafka is; else from `kafka`, the environment or shadowlane.toml.
        sampling: The share of requests to publish, from 0 to 1, chosen by entity (or request) id.
        kafka: How to reach Kafka, where the environment and shadowlane.toml shall not say it.
        limits: What the hook may take of its process.

    Raises:
        SettingsError: a name or setting is wrong. A broker that does not answer is no error.
    """

    def __init__(
        self,
        *,
        model: str,
        model_version: str = "",
        bootstrap_servers: str | None = None,
        sampling: float = 1.0,
        kafka: KafkaSettings | None = None,
        limits: Limits = _NO_LIMITS_GIVEN,
    ) -> None:
        if not isinstance(model, str) or not isinstance(model_version, str):
            raise SettingsError(f"model {model!r} and model_version {model_version!r} must be text")
        self._rate = check_rate(sampling)
        settings = _settings(kafka, bootstrap_servers)
        check_settings(settings)
        self._new_courier = partial(
            Courier, Subject(check_name("model", model), model_version), settings, limits
        )
        self._courier = self._new_courier()
        _lifetime.at_fork(self)
        _lifetime.on_terminate()

    def publish(
        self,
        *,
        features: Mapping[str, Any],
        prediction: Any,
        latency_ms: float | None = None,
        request_id: object = None,
        entity_id: object = None,
        segments: Mapping[str, Any] | None = None,
        event_time: datetime | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        """Publish one request and what the primary answered.

        Args:
            features: What the primary was given; copied now, so that it may change afterwards.
            prediction: A float is a score; text, int or bool a label; a list of numbers a vector, of
                text a ranking; {"label": …, "score": …} a label with its confidence.
            latency_ms: How long the primary took.
            request_id: The caller's id of the request; made where none is given.
            entity_id: Whom or what the request is about: it decides sampling and partition.
            segments: Named cohorts of the request, such as {"country": "DE"}.
            event_time: When the request was made; now, where it is not given. A time without a zone is
                taken as UTC, as events are: `datetime.utcnow()` is right as it is, `datetime.now()` is
                local and wants a zone (`datetime.now(UTC)`).
            context: Trace ids and the like; never features.
        """
        intake = self._courier.intake
        try:
            observation = self._observation(
                features, prediction, latency_ms, request_id, entity_id, segments, event_time, context
            )
            if observation is None:
                intake.sampled_out()
            else:
                intake.put(observation)
        except BaseException as error:
            intake.refuse("not_encodable", f"a request was not published: {described(error)}")
            if _is_callers_own(error):
                raise

    def observe(
        self,
        features: Mapping[str, Any],
        *,
        request_id: object = None,
        entity_id: object = None,
        segments: Mapping[str, Any] | None = None,
        event_time: datetime | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Call:
        """Time the primary and publish what it answers.

            with hook.observe(features, entity_id="user-1") as call:
                call.prediction = model.predict(features)

        What the primary raises passes on; the request is then counted as `primary_failed`.
        """
        observation: Observation | BaseException | None
        try:
            observation = self._observation(
                features, None, None, request_id, entity_id, segments, event_time, context
            )
        except BaseException as error:
            if _is_callers_own(error):
                raise
            observation = error
        return Call(partial(self._end, observation))

    def wrap(self, predict: Callable[P, R]) -> Callable[P, R]:
        """Observe each call of a predict function, sync or async; its first argument is the features.

        A callable object is as good. With `@staticmethod` and `@classmethod`, this goes below them.

        Raises:
            TypeError: it is nothing that answers a call with one prediction, such as a generator function.
        """
        return wrapped(predict, self.observe)

    def stats(self) -> Stats:
        """What became of the requests of this process so far.

        Each is in one place at any time: observed = primary_failed + sampled_out + the sum of dropped +
        published + queued, where `queued` is what still waits in this process to be handed to Kafka's
        client. Of those handed over, published = delivered + failed + what Kafka has not answered yet.
        After `close` nothing is queued and nothing unanswered.
        """
        return self._courier.counts.stats()

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait until Kafka has answered for all that was published; False where the time ran out first."""
        return self._courier.flush(timeout)

    def close(self, timeout: float | None = None) -> None:
        """Deliver what waits, within the time (by default `limits.exit_seconds`), and end."""
        courier = self._courier
        courier.begin_close(timeout)
        courier.join()

    def forked(self) -> None:
        """Start anew in a forked child; Python calls it."""
        closed = self._courier.intake.closed
        self._courier = self._new_courier()
        if closed:
            self._courier.intake.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        courier = getattr(self, "_courier", None)
        if courier is not None:
            courier.begin_close()

    def _observation(
        self,
        features: Mapping[str, Any],
        prediction: Any,
        latency_ms: float | None,
        request_id: object,
        entity_id: object,
        segments: Mapping[str, Any] | None,
        event_time: datetime | None,
        context: Mapping[str, Any] | None,
    ) -> Observation | None:
        """Take a request down; None where sampling leaves it out."""
        courier, rate = self._courier, self._rate
        sequence = next(courier.intake.sequence)
        request = (request_id is not None and _text(request_id)) or f"{courier.mark}-{sequence}"
        entity = (entity_id or None) if type(entity_id) is str else _text(entity_id)
        if rate < 1 and not is_sampled(entity or request, rate):
            return None
        feature_copies, size = copied_mapping("features", features)
        size += len(request) + _FIXED_BYTES
        if type(prediction) is not float:  # a number's bytes are among the fixed ones
            prediction, more = copied(prediction)
            size += more
        if entity:
            size += len(entity)
        segment_copies = context_copies = None
        if segments:
            segment_copies, more = copied_mapping("segments", segments)
            size += more
        if context:
            context_copies, more = copied_mapping("context", context)
            size += more
        return _observation(
            (
                sequence,
                request,
                entity,
                time.time_ns() // 1000 if event_time is None else event_time,
                feature_copies,
                prediction,
                latency_ms,
                segment_copies,
                context_copies,
                rate,
                size,
            )
        )

    def _end(
        self,
        observation: Observation | BaseException | None,
        error: BaseException | None,
        prediction: Any,
        latency_ms: float,
    ) -> None:
        intake = self._courier.intake
        try:
            if error is not None:
                intake.primary_failed()
            elif observation is None:
                intake.sampled_out()
            elif isinstance(observation, BaseException):
                intake.refuse("not_encodable", f"a request was not published: {described(observation)}")
            elif prediction is NOT_SET:
                intake.refuse("no_prediction", "observe() ended and nobody had set call.prediction")
            else:
                copy, more = copied(prediction)
                size = observation.size + more
                intake.put(observation._replace(prediction=copy, latency_ms=latency_ms, size=size))
        except BaseException as failure:
            intake.refuse("not_encodable", f"a request was not published: {described(failure)}")
            if _is_callers_own(failure):
                raise


def _settings(kafka: KafkaSettings | None, bootstrap_servers: str | None) -> KafkaSettings:
    if kafka is None:
        return KafkaSettings.load(bootstrap_servers=bootstrap_servers)
    return replace(kafka, bootstrap_servers=bootstrap_servers) if bootstrap_servers else kafka


def _text(name: object) -> str | None:
    """An id as text; an empty one is none."""
    return name or None if name is None or type(name) is str else str(name) or None


def _is_callers_own(error: BaseException) -> bool:
    """Whether it is not ours to stop: Ctrl-C, an exit, a timeout of the caller's framework.

    A panic of a native library (through PyO3) is no Exception, and none of these either.
    """
    return not isinstance(error, Exception) and type(error).__name__ != "PanicException"
