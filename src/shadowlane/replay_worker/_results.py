"""From answers and failures to the events that go out: comparisons as columns, errors one at a time."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Message

from shadowlane.comparators import Comparator
from shadowlane.comparators.columns import Outcomes, compare_columns
from shadowlane.errors import CodecError, Place
from shadowlane.kafka import place_of
from shadowlane.replay_worker._outbox import MAX_VALUE_BYTES, Outgoing
from shadowlane.replay_worker._plan import KeepFeatures, Target, WorkerPlan
from shadowlane.replay_worker._predict import Answer
from shadowlane.replay_worker._requests import RequestBatch
from shadowlane.schemas import Codec, Failure, Prediction, ShadowComparison, ShadowError
from shadowlane.schemas.columns import ColumnCodec, arrow_schema

_SCHEMA = arrow_schema(ShadowComparison)
_PREDICTION = _SCHEMA.field("shadow_prediction").type
_FROM_REQUEST = (
    "request_id",
    "event_time",
    "model",
    "model_version",
    "entity_id",
    "segments",
    "sampling_rate",
)
_RAW_LIMIT = 512 * 1024
_NO_PRIMARY = Failure("compare", "NoPrimaryPrediction", "the request carries no prediction of the primary")
_COMPARISONS = ColumnCodec(ShadowComparison)
_ERRORS = Codec(ShadowError)


class Who(NamedTuple):
    """Who replays, and when."""

    target: Target
    worker_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Compared:
    """The answered requests of a batch, and what the comparator said of each."""

    requests: RequestBatch
    answers: Sequence[Answer]
    shadow: pa.StructArray
    outcomes: Outcomes


def compare(
    requests: RequestBatch, answers: Sequence[Answer], plan: WorkerPlan, who: Who, topic: str
) -> tuple[list[Outgoing], list[tuple[int, Failure]]]:
    """Set each answer beside the primary's prediction, as messages; what cannot be is a failure."""
    bare = requests.columns.column("prediction").is_null().to_pylist()
    comparable = [answer for answer in answers if not bare[answer.row]]
    comparisons, failures = _compare_or_halve(requests, comparable, plan, who, topic)
    return comparisons, failures + [(answer.row, _NO_PRIMARY) for answer in answers if bare[answer.row]]


def _compare_or_halve(
    requests: RequestBatch, answers: Sequence[Answer], plan: WorkerPlan, who: Who, topic: str
) -> tuple[list[Outgoing], list[tuple[int, Failure]]]:
    """All together; where something in them cannot be compared or encoded, halves, until it stands alone."""
    try:
        return _encode(_compared(requests, answers, plan.comparator), who, plan.keep_features, topic)
    except Exception as error:
        if len(answers) <= 1:
            return [], [(answer.row, Failure.of("compare", error)) for answer in answers]
    middle = len(answers) // 2
    first, failures = _compare_or_halve(requests, answers[:middle], plan, who, topic)
    second, more = _compare_or_halve(requests, answers[middle:], plan, who, topic)
    return first + second, failures + more


def _compared(requests: RequestBatch, answers: Sequence[Answer], rule: Comparator) -> Compared:
    answered = requests.select([answer.row for answer in answers])
    shadow = _prediction_column([answer.prediction for answer in answers])
    outcomes = compare_columns(rule, answered.columns.column("prediction"), shadow)
    return Compared(answered, answers, shadow, outcomes)


def _encode(
    compared: Compared, who: Who, keep: KeepFeatures, topic: str
) -> tuple[list[Outgoing], list[tuple[int, Failure]]]:
    """The comparisons under their requests' keys and times; those too large to send are failures."""
    comparisons, oversize = [], []
    values = _COMPARISONS.encode(comparison_columns(compared, who, keep))
    for answer, source, value in zip(compared.answers, compared.requests.messages, values, strict=True):
        if len(value) <= MAX_VALUE_BYTES:
            comparisons.append(Outgoing(topic, source.key(), value, source.timestamp()[1]))
        else:
            size = f"the comparison takes {len(value):,} bytes; at most {MAX_VALUE_BYTES:,} are sent"
            oversize.append((answer.row, Failure("oversize", "OversizeComparison", size)))
    return comparisons, oversize


def encode_errors(
    rejects: Sequence[tuple[Message, CodecError]],
    failures: Sequence[tuple[int, Failure]],
    requests: RequestBatch,
    who: Who,
    topic: str,
) -> list[Outgoing]:
    """The errors as messages: what could not be read, and what the shadow could not answer."""
    errors = [(source, rejected(source, error, who)) for source, error in rejects]
    errors += [(requests.messages[row], failed(requests, row, failure, who)) for row, failure in failures]
    return [
        Outgoing(topic, source.key(), _ERRORS.encode(error), source.timestamp()[1])
        for source, error in errors
    ]


def comparison_columns(compared: Compared, who: Who, keep: KeepFeatures) -> pa.RecordBatch:
    """The comparisons of a batch, column by column."""
    requests, source = compared.requests.columns, compared.requests.messages
    rows = len(source)
    timings = [answer.timing for answer in compared.answers]
    lag = pc.subtract(pa.scalar(who.now, pa.timestamp("us", tz="UTC")), requests.column("event_time"))
    columns: dict[str, Any] = {
        **{name: requests.column(name) for name in _FROM_REQUEST},
        "shadow": _repeat(who.target.shadow, rows),
        "shadow_version": _repeat(who.target.shadow_version, rows),
        "run": _repeat(who.target.run, rows),
        "source_topic": [message.topic() for message in source],
        "source_partition": [message.partition() for message in source],
        "source_offset": [message.offset() for message in source],
        "primary_prediction": requests.column("prediction"),
        "primary_source": _repeat("observed", rows),
        "shadow_prediction": compared.shadow,
        "agreement": compared.outcomes.agreement,
        "difference": compared.outcomes.difference,
        "comparator": compared.outcomes.comparator,
        "primary_latency_ms": requests.column("latency_ms"),
        "shadow_latency_ms": [timing.latency_ms for timing in timings],
        "latency_basis": [timing.basis for timing in timings],
        "shadow_cpu_ms": [timing.cpu_ms for timing in timings],
        "replay_lag_ms": pc.divide(lag.cast(pa.int64()).cast(pa.float64(), safe=False), 1000.0),
        "missing_features": requests.column("features").field("missing"),
        "features": _kept_features(requests.column("features"), compared.outcomes.agreement, keep),
        "worker_id": _repeat(who.worker_id, rows),
    }
    arrays = [_as_array(columns[field.name], field.type) for field in _SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def rejected(source: Message, error: CodecError, who: Who) -> ShadowError:
    """The error of a message that could not be read, with its bytes."""
    raw = (source.value() or b"")[:_RAW_LIMIT]
    return ShadowError(
        **_common(who, place_of(source)),
        stage="decode",
        error_type=type(error).__name__,
        message=error.reason,
        raw=base64.b64encode(raw).decode("ascii"),
    )


def failed(requests: RequestBatch, row: int, failure: Failure, who: Who) -> ShadowError:
    """The error of a request that the shadow could not answer."""
    names = (
        "request_id",
        "event_time",
        "model_version",
        "entity_id",
        "sampling_rate",
        "segments",
        "features",
    )
    known = {name: requests.columns.column(name)[row].as_py() for name in names}
    return ShadowError(
        **_common(who, place_of(requests.messages[row])),
        **{name: known[name] for name in names[:5]},
        segments=dict(known["segments"]),
        missing_features=known["features"]["missing"],
        stage=failure.stage,
        error_type=failure.error_type,
        message=failure.message,
        traceback=failure.traceback,
    )


def _common(who: Who, place: Place) -> dict[str, Any]:
    return {
        "model": who.target.model,
        "shadow": who.target.shadow,
        "shadow_version": who.target.shadow_version,
        "run": who.target.run,
        "source_topic": place.topic,
        "source_partition": place.partition,
        "source_offset": place.offset,
        "failed_at": who.now,
        "worker_id": who.worker_id,
    }


def _prediction_column(predictions: Sequence[Prediction]) -> pa.StructArray:
    fields = [_PREDICTION.field(index) for index in range(_PREDICTION.num_fields)]
    parts = [pa.array([getattr(each, field.name) for each in predictions], field.type) for field in fields]
    return pa.StructArray.from_arrays(parts, fields=fields)


def _kept_features(features: pa.StructArray, agreement: pa.BooleanArray, keep: KeepFeatures) -> pa.Array:
    if keep == "all":
        return features
    left_out = agreement if keep == "disagreements" else pa.array([True] * len(features), pa.bool_())
    fields = [features.type.field(index) for index in range(features.type.num_fields)]
    return pa.StructArray.from_arrays(features.flatten(), fields=fields, mask=left_out)


def _repeat(value: str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(value), rows)


def _as_array(values: Any, kind: pa.DataType) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values, kind)
