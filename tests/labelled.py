"""Files of labels, and the rows that became of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable

from shadowlane.aggregator.labels import Imported, ImportPlan, LabelMapping, import_labels

HEADER = "request_id,label,observed_at\n"
TIME = "2026-03-01T12:00:00Z"


def written(path: Path, content: str | bytes) -> Path:
    """A file with this in it."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def csv_of(path: Path, *labels: str, time: str = TIME) -> Path:
    """A CSV file with these labels, of r0, r1, … ."""
    rows = [f"r{number},{label},{time}\n" for number, label in enumerate(labels)]
    return written(path, HEADER + "".join(rows))


def imported(file: Path, lake: Path, *, plan: dict[str, Any] | None = None, **mapping: Any) -> Imported:
    """What importing it says; of the model fraud, where nothing else is said."""
    if not {"model", "model_column"} & mapping.keys():
        mapping["model"] = "fraud"
    return import_labels(ImportPlan(str(file), lake, LabelMapping(**mapping), **(plan or {})))


def landed(lake: Path, columns: str = "request_id, label_score, label_label") -> list[tuple[Any, ...]]:
    """Columns of the labels in the lake, in the order in which they landed."""
    files = DeltaTable(str(lake / "labels")).file_uris()
    if not files:
        return []
    query = (
        f"SELECT {columns} FROM read_parquet($files, hive_partitioning = true) "  # noqa: S608
        "ORDER BY landed_partition DESC, landed_offset"
    )
    return duckdb.execute(query, {"files": files}).fetchall()
