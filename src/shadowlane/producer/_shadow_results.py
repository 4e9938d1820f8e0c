"""From what a shadow in this process answered to the events that a replay worker would have sent."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, cast, get_args

from shadowlane.comparators import Comparator, Outcome
from shadowlane.errors import SettingsError
from shadowlane.producer._courier import Courier
from shadowlane.producer._encode import Observation, Result, made_id
from shadowlane.producer._hook import Hook
from shadowlane.producer._log import described
from shadowlane.producer._outbox import CONFIG
from shadowlane.producer._redaction import Redaction
from shadowlane.producer._weights import weight
from shadowlane.schemas import (
    Codec,
    Features,
    NoFormError,
    Prediction,
    ShadowComparison,
    ShadowError,
    check_name,
    label_text,
)

KeepFeatures = Literal["disagreements", "all", "none"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# As a replay worker cuts them.
_MESSAGE_LIMIT = 1_000
_TRACEBACK_LIMIT = 4_000
# Kafka's client counts a message's key, headers and frame, too.
_MOST_BYTES = int(str(CONFIG["message.max.bytes"])) - 20_000
# A weight is an estimate, but not by this much: what is lighter need not be measured.
_SURELY_FITS = _MOST_BYTES // 3
_COMPARISONS = Codec(ShadowComparison)


@dataclass(frozen=True, slots=True)
class Mirror:
    """Which shadow runs in this process, how it is judged, and what it may take.

    Raises:
        SettingsError: a name or figure is not what it must be; the error says which.
    """

    shadow: str
    shadow_version: str
    run: str
    comparator: Comparator
    keep_features: KeepFeatures
    timeout: float
    concurrency: int
    queue_size: int

    def __post_init__(self) -> None:
        check_name("shadow", self.shadow)
        check_name("run", self.run)
        if self.keep_features not in get_args(KeepFeatures):
            known = ", ".join(get_args(KeepFeatures))
            raise SettingsError(f"keep_features is {self.keep_features!r}; use one of {known}")
        if not isinstance(self.timeout, (int, float)) or not 0 < self.timeout < float("inf"):
            raise SettingsError(f"timeout is {self.timeout!r}; it must be a number of seconds above 0")
        for name in ("concurrency", "queue_size"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise SettingsError(f"{name} is {value!r}; it must be a whole number from 1")


class Answer(NamedTuple):
    """What the shadow answered, and how long that took; its thread's processor time, where it had one."""

    prediction: Prediction
    latency_ms: float
    cpu_ms: float | None
    basis: str


class Failure(NamedTuple):
    """Why a request has no comparison."""

    stage: str
    error_type: str
    message: str
    traceback: str | None = None

    @classmethod
    def of(cls, stage: str, error: BaseException, *, bare: bool = False) -> Failure:
        """From an exception, its texts cut; a bare one says its type and places, and nothing it was given."""
        if bare:
            message, lines = described(error), traceback.format_tb(error.__traceback__)
        else:
            message, lines = _said(error), traceback.format_exception(error)
        return cls(
            stage,
            _encodable(type(error).__name__),
            _encodable(message[:_MESSAGE_LIMIT]),
            _encodable("".join(lines)[-_TRACEBACK_LIMIT:]),
        )


_NO_PRIMARY = Failure("compare", "NoPrimaryPrediction", "the request carries no prediction of the primary")


def answered(raw: object) -> Prediction:
    """The prediction in a shadow's answer, fit to be sent.

    Raises:
        Exception: it is none.
    """
    prediction = Prediction.of(raw)
    for text in (prediction.label, *(prediction.ranking or ())):
        if text is not None:
            text.encode()
    return prediction


class Reporter:
    """Reports what became of each request, through the hook; never in a caller's thread.

    Args:
        mirror: Which shadow.
        hook: Whose requests. A forked child's has a courier of its own.
    """

    def __init__(self, mirror: Mirror, hook: Hook) -> None:
        self._mirror, self._hook = mirror, hook
        plan = hook._plan  # noqa: SLF001 (this is the hook's other half)
        self._subject, self._redaction = plan.subject, plan.redaction
        #: How long the process's end may wait for shadows; the hook needs its time after that.
        self.exit_seconds = plan.limits.exit_seconds / 2

    def report(self, observation: Observation, outcome: Answer | Failure) -> ShadowComparison | ShadowError:
        """Send a request's comparison or error."""
        courier = self._hook._courier  # noqa: SLF001 (this is the hook's other half)
        result = self.make(observation, outcome, courier)
        courier.intake.put_result(result)
        return result.event

    def failure(self, stage: str, error: BaseException) -> Failure:
        """Of a shadow's exception. Its text may hold what it was given, and a redaction cannot find that."""
        return Failure.of(stage, error, bare=self._redaction is not None)

    def make(self, observation: Observation, outcome: Answer | Failure, courier: Courier) -> Result:
        """The event of one request, and its key."""
        common = self._common(observation, courier)
        try:
            request = self._request(observation, courier)
        except BaseException as error:  # from values of the caller's
            # What cannot be redacted says nothing of itself but its number.
            known = {"request_id": made_id(courier.observer.mark, observation.sequence)}
            return _error({**common, **known}, Failure.of("compare", error, bare=True))
        if isinstance(outcome, Answer):
            try:
                made = self._compared(observation, request, outcome, common)
                if isinstance(made, ShadowComparison):
                    return Result(made, _key(request))
                outcome = made
            except BaseException as error:
                outcome = self.failure("compare", error)
        missing = request.pop("features").missing
        return _error({**common, **request, "missing_features": missing}, outcome)

    def _common(self, observation: Observation, courier: Courier) -> dict[str, Any]:
        producer = courier.counts.producer_id
        micros = cast("int", observation.event_time)  # a router's callers give no other
        return {
            "event_time": _EPOCH + timedelta(microseconds=micros),
            "model": self._subject.model,
            "model_version": self._subject.model_version,
            "shadow": self._mirror.shadow,
            "shadow_version": self._mirror.shadow_version,
            "run": self._mirror.run,
            # There is no place in Kafka to name: a request's number in its process is as good.
            "source_topic": f"in-process:{producer}",
            "source_partition": 0,
            "source_offset": observation.sequence,
            "worker_id": producer,
        }

    def _request(self, observation: Observation, courier: Courier) -> dict[str, Any]:
        """What the published request says of itself, redacted as that is."""
        if self._redaction:
            # Without its prediction: that is compared as it was given.
            observation = self._redaction.apply(observation._replace(prediction=None, context=None))
        return {
            "request_id": observation.request_id or made_id(courier.observer.mark, observation.sequence),
            "entity_id": observation.entity_id,
            "segments": _texts(observation.segments or {}),
            "features": Features.of(observation.features),
        }

    def _compared(
        self, observation: Observation, request: Mapping[str, Any], answer: Answer, common: Mapping[str, Any]
    ) -> ShadowComparison | Failure:
        if observation.prediction is None:
            return _NO_PRIMARY
        primary, shadow = Prediction.of(observation.prediction), answer.prediction
        outcome = self._mirror.comparator.compare(primary, shadow)
        if self._redaction:
            primary, shadow = _redacted(self._redaction, primary), _redacted(self._redaction, shadow)
            # The verdict may leave; a distance would tell of what may not.
            outcome = outcome._replace(difference=self._mirror.comparator.compare(primary, shadow).difference)
        event = self._comparison(common, request, (primary, shadow), outcome, observation.latency_ms, answer)
        if weight(Result(event, "")) > _SURELY_FITS and len(size := _COMPARISONS.encode(event)) > _MOST_BYTES:
            text = f"the comparison takes {len(size):,} bytes; at most {_MOST_BYTES:,} are sent"
            return Failure("oversize", "OversizeComparison", text)
        return event

    def _comparison(
        self,
        common: Mapping[str, Any],
        request: Mapping[str, Any],
        predictions: tuple[Prediction, Prediction],
        outcome: Outcome,
        primary_latency_ms: float | None,
        answer: Answer,
    ) -> ShadowComparison:
        keep = self._mirror.keep_features
        kept = keep == "all" or (keep == "disagreements" and not outcome.agreement)
        features: Features = request["features"]
        return ShadowComparison(
            **common,
            **{name: request[name] for name in ("request_id", "entity_id", "segments")},
            primary_prediction=predictions[0],
            shadow_prediction=predictions[1],
            agreement=outcome.agreement,
            difference=outcome.difference,
            comparator=outcome.comparator,
            primary_latency_ms=primary_latency_ms,
            shadow_latency_ms=answer.latency_ms,
            latency_basis=answer.basis,
            shadow_cpu_ms=answer.cpu_ms,
            replay_lag_ms=(datetime.now(UTC) - common["event_time"]) / timedelta(milliseconds=1),
            missing_features=features.missing,
            features=features if kept else None,
        )


def _error(known: dict[str, Any], failure: Failure) -> Result:
    event = ShadowError(
        **known,
        stage=failure.stage,
        error_type=failure.error_type,
        message=failure.message,
        traceback=failure.traceback,
        failed_at=datetime.now(UTC),
    )
    return Result(event, _key(known))


def _key(request: Mapping[str, Any]) -> str:
    return str(request.get("entity_id") or request["request_id"])


def _redacted(redaction: Redaction, prediction: Prediction) -> Prediction:
    """A prediction as the published one would be; one of which nothing may leave is an empty one."""
    bare = Observation(0, None, None, 0, {}, prediction, None, None, None, 1.0)
    left = redaction.apply(bare).prediction
    return Prediction() if left is None else Prediction.of(left)


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Segments as the published request has them."""
    return {name: _text(name, value) for name, value in values.items() if value is not None}


def _text(name: str, value: Any) -> str:
    if isinstance(value, (str, int)):
        return label_text(value)
    raise NoFormError(f"segment {name!r}: must be text, not {type(value).__name__}")


def _said(error: BaseException) -> str:
    """An error's message, also of foreign code that cannot say it."""
    try:
        return str(error)
    except BaseException:
        return ""


def _encodable(text: str) -> str:
    """The text without what UTF-8 has no form for (a lone surrogate becomes a question mark)."""
    return text.encode("utf-8", "replace").decode("utf-8")
