"""The events as Python sees them: one frozen class for each schema, field for field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from shadowlane.schemas._values import Features, Prediction, SamplingRates


class Event:
    """What the six events have in common: they are events."""

    __slots__: tuple[str, ...] = ()


EventT = TypeVar("EventT", bound=Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductionRequest(Event):
    """One production call and the primary's prediction (topic `production-requests`)."""

    request_id: str
    event_time: datetime
    model: str
    model_version: str = ""
    entity_id: str | None = None
    features: Features
    prediction: Prediction | None = None
    latency_ms: float | None = None
    segments: Mapping[str, str] = field(default_factory=dict)
    context: Mapping[str, str] = field(default_factory=dict)
    sampling_rate: float = 1.0
    producer_id: str = ""
    sequence: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowComparison(Event):
    """One request's two predictions side by side (topic `shadow-comparisons`)."""

    request_id: str
    event_time: datetime
    model: str
    model_version: str = ""
    shadow: str
    shadow_version: str = ""
    run: str = "live"
    entity_id: str | None = None
    source_topic: str
    source_partition: int
    source_offset: int
    segments: Mapping[str, str] = field(default_factory=dict)
    primary_prediction: Prediction
    primary_source: str = "observed"
    shadow_prediction: Prediction
    agreement: bool
    difference: float | None = None
    comparator: str
    primary_latency_ms: float | None = None
    shadow_latency_ms: float
    latency_basis: str = "single"
    shadow_cpu_ms: float | None = None
    replay_lag_ms: float
    missing_features: Sequence[str] = ()
    features: Features | None = None
    worker_id: str = ""
    sampling_rate: float = 1.0
    shadow_gpu_ms: float | None = None
    shadow_memory_mb: float | None = None
    fetched: Features | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowError(Event):
    """A request that the shadow could not answer, or bytes that are none (topic `shadow-errors`)."""

    request_id: str | None = None
    event_time: datetime | None = None
    model: str
    model_version: str | None = None
    shadow: str
    shadow_version: str = ""
    run: str = "live"
    entity_id: str | None = None
    source_topic: str
    source_partition: int
    source_offset: int
    stage: str
    error_type: str
    message: str = ""
    traceback: str | None = None
    attempts: int = 1
    failed_at: datetime
    segments: Mapping[str, str] = field(default_factory=dict)
    missing_features: Sequence[str] = ()
    raw: str | None = None
    worker_id: str = ""
    sampling_rate: float | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductionLabel(Event):
    """What turned out to be true (topic `production-labels`)."""

    request_id: str
    model: str
    name: str = "label"
    label: Prediction
    observed_at: datetime
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry(Event):
    """A hook's or worker's counts since its start (topic `shadow-ledger`)."""

    producer_id: str
    role: str = "hook"
    model: str
    model_version: str = ""
    shadow: str | None = None
    run: str | None = None
    started_at: datetime
    recorded_at: datetime
    observed: int = 0
    primary_failed: int = 0
    sampled_out: int = 0
    published: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    delivered: int = 0
    failed: int = 0
    final: bool = False
    compared: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    lost: int = 0
    missing_features: Mapping[str, int] = field(default_factory=dict)
    unexpected_features: Mapping[str, int] = field(default_factory=dict)
    restarts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSetting(Event):
    """What an operator set for a model, while its services run (topic `shadow-control`)."""

    model: str
    sampling: SamplingRates | None = None
    set_at: datetime
    set_by: str = ""
    reason: str = ""
