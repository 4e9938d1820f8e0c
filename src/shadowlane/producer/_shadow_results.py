"""From what a shadow in this process answered to the events that a replay worker would have sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from shadowlane.comparators import Outcome
from shadowlane.producer._courier import Courier
from shadowlane.producer._encode import Observation, Result, made_id
from shadowlane.producer._hook import Hook
from shadowlane.producer._log import described
from shadowlane.producer._mirror import Answer, Mirror
from shadowlane.producer._outbox import CONFIG
from shadowlane.producer._redaction import Redaction
from shadowlane.producer._weights import weight
from shadowlane.producer._wire import label
from shadowlane.schemas import (
    Codec,
    Failure,
    Features,
    Prediction,
    ShadowComparison,
    ShadowError,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Kafka's client counts a message's key, headers and frame, too.
_MOST_BYTES = int(str(CONFIG["message.max.bytes"])) - 20_000
# A weight is an estimate, but not by this much: what is lighter need not be measured.
_SURELY_FITS = _MOST_BYTES // 3
_COMPARISONS = Codec(ShadowComparison)
_NO_PRIMARY = Failure("compare", "NoPrimaryPrediction", "the request carries no prediction of the primary")


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
        #: Memory that the requests which wait for the shadow may take, as those of the hook may.
        self.queue_bytes = plan.limits.queue_bytes

    def report(self, observation: Observation, outcome: Answer | Failure) -> ShadowComparison | ShadowError:
        """Send a request's comparison or error."""
        courier = self._hook._courier  # noqa: SLF001 (this is the hook's other half)
        result = self.make(observation, outcome, courier)
        courier.intake.put_result(result)
        return result.event

    def failure(self, stage: str, error: BaseException) -> Failure:
        """Of a shadow's exception. Its text may hold what it was given, and a redaction cannot find that."""
        # Nor its own words: those of an answer without a form name what the shadow has names for.
        said = None if self._redaction is None else described(error, names=False)
        return Failure.of(stage, error, instead=said)

    def make(self, observation: Observation, outcome: Answer | Failure, courier: Courier) -> Result:
        """The event of one request, and its key.

        Raises:
            Exception: the request has no form as an event, so that the hook cannot publish it either.
        """
        request = self._request(observation, courier)
        primary = None if observation.prediction is None else Prediction.of(observation.prediction)
        key = request["entity_id"] or request["request_id"]
        if isinstance(outcome, Answer):
            try:
                made = self._compared(request, primary, outcome)
                if isinstance(made, ShadowComparison):
                    return Result(made, key)
                outcome = made
            except BaseException as error:
                outcome = self.failure("compare", error)
        return Result(_error(request, outcome), key)

    def _request(self, observation: Observation, courier: Courier) -> dict[str, Any]:
        """What both events say of a request, redacted as the published one is."""
        if self._redaction:
            # Without its prediction: that is compared as it was given.
            observation = self._redaction.apply(observation._replace(prediction=None))
        _texts("context", observation.context)
        producer = courier.counts.producer_id
        micros = cast("int", observation.event_time)  # a router's callers give no other
        return {
            "request_id": observation.request_id or made_id(courier.observer.mark, observation.sequence),
            "event_time": _EPOCH + timedelta(microseconds=micros),
            "model": self._subject.model,
            "model_version": self._subject.model_version,
            "shadow": self._mirror.shadow,
            "shadow_version": self._mirror.shadow_version,
            "run": self._mirror.run,
            "entity_id": observation.entity_id,
            # There is no place in Kafka to name: a request's number in its process is as good.
            "source_topic": f"in-process:{producer}",
            "source_partition": 0,
            "source_offset": observation.sequence,
            "segments": _texts("segment", observation.segments),
            "features": Features.of(observation.features),
            "primary_latency_ms": observation.latency_ms,
            "worker_id": producer,
            "sampling_rate": observation.sampling_rate,
        }

    def _compared(
        self, request: Mapping[str, Any], primary: Prediction | None, answer: Answer
    ) -> ShadowComparison | Failure:
        if primary is None:
            return _NO_PRIMARY
        shadow = answer.prediction
        rule, segments = self._mirror.comparator, request["segments"]
        outcome = rule.compare(primary, shadow, segments)
        if self._redaction:
            primary, shadow = _redacted(self._redaction, primary), _redacted(self._redaction, shadow)
            # The verdict may leave; a distance would tell of what may not.
            outcome = outcome._replace(difference=rule.compare(primary, shadow, segments).difference)
        event = self._comparison(request, primary, answer._replace(prediction=shadow), outcome)
        if (
            weight(Result(event, "")) > _SURELY_FITS
            and len(value := _COMPARISONS.encode(event)) > _MOST_BYTES
        ):
            text = f"the comparison takes {len(value):,} bytes; at most {_MOST_BYTES:,} are sent"
            return Failure("oversize", "OversizeComparison", text)
        return event

    def _comparison(
        self, request: Mapping[str, Any], primary: Prediction, answer: Answer, outcome: Outcome
    ) -> ShadowComparison:
        keep, features = self._mirror.keep_features, request["features"]
        kept = keep == "all" or (keep == "disagreements" and outcome.is_disagreement)
        fields = {
            **request,
            "features": features if kept else None,
            "missing_features": features.missing,
            "primary_prediction": primary,
            "shadow_prediction": answer.prediction,
            "shadow_latency_ms": answer.latency_ms,
            "latency_basis": answer.basis,
            "shadow_cpu_ms": answer.cpu_ms,
            "replay_lag_ms": (datetime.now(UTC) - request["event_time"]) / timedelta(milliseconds=1),
        }
        return ShadowComparison(**fields, **outcome._asdict())


def _error(request: Mapping[str, Any], failure: Failure) -> ShadowError:
    known = {name: value for name, value in request.items() if name not in ("features", "primary_latency_ms")}
    missing = request["features"].missing
    return ShadowError(**known, **failure._asdict(), missing_features=missing, failed_at=datetime.now(UTC))


def _redacted(redaction: Redaction, prediction: Prediction) -> Prediction:
    """A prediction as the published one would be; one of which nothing may leave is an empty one."""
    bare = Observation(0, None, None, 0, {}, prediction, None, None, None, 1.0)
    left = redaction.apply(bare).prediction
    return Prediction() if left is None else Prediction.of(left)


def _texts(what: str, values: Mapping[str, Any] | None) -> dict[str, str]:
    """Segments, or context, as the published request has them."""
    return {name: label(what, name, value) for name, value in (values or {}).items() if value is not None}
