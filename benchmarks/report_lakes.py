"""Lakes of plausible comparisons for the benchmarks of what reads them: as compaction leaves them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shadowlane.lake import COMPARISONS, LakeTable

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 14
_DAY = 86_400 * 1_000_000
_CHUNK = 500_000
_COUNTRIES = ["DE", "BR", "US", "FR", "IN", "JP", "GB", "IT"]
_DEVICES = ["ios", "android", "web"]
_TIERS = ["gold", "silver", "none", "new"]


def fill(lake: Path, rows: int, *, repeated: int = 0, seed: int = 0) -> None:
    """Land so many comparisons of a model `fraud` and a shadow `boosting-2`, over two weeks.

    Args:
        lake: Where.
        rows: How many.
        repeated: Of these, how many are of a request that was sent again by a client.
        seed: Other numbers for each.
    """
    random, table = np.random.default_rng(seed), LakeTable(lake, COMPARISONS)
    for first in range(0, rows, _CHUNK):
        count = min(_CHUNK, rows - first)
        chunk = _comparisons(random, first, count, rows, repeated * count // rows)
        table.append(chunk, {"shadow-comparisons-0": first + count})


def _comparisons(random: np.random.Generator, first: int, count: int, rows: int, repeated: int) -> pa.Table:
    primary = random.beta(2, 5, count)
    shadow = np.clip(primary + random.normal(0, 0.02, count), 0, 1)
    moved = random.random(count) < 0.05
    shadow[moved] = random.random(int(moved.sum()))
    numbers = np.arange(first, first + count)
    times = int(START.timestamp() * 1e6) + numbers * (DAYS * _DAY) // rows
    ids = np.frombuffer(random.bytes(16 * count).hex().encode(), dtype="S32").astype("U32")
    ids[count - repeated :] = ids[:repeated]
    given: dict[str, Any] = {
        "request_id": ids,
        "event_time": pa.array(times, pa.timestamp("us", tz="UTC")),
        "model_version": _same("7", count),
        "shadow": _same("boosting-2", count),
        "shadow_version": _same("1", count),
        "run": _same("live", count),
        "entity_id": np.char.add("user-", random.integers(0, rows // 20 + 1, count).astype("U9")),
        "source_topic": _same("production-requests", count),
        "source_partition": random.integers(0, 12, count),
        "source_offset": numbers,
        "segments": _segments(random, count),
        "primary_score": primary,
        "shadow_score": shadow,
        "primary_source": _same("observed", count),
        "agreement": np.abs(shadow - primary) <= 0.05,
        "difference": shadow - primary,
        "comparator": _same("score:0.05", count),
        "primary_latency_ms": random.lognormal(2, 0.5, count).round(3),
        "shadow_latency_ms": random.lognormal(2.3, 0.6, count).round(3),
        "latency_basis": _same("single", count),
        "shadow_cpu_ms": random.lognormal(2, 0.3, count).round(3),
        "shadow_memory_mb": np.full(count, 312.5),
        "replay_lag_ms": random.lognormal(6, 1, count).round(1),
        "worker_id": _same("worker-1", count),
        "sampling_rate": np.ones(count),
        "landed_partition": np.zeros(count, np.int32),
        "landed_offset": numbers,
        "model": _same("fraud", count),
        "date": pa.array((times // _DAY).astype(np.int32)).cast(pa.date32()),
    }
    columns = [_column(given.get(field.name), field.type, count) for field in COMPARISONS.schema]
    return pa.Table.from_arrays(columns, schema=COMPARISONS.schema)


def _column(values: Any, kind: pa.DataType, count: int) -> pa.Array:
    return pa.nulls(count, kind) if values is None else pa.array(values).cast(kind)


def _same(value: str, count: int) -> pa.Array:
    return pa.repeat(value, count)


def _segments(random: np.random.Generator, count: int) -> pa.Array:
    values = np.empty(3 * count, object)
    values[0::3] = _picked(random, _COUNTRIES, count, [0.3, 0.1, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05])
    values[1::3] = _picked(random, _DEVICES, count)
    values[2::3] = _picked(random, _TIERS, count)
    offsets = np.arange(0, 3 * count + 1, 3, dtype=np.int32)
    return pa.MapArray.from_arrays(offsets, pa.array(["country", "device", "tier"] * count), pa.array(values))


def _picked(
    random: np.random.Generator, names: list[str], count: int, shares: list[float] | None = None
) -> NDArray[Any]:
    return np.array(names, object)[random.choice(len(names), count, p=shares)]
