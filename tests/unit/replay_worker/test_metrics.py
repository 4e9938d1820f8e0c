"""What Prometheus reads of a worker or a fleet."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from shadowlane.replay_worker import ModelSource, Tally, Target, WorkerPlan
from shadowlane.replay_worker._metrics import METRICS, exposed
from shadowlane.replay_worker._standing import Overview, Standing

PLAN = WorkerPlan(Target("fraud", "s", "2"), ModelSource("python:models:predict"))
ROOT = Path(__file__).parents[3]


def figures(overview: Overview) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels but the three that all have."""
    text, content_type = exposed(overview)
    assert content_type.startswith("text/plain")
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert [labels.pop(name) for name in ("model", "shadow", "run")] == ["fraud", "s", "live"]
            found[sample.name, *labels.values()] = sample.value
    return found


@pytest.fixture
def tally() -> Tally:
    """A worker that has done a bit of each."""
    tally = Tally(
        requests=5,
        compared=3,
        errors=Counter(predict=2),
        lost=7,
        skipped=11,
        denied=Counter(connect=1),
        restarts=1,
        aborted=2,
        missing_features=Counter(age=2, income=1),
        unexpected_features=Counter(colour=4),
        waiting={0: 4, 1: 0, 2: None},
        reached={0: time.time() - 60, 1: time.time() - 60},
        memory_mb=2.0,
    )
    tally.batch_sizes.add(np.array([5.0]))
    tally.batch_seconds.add_one(0.2)
    tally.transaction_seconds.add_one(0.02)
    tally.predict["single"] = tally.batch_seconds
    return tally


def test_each_metric_has_its_figure(tally: Tally) -> None:
    """Each of the list is there, with the tally's figures."""
    found = figures(Overview(PLAN, [Standing("w-0", tally)], Tally(), Counter(killed=1)))
    prefix = "shadowlane_worker_"
    expected = {
        ("requests_total",): 5,
        ("compared_total",): 3,
        ("errors_total", "predict"): 2,
        ("lost_total",): 7,
        ("skipped_total",): 11,
        ("denied_total", "connect"): 1,
        ("model_restarts_total",): 1,
        ("aborted_total",): 2,
        ("missing_features_total",): 3,
        ("unexpected_features_total",): 4,
        ("replaced_total", "killed"): 1,
        ("replaced_total", "stuck"): 0,
        ("lag_messages", "0"): 4,
        ("lag_messages", "1"): 0,
        ("lag_seconds", "1"): 0,
        ("model_memory_bytes", "w-0"): 2 * 1024 * 1024,
        ("ready", "w-0"): 1,
        ("alive", "w-0"): 1,
        ("start_time_seconds", "w-0"): tally.started_at.timestamp(),
        ("batch_messages_count",): 1,
        ("batch_messages_bucket", "5.0"): 1,
        ("batch_messages_bucket", "2.0"): 0,
        ("transaction_seconds_sum",): 0.02,
        ("batch_seconds_bucket", "+Inf"): 1,
        ("predict_seconds_count", "single"): 1,
    }
    assert {key: found[prefix + key[0], *key[1:]] for key in expected} == expected
    assert found[prefix + "lag_seconds", "0"] == pytest.approx(60, abs=5)
    assert (prefix + "lag_messages", "2") not in found  # nobody knows: not 0
    assert (prefix + "lag_seconds", "2") not in found
    missing = {metric.name for metric in METRICS} - {
        re.sub("_(bucket|sum|count)$", "", key[0]) for key in found
    }
    assert not missing


def test_a_fleet_is_the_sum_of_its_workers_and_of_those_that_ended(tally: Tally) -> None:
    """A counter must not go back because a worker was killed."""
    past = Tally(requests=100)
    found = figures(Overview(PLAN, [Standing("w-0", tally), Standing("w-1", Tally(requests=1))], past))
    assert found["shadowlane_worker_requests_total",] == 106
    assert found["shadowlane_worker_ready", "w-0"] == 1
    assert found["shadowlane_worker_ready", "w-1"] == 0


def test_openmetrics_is_there_for_who_asks(tally: Tally) -> None:
    """Prometheus prefers it, and says so."""
    text, content_type = exposed(Overview(PLAN, [Standing("w", tally)]), "application/openmetrics-text")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_the_names_follow_prometheus_rules() -> None:
    """Counters end in _total, times in _seconds, sizes in _bytes; nothing carries a request's values."""
    for metric in METRICS:
        assert re.fullmatch(r"shadowlane_worker_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.meaning.endswith(".")
        assert set(metric.labels) <= {
            *("stage", "kind", "basis", "cause", "partition", "worker"),
            *("version", "shadow_version", "scheme"),
        }
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_the_documentation_has_each_metric() -> None:
    """docs/worker-metrics.md lists them with the same words."""
    lines = (ROOT / "docs/worker-metrics.md").read_text(encoding="utf-8").splitlines()
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        assert f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |" in lines
    assert sum(line.startswith("| `shadowlane_worker_") for line in lines) == len(METRICS)
