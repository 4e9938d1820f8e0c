"""The in-process mirror on a real Kafka, down to the report: what it says is what a replay worker says."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

from accounting import assert_accounted
from shadowlane.aggregator import (
    AggregatorPlan,
    Policy,
    Report,
    Scope,
    decide,
    read_report,
    report_to_json,
    run_aggregator,
)
from shadowlane.kafka import KafkaSettings
from shadowlane.producer import Hook, ModelRouter, RouterStats, Sampling, SyncModelRouter
from shadowlane.replay_worker import ErrorCeiling, ModelSource, Target, WorkerPlan, run_worker

GENEROUS = 60.0
#: Where a mirror and a worker must say the same of a request, whatever their timing.
#: Takes each request of these tests, and is no rate that an event has by default.
RATE = 0.999999
SAID = """request_id, epoch_us(event_time), model, model_version, shadow, shadow_version, entity_id, segments,
  primary_score, shadow_score, shadow_label, agreement, difference, comparator, primary_source,
  missing_features, features, sampling_rate"""
FAILED = """request_id, epoch_us(event_time), model, model_version, shadow, shadow_version, entity_id,
  segments, stage, error_type, message, missing_features, sampling_rate"""

SHADOW = """
def predict(features):
    if features["number"] % 10 == 3:
        raise KeyError("no history for this cohort")
    if features["number"] % 10 == 4:
        return object()
    return features["amount"] / 1000 + (0.2 if features["number"] % 10 == 5 else 0.01)
"""


@pytest.fixture
def shadow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The shadow's function, which a worker finds as `user_shadow:predict`."""
    (tmp_path / "user_shadow.py").write_text(SHADOW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.delitem(sys.modules, "user_shadow", raising=False)
    scope: dict[str, Any] = {}
    exec(SHADOW, scope)  # noqa: S102 (the text above)
    return scope["predict"]


def primary(features: Mapping[str, Any]) -> float:
    """The primary; it knows no negative amounts."""
    if features["amount"] < 0:
        raise ValueError("negative")
    return float(features["amount"] / 1000)


def ask(number: int) -> dict[str, Any]:
    """The arguments of one `predict`."""
    return {
        "features": {"amount": number / 2, "number": number, "words": ["a", "b"], "gone": None},
        "entity_id": f"user-{number % 7}",
        "segments": {"country": "DE" if number % 3 else "BR"},
    }


def land(settings: KafkaSettings, lake: Path) -> dict[str, int]:
    """Run an aggregator until it has caught up."""
    plan = AggregatorPlan(str(lake), until_caught_up=True)
    return run_aggregator(plan, settings, stop=threading.Event()).rows


def rows(lake: Path, table: str, columns: str, run: str) -> list[tuple[Any, ...]]:
    """A run's rows of a table, in order."""
    files = DeltaTable(str(lake / table)).file_uris()
    query = f"select {columns} from read_parquet($files) where run = $run order by request_id"  # noqa: S608
    return duckdb.execute(query, {"files": files, "run": run}).fetchall()


def replay(settings: KafkaSettings, requests: int) -> None:
    """Have a worker do so many requests."""
    stop = threading.Event()
    plan = WorkerPlan(
        Target("fraud", "boosting-2", "2"),
        ModelSource("python:user_shadow:predict"),
        ceiling=ErrorCeiling(1.0),
    )
    progress = run_worker(
        plan,
        settings,
        "w",
        stop=stop,
        tick=lambda progress: stop.set() if progress.requests >= requests else None,
    )
    assert progress.requests == requests


def test_a_mirror_says_what_a_replay_worker_says(
    settings: KafkaSettings, shadow: Any, tmp_path: Path
) -> None:
    """Row for row the same comparisons and errors, each under its own run; the ledger counts each once."""
    with (
        Hook(model="fraud", model_version="1", kafka=settings, sampling=RATE) as hook,
        SyncModelRouter(
            primary, shadow, hook=hook, shadow_name="boosting-2", shadow_version="2", timeout=GENEROUS
        ) as router,
    ):
        for number in range(300):
            assert router.predict(**ask(number)) == number / 2000
        with pytest.raises(ValueError, match="negative"):
            router.predict(**{**ask(1), "features": {"amount": -1.0, "number": 1}})
        router.close(timeout=GENEROUS)
        assert router.stats() == RouterStats(taken=300, compared=240, errors={"predict": 60})
        hook.close(timeout=GENEROUS)
    assert hook.stats().primary_failed == 1
    assert_accounted(settings, hook.stats())
    replay(settings, 300)
    lake = tmp_path / "lake"
    landed = land(settings, lake)
    assert (landed["comparisons"], landed["errors"]) == (480, 120)
    for table, columns in (("comparisons", SAID), ("errors", FAILED)):
        mirrored = rows(lake, table, columns, "in-process")
        assert mirrored == rows(lake, table, columns, "live")
        assert {row[-1] for row in mirrored} == {RATE}
        assert len(mirrored) == {"comparisons": 240, "errors": 60}[table]
    bases = Counter(rows(lake, "comparisons", "latency_basis", "in-process"))
    assert bases[("warmup",)] + bases[("single",)] == 240

    report = read_report(lake, Scope("fraud", "boosting-2", "in-process"), by=["country"])
    live = read_report(lake, Scope("fraud", "boosting-2"), by=["country"])
    assert (report.compared, report.errored, report.agreements) == (240, 60, 210)
    assert report.duplicates == live.duplicates
    assert untimed(report) == untimed(live)
    ledger = report.ledger
    assert ledger is not None
    assert (ledger.observed, ledger.primary_failed, ledger.delivered) == (301, 1, 300)
    assert (ledger.delivered, ledger.unexplained, ledger.uncounted) == (report.requests, 0, 0)
    decision = decide(report, Policy(min_requests=100), datetime.now(UTC))
    assert decision.verdict == "hold"
    assert shown(lake)["compared"] == 240


def untimed(report: Report) -> tuple[Any, list[Any]]:
    """Scores and groups to the digits that are written, but for how long it took."""
    said = json.loads(report_to_json(report))
    groups = [group for segment in said["segments"] for group in segment["groups"]]
    return said["scores"], [
        {name: value for name, value in group.items() if not name.endswith("_ms")} for group in groups
    ]


def shown(lake: Path) -> dict[str, Any]:
    """What the command line reports."""
    command = ["report", "--model", "fraud", "--shadow", "boosting-2", "--run", "in-process"]
    done = subprocess.run(
        [sys.executable, "-m", "shadowlane", *command, "--lake", str(lake), "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_each_request_is_a_row_whatever_the_shadow_does(settings: KafkaSettings, tmp_path: Path) -> None:
    """An async service whose shadow hangs, fails and is too slow: what is published is accounted for."""
    let_go = threading.Event()

    def misbehaves(features: Mapping[str, Any]) -> float:
        if features["number"] % 50 == 3:
            let_go.wait(GENEROUS)
        if features["number"] % 50 == 4:
            raise SystemExit(3)
        return float(features["amount"] / 1000)

    async def serve() -> RouterStats:
        hook = Hook(model="fraud", model_version="1", kafka=settings, sampling=Sampling(0.5, by="request"))
        async with ModelRouter(
            primary, misbehaves, hook=hook, shadow_name="boosting-2", timeout=0.2, queue_size=50
        ) as router:
            # These ids have 3 and 4 within the sample; so early, the pool has room for them.
            answers = [await router.predict(**ask(number), request_id=f"q-{number}") for number in range(400)]
            assert answers == [number / 2000 for number in range(400)]
            await router.aclose(timeout=1.0)
        await asyncio.to_thread(hook.close, GENEROUS)
        assert_accounted(settings, hook.stats())
        assert hook.stats().results.delivered == hook.stats().delivered
        return router.stats()

    stats = asyncio.run(serve())
    let_go.set()
    lake = tmp_path / "lake"
    landed = land(settings, lake)
    report = read_report(lake, Scope("fraud", "boosting-2", "in-process"))
    assert (report.compared, report.errored) == (stats.compared, sum(stats.errors.values()))
    assert landed["comparisons"] + landed["errors"] == report.requests == stats.taken
    assert report.ledger is not None
    assert report.ledger.sampled_out + report.requests == report.ledger.observed == 400
    assert (report.ledger.delivered, report.ledger.unexplained) == (report.requests, 0)
    assert {stage.stage for stage in report.errors} == set(stats.errors) == {"predict", "timeout"}
