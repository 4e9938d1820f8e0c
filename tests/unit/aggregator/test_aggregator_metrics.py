"""An aggregator seen from outside: its metrics, and whether it is alive and ready."""

from __future__ import annotations

import re
from ctypes import c_double
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from shadowlane.aggregator._landings import Landings
from shadowlane.aggregator._metrics import METRICS, exposed
from shadowlane.aggregator._standing import Standing
from shadowlane.health import Pulse

ROOT = Path(__file__).parents[3]
PREFIX = "shadowlane_aggregator_"


def standing(now: float = 0.0) -> Standing:
    """One that has landed, skipped, paused and been let into the group."""
    landings = Landings()
    landings.add("comparisons", 5, 500)
    landings.time("comparisons", 0.3, 0.12, 1_700_000_000.0)
    landings.dead_letters["labels"] += 2
    landings.reread["comparisons"] += 3
    landings.skipped["errors"] += 7
    landings.pauses["disk_full"] += 1
    landings.paused_seconds["disk_full"] += 4
    found = Standing(landings, Pulse(c_double(), clock=lambda: now), joined=True)
    found.pulse.expect(10)
    found.positions, found.lags = {("t", 0): 9}, {("t", 0): 4}
    return found


def figures(seen: Standing) -> dict[tuple[str, ...], float]:
    """By name and the values of the labels."""
    families = text_string_to_metric_families(exposed(seen)[0].decode())
    return {
        (each.name.removeprefix(PREFIX), *(value for _, value in sorted(each.labels.items()))): each.value
        for family in families
        for each in family.samples
    }


def test_each_figure_is_there() -> None:
    """By table, by reason, by partition."""
    seen = standing()
    seen.paused, seen.reason = "no room", "disk_full"
    found = figures(seen)
    expected = {
        ("rows_total", "comparisons"): 5,
        ("message_bytes_total", "comparisons"): 500,
        ("commit_seconds_count", "comparisons"): 1,
        ("commit_seconds_bucket", "0.1", "comparisons"): 0,
        ("commit_seconds_bucket", "0.15", "comparisons"): 1,
        ("landing_seconds_bucket", "0.2", "comparisons"): 0,
        ("last_commit_time_seconds", "comparisons"): 1_700_000_000.0,
        ("dead_letters_total", "labels"): 2,
        ("reread_total", "comparisons"): 3,
        ("skipped_offsets_total", "errors"): 7,
        ("paused", "disk_full"): 1,
        ("pauses_total", "disk_full"): 1,
        ("paused_seconds_total", "disk_full"): 4,
        ("position", "0", "t"): 9,
        ("lag_messages", "0", "t"): 4,
        ("ready",): 0,
    }
    assert {key: found[key] for key in expected} == expected
    names = {re.sub("_(bucket|sum|count)$", "", key[0]) for key in found}
    assert {metric.name.removeprefix(PREFIX) for metric in METRICS} <= names


def test_it_is_ready_while_it_can_land() -> None:
    """Not before the group let it in, not while the lake is away, not when it was told to stop."""
    seen = standing()
    assert (seen.view.stuck, seen.view.unready) == ([], [])
    assert figures(seen)["ready",] == 1
    seen.joined = False
    assert seen.view.unready == ["the group has not given it its partitions yet"]
    seen.paused = "no room"
    assert seen.view.unready == ["paused: no room"]
    seen.stopping = True
    assert seen.view.unready == ["was told to stop"]
    assert seen.view.stuck == []


def test_a_loop_that_stands_still_is_neither_alive_nor_ready() -> None:
    """By its own word on how long a round may take."""
    seen = standing()
    seen.pulse.expect(-3)
    assert seen.view.stuck == seen.view.unready == ["the loop stands still, 3 s past its limit"]


def test_the_names_follow_prometheus_rules() -> None:
    """Counters end in _total, and nothing carries a request's values."""
    for metric in METRICS:
        assert re.fullmatch(rf"{PREFIX}[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.meaning.endswith(".")
        assert set(metric.labels) <= {"table", "reason", "topic", "partition", "version"}
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_the_documentation_has_each_metric() -> None:
    """docs/aggregate.md lists them with the same words."""
    lines = (ROOT / "docs/aggregate.md").read_text(encoding="utf-8").splitlines()
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        assert f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |" in lines
    assert sum(line.startswith(f"| `{PREFIX}") for line in lines) == len(METRICS)
