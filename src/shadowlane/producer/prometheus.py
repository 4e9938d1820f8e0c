"""A hook's counts as Prometheus metrics (needs `[prometheus]`): `register(hook)`, and they are there.

The client's library asks for them whenever Prometheus does; a request costs nothing more. docs/metrics.md
says what they mean under several processes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import getpid
from typing import NamedTuple
from weakref import WeakKeyDictionary, ref

from shadowlane.errors import MissingExtraError
from shadowlane.producer._encode import Subject
from shadowlane.producer._hook import Hook
from shadowlane.producer._stats import Stats

try:
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector
except ModuleNotFoundError as error:
    if error.name and error.name.split(".")[0] == "prometheus_client":
        raise MissingExtraError("prometheus", "Metrics for Prometheus") from error
    raise

__all__ = ["METRICS", "Metric", "register"]


class Metric(NamedTuple):
    """One metric: a counter where its name ends in `_total`, else a gauge."""

    name: str
    meaning: str
    read: Callable[[Stats], int | Mapping[str, int]]
    """Its figure; where it has a third label, one for each of that label's values."""
    labels: Sequence[str] = ("model", "model_version")


#: All that there are.
METRICS = (
    Metric("shadowlane_hook_observed_total", "Requests that the hook was told of.", lambda s: s.observed),
    Metric(
        "shadowlane_hook_primary_failed_total",
        "Requests that the primary did not answer.",
        lambda s: s.primary_failed,
    ),
    Metric("shadowlane_hook_sampled_out_total", "Requests that sampling left out.", lambda s: s.sampled_out),
    Metric(
        "shadowlane_hook_dropped_total",
        "Requests given up, by reason.",
        lambda s: s.dropped,
        ("model", "model_version", "reason"),
    ),
    Metric("shadowlane_hook_published_total", "Requests handed to Kafka's client.", lambda s: s.published),
    Metric("shadowlane_hook_delivered_total", "Requests that Kafka took.", lambda s: s.delivered),
    Metric("shadowlane_hook_failed_total", "Requests that Kafka did not take.", lambda s: s.failed),
    Metric("shadowlane_hook_queued", "Requests that wait in the process.", lambda s: s.queued),
    Metric(
        "shadowlane_hook_results_dropped_total",
        "Comparisons and errors of a shadow in the process, given up.",
        lambda s: s.results.dropped,
    ),
    Metric(
        "shadowlane_hook_results_published_total",
        "Comparisons and errors handed to Kafka's client.",
        lambda s: s.results.published,
    ),
    Metric(
        "shadowlane_hook_results_delivered_total",
        "Comparisons and errors that Kafka took.",
        lambda s: s.results.delivered,
    ),
    Metric(
        "shadowlane_hook_results_failed_total",
        "Comparisons and errors that Kafka did not take.",
        lambda s: s.results.failed,
    ),
)


def register(hook: Hook, registry: CollectorRegistry = REGISTRY) -> None:
    """Have a registry show a hook's counts.

    Hooks of one model and version are shown as one: their sum. The registry does not keep a hook alive,
    and what became of the requests of one that is gone stays in the sums.
    """
    collector = _collectors.get(registry)
    if collector is None:
        collector = _HookCollector()
        registry.register(collector)
        _collectors[registry] = collector
    collector.add(hook)


class _HookCollector(Collector):
    """Reads the hooks of this process when it is asked."""

    def __init__(self) -> None:
        self._watched: list[_Watched] = []
        self._pid = getpid()

    def add(self, hook: Hook) -> None:
        """Read this one, too."""
        if not any(each.hook() is hook for each in self._watched):
            self._watched.append(_Watched(hook))

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Each metric, with a sample for each model and version."""
        if self._pid != getpid():  # what a parent's hooks came to that are gone is the parent's to tell
            self._pid = getpid()
            self._watched = [each for each in self._watched if each.hook()]
        read = [(each.subject, each.stats()) for each in self._watched]
        for metric in METRICS:
            yield _family(metric, read)


class _Watched:
    """One hook, which this does not keep alive, and its counts, which it does."""

    def __init__(self, hook: Hook) -> None:
        self.hook = ref(hook)
        self.subject = hook._plan.subject  # noqa: SLF001 (of the same package, as below)
        self._counts = hook._courier.counts  # noqa: SLF001

    def stats(self) -> Stats:
        """The counts now, or those at its end."""
        hook = self.hook()
        if hook is not None:
            self._counts = hook._courier.counts  # noqa: SLF001 (others, in a forked child)
        return self._counts.stats()


def _family(metric: Metric, read: list[tuple[Subject, Stats]]) -> CounterMetricFamily | GaugeMetricFamily:
    sums: defaultdict[Subject, Counter[str]] = defaultdict(Counter)
    for subject, stats in read:
        figure = metric.read(stats)
        sums[subject].update(figure if isinstance(figure, Mapping) else {"": figure})
    kind = CounterMetricFamily if metric.name.endswith("_total") else GaugeMetricFamily
    family = kind(metric.name, metric.meaning, labels=metric.labels)
    for subject, figures in sums.items():
        for reason, figure in figures.items():
            values = (subject.model, subject.model_version, reason)
            family.add_metric(values[: len(metric.labels)], figure)
    return family


_collectors: WeakKeyDictionary[CollectorRegistry, _HookCollector] = WeakKeyDictionary()
