"""The aggregator's figures as Prometheus metrics: one closed list, each with its meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from shadowlane import __version__
from shadowlane.aggregator._standing import Standing
from shadowlane.health.exposition import Figures, Kind, Sample, expose
from shadowlane.health.histogram import Histogram

__all__ = ["METRICS", "Metric", "exposed"]


class Metric(NamedTuple):
    """One metric and its labels."""

    name: str
    kind: Kind
    meaning: str
    read: Callable[[Standing], Iterable[Sample]]
    labels: tuple[str, ...] = ()


def _each(read: Callable[[Standing], Mapping[str, float | Histogram]]) -> Callable[[Standing], list[Sample]]:
    return lambda standing: [((key,), figure) for key, figure in dict(read(standing)).items()]


def _places(
    read: Callable[[Standing], Mapping[tuple[str, int], int]],
) -> Callable[[Standing], list[Sample]]:
    return lambda standing: [
        ((topic, str(partition)), figure) for (topic, partition), figure in read(standing).items()
    ]


#: All that there are.
METRICS = (
    Metric(
        "shadowlane_aggregator_rows_total",
        "counter",
        "Rows that were committed to a table.",
        _each(lambda standing: standing.landings.rows),
        ("table",),
    ),
    Metric(
        "shadowlane_aggregator_message_bytes_total",
        "counter",
        "Bytes of the messages that these rows came from.",
        _each(lambda standing: standing.landings.bytes),
        ("table",),
    ),
    Metric(
        "shadowlane_aggregator_commit_seconds",
        "histogram",
        "Time to write a table's files, once they are made, and to commit them.",
        _each(lambda standing: standing.landings.commits),
        ("table",),
    ),
    Metric(
        "shadowlane_aggregator_landing_seconds",
        "histogram",
        "Time to decode a table's messages, make its files, write and commit them.",
        _each(lambda standing: standing.landings.landings),
        ("table",),
    ),
    Metric(
        "shadowlane_aggregator_last_commit_time_seconds",
        "gauge",
        "When a table was last committed to from here, in seconds since 1970.",
        _each(lambda standing: standing.landings.last_commit),
        ("table",),
    ),
    Metric(
        "shadowlane_aggregator_dead_letters_total",
        "counter",
        "Messages that were no event of their topic; the table dead_letters keeps them.",
        _each(lambda standing: standing.landings.dead_letters),
        ("table",),
    ),
    Metric(
        "shadowlane_aggregator_reread_total",
        "counter",
        "Messages let go before they landed, to be read again: a fault, or another aggregator's partition.",
        _each(lambda standing: standing.landings.reread),
        ("table",),
    ),
    Metric(
        "shadowlane_aggregator_skipped_offsets_total",
        "counter",
        "Offsets that Kafka had dropped before they were read (--accept-gaps).",
        _each(lambda standing: standing.landings.skipped),
        ("table",),
    ),
    Metric(
        "shadowlane_aggregator_paused",
        "gauge",
        "1 while the lake cannot be written, by reason; else there is none.",
        lambda standing: [((standing.reason,), 1)] if standing.reason else [],
        ("reason",),
    ),
    Metric(
        "shadowlane_aggregator_pauses_total",
        "counter",
        "Times that the lake could not be written, by reason.",
        _each(lambda standing: standing.landings.pauses),
        ("reason",),
    ),
    Metric(
        "shadowlane_aggregator_paused_seconds_total",
        "counter",
        "Seconds in which the lake could not be written, by reason.",
        _each(lambda standing: standing.landings.paused_seconds),
        ("reason",),
    ),
    Metric(
        "shadowlane_aggregator_position",
        "gauge",
        "The next offset of a partition that is to land.",
        _places(lambda standing: standing.positions),
        ("topic", "partition"),
    ),
    Metric(
        "shadowlane_aggregator_lag_messages",
        "gauge",
        "Offsets of a partition that have not landed, as far as the client knows its end.",
        _places(lambda standing: standing.lags),
        ("topic", "partition"),
    ),
    Metric(
        "shadowlane_aggregator_ready",
        "gauge",
        "1 while it has its partitions and the lake can be written, else 0.",
        lambda standing: [((), not standing.view.unready)],
    ),
    Metric(
        "shadowlane_aggregator_info",
        "gauge",
        "Always 1; its label is shadowlane's version.",
        lambda _: [((__version__,), 1)],
        ("version",),
    ),
)


def exposed(standing: Standing, accept: str = "") -> tuple[bytes, str]:
    """The metrics as Prometheus (or who else accepts what) wants them, and of which type that is."""
    return expose(
        (Figures(each.name, each.kind, each.meaning, each.labels, each.read(standing)) for each in METRICS),
        accept,
    )
