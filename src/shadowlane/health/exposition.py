"""Figures as Prometheus wants them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from shadowlane.health.histogram import Histogram

Kind = Literal["counter", "gauge", "histogram"]
#: The values of a metric's labels, and its figure.
Sample = tuple[tuple[str, ...], float | Histogram]
_Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
_FAMILIES = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


class Figures(NamedTuple):
    """One metric and its figures at this moment."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...]
    samples: Iterable[Sample]


def expose(metrics: Iterable[Figures], accept: str = "") -> tuple[bytes, str]:
    """The metrics as Prometheus (or who else accepts what) wants them, and of which type that is."""
    registry = CollectorRegistry()
    registry.register(_Collector(metrics))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Collector(Collector):
    """Gives the families of one moment."""

    def __init__(self, metrics: Iterable[Figures]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[_Family]:
        """Each metric, with its samples."""
        return map(_family, self._metrics)


def _family(metric: Figures) -> _Family:
    family: _Family = _FAMILIES[metric.kind](metric.name, metric.meaning, labels=metric.labels)
    add: Any = family.add_metric  # a histogram's takes its buckets and its sum
    for values, figure in metric.samples:
        if isinstance(figure, Histogram):
            add(values, _buckets(figure), figure.total)
        else:
            add(values, figure)
    return family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Prometheus' buckets: how many are at or below each bound."""
    ends, below = [*map(str, histogram.bounds), "+Inf"], 0
    found: list[tuple[str, float]] = []
    for end, count in zip(ends, histogram.counts, strict=True):
        below += count
        found.append((end, below))
    return found
