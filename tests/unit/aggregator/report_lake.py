"""Makes lakes for the tests of the report: real Delta tables, from rows with telling defaults."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from shadowlane.lake._tables import COMPARISONS, ERRORS, LEDGER, TableSpec

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

Row = dict[str, Any]


def comparison(n: int, **changes: Any) -> Row:
    """The comparison of the n-th request: agreement, 0.5 against 0.5, 10 ms against 20 ms."""
    moment = changes.get("event_time", NOON + timedelta(seconds=n))
    return {
        "request_id": f"r{n}",
        "event_time": moment,
        "model_version": "1",
        "shadow": "challenger",
        "shadow_version": "2",
        "run": "live",
        "source_topic": "production-requests",
        "source_partition": n % 4,
        "source_offset": n // 4,
        "segments": [],
        "primary_score": 0.5,
        "primary_source": "observed",
        "shadow_score": 0.5,
        "agreement": True,
        "difference": 0.0,
        "comparator": "score:0.05",
        "primary_latency_ms": 10.0,
        "shadow_latency_ms": 20.0,
        "latency_basis": "single",
        "replay_lag_ms": 100.0,
        "landed_partition": 0,
        "landed_offset": n,
        "model": "ranker",
        "date": moment.date(),
        **changes,
    }


def error(n: int, **changes: Any) -> Row:
    """The error of the n-th request: a KeyError of the shadow."""
    moment = changes.get("event_time", NOON + timedelta(seconds=n)) or NOON
    return {
        "request_id": f"r{n}",
        "event_time": moment,
        "model_version": "1",
        "shadow": "challenger",
        "shadow_version": "2",
        "run": "live",
        "source_topic": "production-requests",
        "source_partition": n % 4,
        "source_offset": n // 4,
        "stage": "predict",
        "error_type": "KeyError",
        "message": "'history'",
        "attempts": 1,
        "failed_at": moment + timedelta(seconds=1),
        "segments": [],
        "landed_partition": 0,
        "landed_offset": n,
        "model": "ranker",
        "date": moment.date(),
        **changes,
    }


def hook(producer: str, **changes: Any) -> Row:
    """A hook's ledger entry."""
    return {
        "producer_id": producer,
        "role": "hook",
        "model_version": "1",
        "started_at": NOON,
        "recorded_at": NOON + timedelta(hours=1),
        "observed": 0,
        "primary_failed": 0,
        "sampled_out": 0,
        "published": 0,
        "dropped": [],
        "delivered": 0,
        "failed": 0,
        "final": True,
        "landed_partition": 0,
        "landed_offset": 0,
        "model": "ranker",
        "date": NOON.date(),
        **changes,
    }


def land(
    lake: Path,
    comparisons: Sequence[Row] = (),
    errors: Sequence[Row] = (),
    ledger: Sequence[Row] = (),
) -> Path:
    """Append the rows to the lake's tables, one commit for each table."""
    for spec, rows in ((COMPARISONS, comparisons), (ERRORS, errors), (LEDGER, ledger)):
        if rows:
            append(lake, spec, pa.Table.from_pylist([*rows], schema=spec.schema))
    return lake


def append(lake: Path, spec: TableSpec, table: pa.Table) -> None:
    """Append columns to one of the lake's tables."""
    write_deltalake(str(lake / spec.name), table, partition_by=[*spec.partition_by], mode="append")


def files(lake: Path, table: str) -> list[Path]:
    """The table's data files."""
    return sorted((lake / table).rglob("*.parquet"))
