"""Lakes with something to decide on, for the tests of decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shadowlane.aggregator.gate import Decision, Policy, judge, new_id, record
from shadowlane.aggregator.report._scope import Scope
from shadowlane.lake import COMPARISONS, LakeTable, TableSpec
from unit.aggregator.gate.gate_reports import NOW
from unit.aggregator.report_lake import Row, comparison, error

SCOPE = Scope("ranker", "challenger")
POLICY = Policy(min_requests=100)


def comparisons(count: int, first: int = 0, **changes: Any) -> list[Row]:
    """So many comparisons of 50 users in two countries, nine of ten agreeing."""
    random = np.random.default_rng(first)
    return [
        comparison(
            n,
            entity_id=None if n % 10 == 0 else f"u{random.integers(50)}",
            agreement=n % 20 != 0,
            primary_score=(n % 100) / 100,
            shadow_score=(n % 100 + n % 2) / 100,
            primary_latency_ms=float(random.gamma(2, 5)),
            shadow_latency_ms=float(random.gamma(2, 7)),
            shadow_cpu_ms=float(random.gamma(2, 1)),
            segments=[("country", "BR" if n % 3 else "DE")],
            **changes,
        )
        for n in range(first, first + count)
    ]


def land(lake: Path, rows: list[Row], spec: TableSpec = COMPARISONS) -> None:
    """Append rows as an aggregator does: in files that are named after their bytes."""
    table = LakeTable(lake, spec)
    position = table.resume("t-0") or 0
    table.append(pa.Table.from_pylist(rows, schema=spec.schema), {"t-0": position + len(rows)})


def filled(lake: Path, count: int = 1_000) -> Path:
    """A lake that is promoted under `POLICY`: so many comparisons in two commits."""
    land(lake, comparisons(count // 2))
    land(lake, comparisons(count // 2, count // 2))
    return lake


def failing(count: int, first: int) -> list[Row]:
    """Errors of so many requests."""
    return [error(n, entity_id=f"u{n % 5}") for n in range(first, first + count)]


def decided(lake: Path, policy: Policy = POLICY, scope: Scope = SCOPE) -> Decision:
    """What the gate says of the lake, recorded."""
    return record(lake, judge(lake, scope, policy, NOW, id=new_id(NOW)))
