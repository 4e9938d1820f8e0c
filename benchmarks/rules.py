"""What rules for disagreements cost, beside one scan of the same files.

A lake of comparisons with 3 segments each, and 20 features: with each comparison, or, as a worker does by
default, with disagreements alone. One request in fifty disagrees for no reason, and most of those from
Brazil with an amount over 500. The scan counts, and reads the agreement rate and the exact p50, p95 and p99
of both models. Each is run five times; the best counts.

    python benchmarks/rules.py [--rows 1000000] [--keep all|disagreements]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from shadowlane.aggregator import Scope
from shadowlane.aggregator.report._load import load
from shadowlane.aggregator.report._shared import disagreement_rules
from shadowlane.lake import COMPARISONS, ERRORS, LEDGER, REQUESTS, OpenLake, read_lake

START = datetime(2026, 3, 1, tzinfo=UTC)
SCOPE = Scope("fraud", "boosting-2")
RANDOM = np.random.default_rng(0)
FEATURES = COMPARISONS.schema.field("features").type
FLOATS, WHOLES, WORDS = 14, 3, 3
PLANS = ("free", "basic", "plus", "pro", "team")
SCAN = """
SELECT count(*), avg(agreement::INT), quantile_cont(primary_latency_ms, [.5, .95, .99]),
  quantile_cont(shadow_latency_ms, [.5, .95, .99])
FROM read_parquet($files)
"""


def make(lake: Path, rows: int, keep: str = "all", step: int = 100_000) -> None:
    """So many comparisons, and among them one reason to disagree."""
    for first in range(0, rows, step):
        table = comparisons(first, min(step, rows - first), keep)
        write_deltalake(
            str(lake / COMPARISONS.name), table, partition_by=[*COMPARISONS.partition_by], mode="append"
        )


def comparisons(first: int, count: int, keep: str) -> pa.Table:
    """So many comparisons from a number on."""
    numbers = np.arange(first, first + count)
    country = RANDOM.choice(["DE", "FR", "BR", "US", "IN"], count, p=[0.3, 0.2, 0.1, 0.3, 0.1])
    amount = RANDOM.lognormal(5.5, 1, count)
    is_apart = RANDOM.random(count) < np.where((country == "BR") & (amount > 500), 0.8, 0.02)
    scores = RANDOM.random(count)
    given: dict[str, Any] = {
        "request_id": [f"{number:032x}" for number in numbers],
        "event_time": pa.array(numbers * 80_000 + int(START.timestamp() * 1e6), pa.timestamp("us", "UTC")),
        "model_version": ["7"] * count,
        "shadow": ["boosting-2"] * count,
        "run": ["live"] * count,
        "source_topic": ["production-requests"] * count,
        "source_partition": numbers % 8,
        "source_offset": numbers // 8,
        "segments": maps(
            pa.map_(pa.string(), pa.string()),
            {
                "country": country,
                "device": RANDOM.choice(["phone", "desk"], count),
                "plan": RANDOM.choice(PLANS, count),
            },
        ),
        "features": features(amount, is_apart | (keep == "all")),
        "primary_score": scores,
        "shadow_score": scores + np.where(is_apart, 0.3, 0.01),
        "agreement": ~is_apart,
        "difference": np.where(is_apart, 0.3, 0.01),
        "comparator": ["score:0.05"] * count,
        "primary_latency_ms": RANDOM.lognormal(2, 0.5, count),
        "shadow_latency_ms": RANDOM.lognormal(2.2, 0.5, count),
        "latency_basis": ["single"] * count,
        "replay_lag_ms": RANDOM.random(count) * 100,
        "landed_partition": numbers % 8,
        "landed_offset": numbers // 8,
        "model": ["fraud"] * count,
        "date": [START.date()] * count,
    }
    columns = [pa.array(given.get(each.name, [None] * count), each.type) for each in COMPARISONS.schema]
    return pa.Table.from_arrays(columns, schema=COMPARISONS.schema)


def features(amount: np.ndarray[Any, Any], is_kept: np.ndarray[Any, Any]) -> pa.StructArray:
    """Twenty features of each request whose are kept; the amount is one of them."""
    count = len(amount)
    named: dict[str, dict[str, Any]] = {
        "numbers": {"amount": amount, **{f"x{n}": RANDOM.normal(size=count) for n in range(FLOATS - 1)}},
        "integers": {f"n{n}": RANDOM.integers(0, 1000, count) for n in range(WHOLES)},
        "strings": {f"s{n}": RANDOM.choice(PLANS, count) for n in range(WORDS)},
    }
    nothing = pa.array(np.zeros(count + 1, np.int32))
    parts = []
    for field in FEATURES:
        if field.name == "missing":
            parts.append(pa.ListArray.from_arrays(nothing, pa.array([], pa.string())))
        elif field.name in named:
            parts.append(maps(field.type, named[field.name]))
        else:
            kind = field.type
            parts.append(
                pa.MapArray.from_arrays(
                    nothing, pa.array([], pa.string()), pa.array([], kind.item_type), kind
                )
            )
    whole = pa.StructArray.from_arrays(parts, fields=list(FEATURES))
    return pc.if_else(pa.array(is_kept), whole, pa.nulls(count, FEATURES)) if not is_kept.all() else whole


def maps(kind: pa.MapType, columns: dict[str, Any]) -> pa.MapArray:
    """A map for each row, of these columns."""
    names, rows = list(columns), len(next(iter(columns.values())))
    offsets = np.arange(rows + 1, dtype=np.int32) * len(names)
    items = np.stack([*columns.values()], axis=1).reshape(-1)
    return pa.MapArray.from_arrays(offsets, pa.array(names * rows), pa.array(items, kind.item_type), kind)


def best(work: Callable[[], object], times: int = 5) -> float:
    """The seconds of the quickest of some runs."""
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def main() -> None:
    """Make the lake, scan it, find the rules."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--keep", choices=["all", "disagreements"], default="all")
    given = arguments.parse_args()
    rows = given.rows
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(folder)
        make(lake, rows, given.keep)
        files = DeltaTable(str(lake / COMPARISONS.name)).file_uris()
        with duckdb.connect() as connection:
            scan = best(lambda: connection.execute(SCAN, {"files": files}).fetchall())
        tables = (COMPARISONS, ERRORS, LEDGER, REQUESTS)
        read_lake(lake, SCOPE, tables, lambda opened: measure(opened, given, scan))


def measure(opened: OpenLake, given: argparse.Namespace, scan: float) -> None:
    """Time the rules on what is loaded, and print them."""
    load(opened, SCOPE)
    found = disagreement_rules(opened)
    seconds = best(lambda: disagreement_rules(opened))
    print(f"{given.rows:,} comparisons with 3 segments each, 20 features with {given.keep}")
    print(f"one scan   {scan:7.3f} s")
    print(f"the rules  {seconds:7.3f} s, {seconds / scan:.1f} scans (at most 10 are promised)")
    for rule in found.rules:
        print(f"  {rule.text}: {rule.hits:,} of {rule.requests:,}, {rule.share:.1%} of the disagreements")


if __name__ == "__main__":
    main()
