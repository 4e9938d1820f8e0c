"""From answers and failures to the events that go out: comparisons as columns, errors one at a time."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Message

from shadowlane.comparators import Comparator
from shadowlane.comparators.columns import Outcomes, compare_columns
from shadowlane.errors import CodecError, Place
from shadowlane.kafka import place_of
from shadowlane.replay_worker._answers import Answered, numbers
from shadowlane.replay_worker._outgoing import MAX_VALUE_BYTES, Outgoing
from shadowlane.replay_worker._plan import KeepFeatures, Target, WorkerPlan
from shadowlane.replay_worker._requests import PRIMARY_SOURCE, RequestBatch, Rows
from shadowlane.schemas import Codec, Failure, ShadowComparison, ShadowError
from shadowlane.schemas.columns import ColumnCodec, arrow_schema

_SCHEMA = arrow_schema(ShadowComparison)
_FROM_REQUEST = (
    "request_id",
    "event_time",
    "model",
    "model_version",
    "entity_id",
    "segments",
    "sampling_rate",
)
#: How many bytes of a message that could not be read its error keeps.
RAW_LIMIT = 512 * 1024
# Of an error that is too large to send, so much of each text is sent.
_MOST_TEXT = 4_000
_ANY_LENGTH = ("request_id", "model_version", "entity_id", "traceback", "traceparent")
NO_PRIMARY = Failure("compare", "NoPrimaryPrediction", "the request carries no prediction of the primary")
_COMPARISONS = ColumnCodec(ShadowComparison)
_ERRORS = Codec(ShadowError)

Failures = list[tuple[int, Failure]]


class Who(NamedTuple):
    """Who replays, and when."""

    target: Target
    worker_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Compared:
    """The answered requests of a batch, and what the comparator said of each."""

    requests: RequestBatch
    answers: pa.RecordBatch
    missing: pa.ListArray
    outcomes: Outcomes
    memory_mb: float | None


def compare(
    requests: RequestBatch, answered: Answered, plan: WorkerPlan, who: Who, topic: str
) -> tuple[Outgoing, Failures]:
    """Set each answer beside the primary's prediction, as messages; what cannot be is a failure."""
    is_bare = requests.columns.column("prediction").is_null().to_numpy(zero_copy_only=False)
    rows = answered.rows
    failures = [(row, NO_PRIMARY) for row in rows[is_bare[rows]].tolist()]
    sent = _Sent(failures)
    # All together; where something in them cannot be compared, halves, until it stands alone.
    waiting = [np.flatnonzero(~is_bare[rows])]
    while waiting:
        chosen = waiting.pop()
        if not len(chosen):
            continue
        try:
            compared = _compared(requests, answered, chosen, plan.comparator)
            sent.add(compared, _COMPARISONS.encode(comparison_columns(compared, who, plan.keep_features)))
        except Exception as error:
            if len(chosen) > 1:
                waiting += np.array_split(chosen, 2)[::-1]
            else:
                failures.append((int(rows[chosen[0]]), Failure.of("compare", error)))
    return Outgoing(topic, sent.sources, sent.values), failures


class _Sent:
    """Encoded comparisons and their requests' messages; what is too large to send is a failure."""

    def __init__(self, failures: Failures) -> None:
        self.sources: list[Message] = []
        self.values: list[bytes] = []
        self._failures = failures

    def add(self, compared: Compared, values: list[bytes]) -> None:
        """Take these in."""
        if max(map(len, values)) <= MAX_VALUE_BYTES:
            self.sources.extend(compared.requests.messages)
            self.values.extend(values)
            return
        rows = compared.answers.column("row").to_pylist()
        for row, source, value in zip(rows, compared.requests.messages, values, strict=True):
            if len(value) <= MAX_VALUE_BYTES:
                self.sources.append(source)
                self.values.append(value)
            else:
                size = f"the comparison takes {len(value):,} bytes; at most {MAX_VALUE_BYTES:,} are sent"
                self._failures.append((row, Failure("oversize", "OversizeComparison", size)))


def _compared(requests: RequestBatch, answered: Answered, chosen: Rows, rule: Comparator) -> Compared:
    is_all = len(chosen) == answered.answers.num_rows
    answers = answered.answers if is_all else answered.answers.take(numbers(chosen))
    rows = answers.column("row").to_numpy()
    asked = requests.select(rows)
    missing = answered.missing
    observed, replayed = asked.columns.column("prediction"), answers.column("prediction")
    outcomes = compare_columns(rule, observed, replayed, asked.columns.column("segments"))
    return Compared(
        asked,
        answers,
        asked.columns.column("features").field("missing") if missing is None else missing.take(numbers(rows)),
        outcomes,
        answered.memory_mb,
    )


def encode_errors(
    rejects: Sequence[tuple[Message, CodecError]],
    failures: Sequence[tuple[int, Failure]],
    requests: RequestBatch,
    answered: Answered,
    who: Who,
    topic: str,
) -> Outgoing:
    """The errors as messages: what could not be read, and what the shadow could not answer."""
    sources = [source for source, _ in rejects] + [requests.messages[row] for row, _ in failures]
    errors = [rejected(source, error, who) for source, error in rejects]
    errors += [failed(requests, row, failure, answered, who) for row, failure in failures]
    return Outgoing(topic, sources, list(map(_bounded, errors)))


def _bounded(error: ShadowError) -> bytes:
    """An error as bytes; one that is too large to send goes with the bare minimum, as it must go.

    Else the one request would stop each worker that comes to it.
    """
    value = _ERRORS.encode(error)
    if len(value) <= MAX_VALUE_BYTES:
        return value
    note = f"{error.message[:_MOST_TEXT]} (segments and missing features left out: {len(value):,} bytes)"
    texts: dict[str, Any] = {name: (getattr(error, name) or "")[:_MOST_TEXT] or None for name in _ANY_LENGTH}
    kind = error.error_type[:_MOST_TEXT]
    least = replace(error, **texts, error_type=kind, segments={}, missing_features=(), raw=None, message=note)
    return _ERRORS.encode(least)


def comparison_columns(compared: Compared, who: Who, keep: KeepFeatures) -> pa.RecordBatch:
    """The comparisons of a batch, column by column."""
    requests, source, answers = compared.requests.columns, compared.requests.messages, compared.answers
    rows = len(source)
    features = requests.column("features")
    lag = pc.subtract(pa.scalar(who.now, pa.timestamp("us", tz="UTC")), requests.column("event_time"))
    columns: dict[str, Any] = {
        **{name: requests.column(name) for name in _FROM_REQUEST},
        "shadow": _repeat(who.target.shadow, rows),
        "shadow_version": _repeat(who.target.shadow_version, rows),
        "run": _repeat(who.target.run, rows),
        "source_topic": _topics(source),
        "source_partition": numbers(np.array([each.partition() for each in source], np.int32)),
        "source_offset": numbers(np.array([each.offset() for each in source], np.int64)),
        "primary_prediction": requests.column("prediction"),
        "primary_source": _primary_source(requests),
        "shadow_prediction": answers.column("prediction"),
        "agreement": compared.outcomes.agreement,
        "difference": compared.outcomes.difference,
        "comparator": compared.outcomes.comparator,
        "primary_latency_ms": requests.column("latency_ms"),
        "shadow_latency_ms": answers.column("latency_ms"),
        "latency_basis": answers.column("basis"),
        "shadow_cpu_ms": answers.column("cpu_ms"),
        "shadow_gpu_ms": answers.column("gpu_ms"),
        "shadow_memory_mb": pa.repeat(pa.scalar(compared.memory_mb, pa.float64()), rows),
        "replay_lag_ms": pc.divide(lag.cast(pa.int64()).cast(pa.float64(), safe=False), 1000.0),
        "missing_features": compared.missing,
        "features": _kept_features(features, compared.outcomes, keep),
        "fetched": answers.column("fetched"),
        "traceparent": _trace(requests.column("context")),
        "worker_id": _repeat(who.worker_id, rows),
    }
    return pa.RecordBatch.from_arrays([columns[field.name] for field in _SCHEMA], schema=_SCHEMA)


def rejected(source: Message, error: CodecError, who: Who) -> ShadowError:
    """The error of a message that could not be read, with its bytes."""
    raw = (source.value() or b"")[:RAW_LIMIT]
    return ShadowError(
        **_common(who, place_of(source)),
        stage="decode",
        error_type=type(error).__name__,
        message=error.reason,
        raw=base64.b64encode(raw).decode("ascii"),
    )


def failed(requests: RequestBatch, row: int, failure: Failure, answered: Answered, who: Who) -> ShadowError:
    """The error of a request that the shadow could not answer."""
    names = ("request_id", "event_time", "model_version", "entity_id", "sampling_rate")
    columns = requests.columns
    missing = columns.column("features").field("missing") if answered.missing is None else answered.missing
    return ShadowError(
        **_common(who, place_of(requests.messages[row])),
        **{name: columns.column(name)[row].as_py() for name in names},
        segments=dict(columns.column("segments")[row].as_py()),
        missing_features=missing[row].as_py(),
        stage=failure.stage,
        error_type=failure.error_type,
        message=failure.message,
        traceback=failure.traceback,
        attempts=failure.attempts,
        traceparent=_trace(columns.column("context").slice(row, 1))[0].as_py(),
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


def _kept_features(features: pa.StructArray, outcomes: Outcomes, keep: KeepFeatures) -> pa.Array:
    if keep == "all":
        return features
    if keep == "none":
        return pa.nulls(len(features), features.type)
    fields = [features.type.field(index) for index in range(features.type.num_fields)]
    return pa.StructArray.from_arrays(
        features.flatten(), fields=fields, mask=pc.invert(outcomes.is_disagreement)
    )


def _primary_source(requests: pa.RecordBatch) -> pa.StringArray:
    """Whether the service told the primary's prediction, or a replica of the primary was asked."""
    if PRIMARY_SOURCE in requests.schema.names:
        return requests.column(PRIMARY_SOURCE)
    return _repeat("observed", requests.num_rows)


def _trace(context: pa.MapArray) -> pa.StringArray:
    """The W3C trace in each request's context."""
    if not len(context.keys):
        return pa.nulls(len(context), pa.string())
    return pc.map_lookup(context, pa.scalar("traceparent"), "first")


def _topics(source: Sequence[Message]) -> pa.Array:
    topics = [each.topic() or "" for each in source]
    same = topics.count(topics[0]) == len(topics)
    return _repeat(topics[0], len(topics)) if same else pa.array(topics, pa.string())


def _repeat(value: str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), rows)
