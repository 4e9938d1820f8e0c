"""A hook's counts as Prometheus reads them."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from hook_contract import COMPARISON
from shadowlane.producer import Hook
from shadowlane.producer._encode import Result
from shadowlane.producer.prometheus import METRICS, register
from shadowlane.producer.testing import MemoryHook

from .conftest import run

#: How Prometheus may ask for it, and what reads the answer.
FORMATS: list[tuple[Callable[..., bytes], Callable[..., Iterable[Any]]]] = [
    (generate_latest, parse),
    (generate_openmetrics, parse_openmetrics),
]
RANKER = {"model": "ranker", "model_version": "7"}

FORKED = """
import os, warnings
from prometheus_client import REGISTRY
from shadowlane.producer.prometheus import register
from shadowlane.producer.testing import MemoryHook
warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on, Python warns of forks beside threads
def observed():
    labels = {"model": "ranker", "model_version": "7"}
    return int(REGISTRY.get_sample_value("shadowlane_hook_observed_total", labels))
def publish(requests):
    for _ in range(requests):
        hook.publish(features={}, prediction=1.0)
hook, gone = (MemoryHook(model="ranker", model_version="7") for _ in range(2))
register(hook)
register(gone)
gone.publish(features={}, prediction=1.0)
gone.close()
del gone
publish(10)
pid = os.fork()
if pid == 0:
    print(observed())
publish(2)
if pid:
    os.waitpid(pid, 0)
print(observed(), flush=True)
"""


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of this test."""
    return CollectorRegistry()


def hook(**settings: str) -> MemoryHook:
    """A hook of the model `ranker`."""
    return MemoryHook(**({"model": "ranker", "model_version": "7"} | settings))  # type: ignore[arg-type]


def publish(hook: Hook, requests: int = 1) -> None:
    """Publish so many requests."""
    for _ in range(requests):
        hook.publish(features={}, prediction=1.0)


def busy() -> MemoryHook:
    """A hook whose counts are all different, those of its results aside."""
    busy = MemoryHook(model="ranker", model_version="7", sampling=0.5)
    for number in range(200):
        busy.publish(features={}, prediction=1.0, entity_id=f"user-{number}")
    for _ in range(3):
        busy.primary_failed()
    busy.refuse("no_body", "no body")
    busy.refuse('"odd"\n', "an odd reason")
    busy._courier.intake.put_result(Result(COMPARISON, "user-1"))
    assert busy.flush()
    busy.down = True
    publish(busy, 7)
    busy.close()
    busy._courier.intake.put_result(Result(COMPARISON, "user-1"))
    return busy


def test_each_count_is_a_sample(registry: CollectorRegistry) -> None:
    """Whichever way Prometheus asks for them, its own parser finds the hook's counts."""
    counted = busy()
    register(counted, registry)
    stats = counted.stats()
    expected = {
        ("shadowlane_hook_observed_total", ""): stats.observed,
        ("shadowlane_hook_primary_failed_total", ""): 3,
        ("shadowlane_hook_sampled_out_total", ""): stats.sampled_out,
        ("shadowlane_hook_dropped_total", "no_body"): 1,
        ("shadowlane_hook_dropped_total", '"odd"\n'): 1,
        ("shadowlane_hook_published_total", ""): stats.published,
        ("shadowlane_hook_delivered_total", ""): stats.delivered,
        ("shadowlane_hook_failed_total", ""): stats.failed,
        ("shadowlane_hook_queued", ""): 0,
        ("shadowlane_hook_results_dropped_total", ""): 1,
        ("shadowlane_hook_results_published_total", ""): 1,
        ("shadowlane_hook_results_delivered_total", ""): 1,
        ("shadowlane_hook_results_failed_total", ""): 0,
    }
    assert stats.failed > 0
    for generate, parsed in FORMATS:
        samples = [each for family in parsed(generate(registry).decode()) for each in family.samples]
        assert {(each.name, each.labels.get("reason", "")): each.value for each in samples} == expected
        assert all(each.labels.items() >= RANKER.items() for each in samples)


def test_what_waits_is_a_gauge(registry: CollectorRegistry, still: None) -> None:
    """Requests that the background thread has not taken yet."""
    waiting = hook()
    publish(waiting, 3)
    register(waiting, registry)
    assert registry.get_sample_value("shadowlane_hook_queued", RANKER) == 3


def test_the_list_is_all_there_is(registry: CollectorRegistry) -> None:
    """What is shown is what METRICS says, with its meaning, and a service without requests shows it, too."""
    register(hook(), registry)
    families = list(registry.collect())
    shown = [each.name + ("_total" if each.type == "counter" else "") for each in families]
    assert shown == [metric.name for metric in METRICS]
    assert [each.documentation for each in families] == [metric.meaning for metric in METRICS]
    without = {family.name for family in families if not family.samples}
    assert without == {"shadowlane_hook_dropped"}  # there is no reason yet


def test_the_documents_list_is_the_same() -> None:
    """docs/metrics.md has each metric with its meaning, and no other."""
    text = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(shadowlane_hook_\w+)` \| (.+?) \|", text, re.MULTILINE)
    assert rows == [(metric.name, metric.meaning) for metric in METRICS]


def test_hooks_of_one_model_are_one(registry: CollectorRegistry) -> None:
    """Their counts are summed; those of another model or version stand apart; registering twice is once."""
    hooks = [hook(), hook(), hook(model_version="8"), hook(model="other")]
    for number, each in enumerate(hooks, 1):
        register(each, registry)
        register(each, registry)
        publish(each, number)
    families = {family.name: family.samples for family in registry.collect()}
    shown = {
        (sample.labels["model"], sample.labels["model_version"]): sample.value
        for sample in families["shadowlane_hook_observed"]
    }
    assert shown == {("ranker", "7"): 1 + 2, ("ranker", "8"): 3, ("other", "7"): 4}


def test_a_hook_that_is_gone_stays_in_the_sums(registry: CollectorRegistry) -> None:
    """It may end, whoever registered it; a counter that went down would look like a restart."""
    first, second = hook(), hook()
    for each in (first, second):
        register(each, registry)
        publish(each, 5)
        each.close()
    gone = ref(first)
    del each, first
    gc.collect()
    publish(second, 1)
    assert registry.get_sample_value("shadowlane_hook_observed_total", RANKER) == 11
    assert gone() is None


def test_each_registry_shows_what_was_registered_with_it(registry: CollectorRegistry) -> None:
    """A service may have several."""
    other, served = CollectorRegistry(), hook()
    register(served, registry)
    register(served, other)
    publish(served)
    for each in (registry, other):
        assert each.get_sample_value("shadowlane_hook_observed_total", RANKER) == 1


def test_a_forked_child_shows_its_own_counts() -> None:
    """Neither its parent's nor those of a hook that ended there; by default in the client's registry."""
    assert run(FORKED).split() == ["0", "2", "13"]


def test_without_the_extra_it_says_what_to_install() -> None:
    """The hook itself works without; this module names the extra."""
    code = """
import sys
sys.modules["prometheus_client"] = None
import shadowlane.producer
from shadowlane.errors import MissingExtraError
try:
    import shadowlane.producer.prometheus
except MissingExtraError as error:
    print(error)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (
        process.stdout.strip()
        == "Metrics for Prometheus needs an extra: pip install 'shadowlane[prometheus]'"
    )
