"""The hook: three lines in a service, and no way to hurt it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, overload

from shadowlane.errors import SettingsError
from shadowlane.producer import _lifetime
from shadowlane.producer._calls import NOT_SET, Call, features_of, wrapped
from shadowlane.producer._copies import copied
from shadowlane.producer._courier import Courier
from shadowlane.producer._encode import Deferred, Observation, Subject
from shadowlane.producer._log import described
from shadowlane.producer._outbox import KafkaOutbox, MakeOutbox, check_settings
from shadowlane.producer._plan import Limits, Plan
from shadowlane.producer._redaction import Redaction
from shadowlane.producer._sampling import Sampling
from shadowlane.producer._stats import Stats
from shadowlane.schemas import check_name
from shadowlane.settings import KafkaSettings

P = ParamSpec("P")
R = TypeVar("R")

_NO_LIMITS_GIVEN = Limits()


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
        sampling: The share of requests to publish, from 0 to 1, chosen by entity (or request) id; or a
            `Sampling`, for rates by segment and rates that change while the service runs.
        redaction: What must not leave the process as it is; else what shadowlane.toml says of it.
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
        sampling: float | Sampling = 1.0,
        redaction: Redaction | Mapping[str, Any] | None = None,
        kafka: KafkaSettings | None = None,
        limits: Limits = _NO_LIMITS_GIVEN,
    ) -> None:
        if not isinstance(model, str) or not isinstance(model_version, str):
            raise SettingsError(f"model {model!r} and model_version {model_version!r} must be text")
        settings = _settings(kafka, bootstrap_servers)
        self._plan = Plan(
            Subject(check_name("model", model), model_version),
            settings,
            limits,
            Sampling.of(sampling),
            Redaction.load() if redaction is None else Redaction.of(redaction),
            self._outbox_maker(settings),
        )
        self._courier = Courier(self._plan)
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
        courier = self._courier
        try:
            observation = courier.observer.observe(
                features, prediction, latency_ms, request_id, entity_id, segments, event_time, context
            )
            if observation is None:
                courier.intake.sampled_out()
            else:
                courier.intake.put(observation)
        except BaseException as error:
            self._refuse(error)
            if _is_callers_own(error):
                raise

    def defer(self, read: Callable[[], Mapping[str, Any]], *, size: int) -> None:
        """Publish a request that the background thread reads, out of what was kept of it.

        For middleware: parsing a body again would cost the request's own time.

        Args:
            read: Returns the arguments of `publish`; what it raises is counted as `not_encodable`. It
                must hold nothing that the service may change.
            size: About how many bytes of memory it holds on to.
        """
        courier = self._courier
        try:
            number = courier.observer.number()
            if courier.observer.takes_none:
                courier.intake.sampled_out()
            else:
                courier.intake.put(Deferred(number, read, size))
        except BaseException as error:
            self._refuse(error)
            if _is_callers_own(error):
                raise

    def refuse(self, reason: str, why: str) -> None:
        """Count a request that cannot be published as dropped for this reason; the log says why, once."""
        self._courier.observer.number()
        self._courier.intake.refuse(reason, why)

    def primary_failed(self) -> None:
        """Count a request that the primary did not answer: it is not published, and the ledger says so."""
        self._courier.observer.number()
        self._courier.intake.primary_failed()

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
        begun = self._begin(features, request_id, entity_id, segments, event_time, context)
        return Call(partial(self._end, begun))

    @overload
    def wrap(self, predict: Callable[P, R], /) -> Callable[P, R]: ...

    @overload
    def wrap(
        self,
        *,
        features: Callable[..., Any] | None = None,
        entity_id: Callable[..., object] | None = None,
        request_id: Callable[..., object] | None = None,
        segments: Callable[..., Mapping[str, Any] | None] | None = None,
        context: Callable[..., Mapping[str, Any] | None] | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]: ...

    def wrap(
        self,
        predict: Any = NOT_SET,
        *,
        features: Callable[..., Any] | None = None,
        entity_id: Callable[..., object] | None = None,
        request_id: Callable[..., object] | None = None,
        segments: Callable[..., Mapping[str, Any] | None] | None = None,
        context: Callable[..., Mapping[str, Any] | None] | None = None,
    ) -> Any:
        """Observe each call of a predict function, sync or async; its first argument is the features.

            @hook.wrap
            def predict(features): ...

            @hook.wrap(features=lambda user, item: {"age": user.age}, entity_id=lambda user, item: user.id)
            def score(user, item): ...

        A callable object is as good. With `@staticmethod` and `@classmethod`, this goes below them.

        What else is known of a call is read by functions that get the call's own arguments.

        Raises:
            TypeError: it is nothing that answers a call with one prediction, such as a generator function.
        """
        readers = {
            "features": features,
            "entity_id": entity_id,
            "request_id": request_id,
            "segments": segments,
            "context": context,
        }
        given = {name: read for name, read in readers.items() if read is not None}
        for name, read in given.items():
            if not callable(read):
                raise TypeError(
                    f"wrap: {name} is a function of the call's arguments, not {type(read).__name__}"
                )
        return partial(self._wrapped, given) if predict is NOT_SET else self._wrapped(given, predict)

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
        before = self._courier
        self._courier = Courier(self._plan, before.observer.rates)
        if before.intake.closed:
            self._courier.intake.close()

    def _outbox_maker(self, settings: KafkaSettings) -> MakeOutbox:
        """Where the messages go: to Kafka, or where a hook for tests keeps them."""
        check_settings(settings)
        return KafkaOutbox

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

    def _begin(
        self,
        features: Mapping[str, Any],
        request_id: object,
        entity_id: object,
        segments: Mapping[str, Any] | None,
        event_time: datetime | None,
        context: Mapping[str, Any] | None,
    ) -> Observation | BaseException | None:
        """Take a request down before the primary is asked; None where sampling leaves it out."""
        try:
            return self._courier.observer.observe(
                features, None, None, request_id, entity_id, segments, event_time, context
            )
        except BaseException as error:
            if _is_callers_own(error):
                raise
            return error

    def _wrapped(
        self, readers: Mapping[str, Callable[..., Any]], predict: Callable[..., Any]
    ) -> Callable[..., Any]:
        readers = {"features": features_of(predict), **readers}

        def observe(*args: Any, **kwargs: Any) -> Call:
            try:
                arguments = {name: read(*args, **kwargs) for name, read in readers.items()}
            except BaseException as error:
                if _is_callers_own(error):
                    raise
                return Call(partial(self._end, error))
            return self.observe(**arguments)

        return wrapped(predict, observe)

    def _refuse(self, error: BaseException) -> None:
        # What is refused here no redaction has seen.
        why = described(error, names=self._plan.redaction is None)
        self._courier.intake.refuse("not_encodable", f"a request was not published: {why}")

    def _end(
        self,
        observation: Observation | BaseException | None,
        error: BaseException | None,
        prediction: Any,
        latency_ms: float,
    ) -> Observation | None:
        """Publish what was taken down; what the intake took of it, for a shadow in this process."""
        intake = self._courier.intake
        try:
            if error is not None:
                intake.primary_failed()
            elif observation is None:
                intake.sampled_out()
            elif isinstance(observation, BaseException):
                self._refuse(observation)
            elif prediction is NOT_SET:
                intake.refuse("no_prediction", "observe() ended and nobody had set call.prediction")
            else:
                answered = observation._replace(prediction=copied(prediction), latency_ms=latency_ms)
                return answered if intake.put(answered) else None
        except BaseException as failure:
            self._refuse(failure)
            if _is_callers_own(failure):
                raise
        return None


def _settings(kafka: KafkaSettings | None, bootstrap_servers: str | None) -> KafkaSettings:
    if kafka is None:
        return KafkaSettings.load(bootstrap_servers=bootstrap_servers)
    return replace(kafka, bootstrap_servers=bootstrap_servers) if bootstrap_servers else kafka


def _is_callers_own(error: BaseException) -> bool:
    """Whether it is not ours to stop: Ctrl-C, an exit, a timeout of the caller's framework.

    A panic of a native library (through PyO3) is no Exception, and none of these either.
    """
    return not isinstance(error, Exception) and type(error).__name__ != "PanicException"
