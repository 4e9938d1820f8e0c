"""Lakes for the tests of reading, written as the aggregator writes them, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from shadowlane.lake import COMPARISONS, LakeTable, OpenLake, TableSpec, open_lake
from unit.aggregator.report_lake import Row

_LOAD = """
CREATE OR REPLACE TEMP TABLE seen AS
SELECT request_id FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
WHERE ($start::TIMESTAMPTZ IS NULL OR {time} >= $start::TIMESTAMPTZ)
  AND ($end::TIMESTAMPTZ IS NULL OR {time} < $end::TIMESTAMPTZ)
"""


@dataclass(frozen=True)
class Window:
    """What of a lake is read."""

    model: str | None = None
    start: datetime | None = None
    end: datetime | None = None


def write(lake: Path, *commits: Sequence[Row], spec: TableSpec = COMPARISONS) -> Path:
    """Land rows, a commit each; the table's folder."""
    table = LakeTable(lake, spec)
    position = table.resume("topic-0") or 0
    for rows in commits:
        position += len(rows)
        table.append(pa.Table.from_pylist([*rows], schema=spec.schema), {"topic-0": position})
    return lake / spec.name


def seen(
    tables: OpenLake, window: Window, spec: TableSpec = COMPARISONS, time: str = "event_time"
) -> list[str]:
    """The requests of a window."""
    values = {"start": window.start, "end": window.end}
    tables.load(spec.name, _LOAD.format(time=time), values)
    return sorted(request for (request,) in tables.rows("FROM seen"))


def read(
    lake: Path, window: Window = Window(), spec: TableSpec = COMPARISONS, time: str = "event_time"
) -> list[str]:
    """The requests of a window, of a lake as it is now."""
    with open_lake(lake, window, [spec]) as tables:
        return seen(tables, window, spec, time)
