"""The workers' figures as Prometheus metrics: one closed list, each with its meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import time
from typing import NamedTuple

from shadowlane import __version__
from shadowlane.health.exposition import Figures, Kind, Sample, expose
from shadowlane.health.histogram import Histogram
from shadowlane.replay_worker._standing import Overview
from shadowlane.replay_worker._tally import Tally

__all__ = ["METRICS", "Metric", "exposed"]

_MEGABYTE = 1024.0 * 1024.0


class Metric(NamedTuple):
    """One metric; each has the labels `model`, `shadow` and `run`, and those here."""

    name: str
    kind: Kind
    meaning: str
    read: Callable[[Overview, Tally], Iterable[Sample]]
    """Its figures, drawn from how the workers stand and from what all of them have done."""
    labels: tuple[str, ...] = ()


def _one(read: Callable[[Tally], float | Histogram]) -> Callable[[Overview, Tally], list[Sample]]:
    return lambda _overview, whole: [((), read(whole))]


def _lag_seconds(whole: Tally) -> Iterator[Sample]:
    now = time()
    for partition, waiting in (whole.waiting or {}).items():
        if waiting == 0:
            yield (str(partition),), 0.0
        elif waiting is not None and partition in whole.reached:
            yield (str(partition),), max(0.0, now - whole.reached[partition])


#: All that there are.
METRICS = (
    Metric(
        "shadowlane_worker_requests_total",
        "counter",
        "Requests of the model that were replayed: compared, or failed.",
        _one(lambda whole: whole.requests),
    ),
    Metric(
        "shadowlane_worker_compared_total",
        "counter",
        "Requests whose two predictions were compared and sent on.",
        _one(lambda whole: whole.compared),
    ),
    Metric(
        "shadowlane_worker_errors_total",
        "counter",
        "Requests that became an error, by the stage that failed.",
        lambda _, whole: [((stage,), count) for stage, count in whole.errors.items()],
        ("stage",),
    ),
    Metric(
        "shadowlane_worker_lost_total",
        "counter",
        "Messages that retention deleted before a worker read them.",
        _one(lambda whole: whole.lost),
    ),
    Metric(
        "shadowlane_worker_skipped_total",
        "counter",
        "Messages read and left out, as they are requests of other models.",
        _one(lambda whole: whole.skipped),
    ),
    Metric(
        "shadowlane_worker_missing_features_total",
        "counter",
        "Features that a request lacks: given as null, or wanted by the shadow and not given.",
        _one(lambda whole: whole.missing_features.total()),
    ),
    Metric(
        "shadowlane_worker_unexpected_features_total",
        "counter",
        "Features that a request carries and the shadow does not know.",
        _one(lambda whole: whole.unexpected_features.total()),
    ),
    Metric(
        "shadowlane_worker_denied_total",
        "counter",
        "Attempts of the shadow to write or to connect that were denied, by kind.",
        lambda _, whole: [((kind,), count) for kind, count in whole.denied.items()],
        ("kind",),
    ),
    Metric(
        "shadowlane_worker_predict_seconds",
        "histogram",
        "The shadow's time to answer a request, by basis: single, amortized or warmup.",
        lambda _, whole: [((basis,), each) for basis, each in whole.predict.items()],
        ("basis",),
    ),
    Metric(
        "shadowlane_worker_batch_messages",
        "histogram",
        "Messages in a batch that was committed.",
        _one(lambda whole: whole.batch_sizes),
    ),
    Metric(
        "shadowlane_worker_batch_seconds",
        "histogram",
        "Time to decode a batch, ask the shadow, compare and encode.",
        _one(lambda whole: whole.batch_seconds),
    ),
    Metric(
        "shadowlane_worker_transaction_seconds",
        "histogram",
        "Time of a committed Kafka transaction: results and offsets.",
        _one(lambda whole: whole.transaction_seconds),
    ),
    Metric(
        "shadowlane_worker_aborted_total",
        "counter",
        "Transactions that were aborted; their batches were done again.",
        _one(lambda whole: whole.aborted),
    ),
    Metric(
        "shadowlane_worker_model_restarts_total",
        "counter",
        "Model processes started in place of one that ended.",
        _one(lambda whole: whole.restarts),
    ),
    Metric(
        "shadowlane_worker_replaced_total",
        "counter",
        "Worker processes of a fleet started in place of one that was killed, or that stood still.",
        lambda overview, _: [((cause,), overview.replaced[cause]) for cause in ("killed", "stuck")],
        ("cause",),
    ),
    Metric(
        "shadowlane_worker_lag_messages",
        "gauge",
        "Messages that wait in a partition assigned here, as far as its worker knows.",
        lambda _, whole: [
            ((str(partition),), count)
            for partition, count in (whole.waiting or {}).items()
            if count is not None
        ],
        ("partition",),
    ),
    Metric(
        "shadowlane_worker_lag_seconds",
        "gauge",
        "Age of the last message replayed of a partition assigned here; 0 where none waits.",
        lambda _, whole: _lag_seconds(whole),
        ("partition",),
    ),
    Metric(
        "shadowlane_worker_model_memory_bytes",
        "gauge",
        "Peak memory of the model's process.",
        lambda overview, _: [
            ((each.worker_id,), each.tally.memory_mb * _MEGABYTE)
            for each in overview.standings
            if each.tally is not None and each.tally.memory_mb is not None
        ],
        ("worker",),
    ),
    Metric(
        "shadowlane_worker_ready",
        "gauge",
        "1 where a worker has its partitions and its model is loaded, else 0.",
        lambda overview, _: [((each.worker_id,), each.unready is None) for each in overview.standings],
        ("worker",),
    ),
    Metric(
        "shadowlane_worker_alive",
        "gauge",
        "1 where a worker's loop moves, else 0.",
        lambda overview, _: [((each.worker_id,), each.stuck is None) for each in overview.standings],
        ("worker",),
    ),
    Metric(
        "shadowlane_worker_start_time_seconds",
        "gauge",
        "When a worker began to count, in seconds since 1970.",
        lambda overview, _: [
            ((each.worker_id,), each.tally.started_at.timestamp())
            for each in overview.standings
            if each.tally is not None
        ],
        ("worker",),
    ),
    Metric(
        "shadowlane_worker_info",
        "gauge",
        "Always 1; its labels: shadowlane's version, the shadow's, and the scheme of its URI.",
        lambda overview, _: [
            (
                (
                    __version__,
                    overview.plan.target.shadow_version,
                    overview.plan.source.uri.partition(":")[0],
                ),
                1,
            )
        ],
        ("version", "shadow_version", "scheme"),
    ),
)


def exposed(overview: Overview, accept: str = "") -> tuple[bytes, str]:
    """The metrics as Prometheus (or who else accepts what) wants them, and of which type that is."""
    target, whole = overview.plan.target, overview.whole
    common = {"model": target.model, "shadow": target.shadow, "run": target.run}
    return expose(
        (
            Figures(
                metric.name,
                metric.kind,
                metric.meaning,
                (*common, *metric.labels),
                [((*common.values(), *values), figure) for values, figure in metric.read(overview, whole)],
            )
            for metric in METRICS
        ),
        accept,
    )
