"""What importing a label costs, microseconds of CPU: python benchmarks/labels.py [rows].

Beside it, in the same run, the loop that one writes first: Python's csv module, a row at a time, and
the rows handed to deltalake. It checks less, and lands a row twice if it is run twice.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import write_deltalake

from shadowlane.aggregator.labels import ImportPlan, LabelMapping, import_labels
from shadowlane.lake import LABELS

DAYS, COMMIT = 10, 250_000


def write_files(folder: Path, rows: int) -> dict[str, Path]:
    """The same labels in each format."""
    labels = [
        (f"request-{n:09}", n % 2, f"2026-03-{1 + n * DAYS // rows:02}T12:00:{n % 60:02}Z")
        for n in range(rows)
    ]
    paths = {
        "csv": folder / "labels.csv",
        "jsonl": folder / "labels.jsonl",
        "parquet": folder / "labels.parquet",
    }
    with paths["csv"].open("w") as file:
        file.write("request_id,label,observed_at\n")
        file.writelines(f"{request},{label},{time}\n" for request, label, time in labels)
    with paths["jsonl"].open("w") as file:
        file.writelines(
            f'{{"request_id": "{request}", "label": {label}, "observed_at": "{time}"}}\n'
            for request, label, time in labels
        )
    requests, values, times = (pa.array(column) for column in zip(*labels, strict=True))
    moments = times.cast(pa.timestamp("us", "UTC"))
    pq.write_table(
        pa.table({"request_id": requests, "label": values, "observed_at": moments}), paths["parquet"]
    )
    return paths


def row_by_row(file: Path, lake: Path) -> None:
    """The loop without us."""

    def land() -> None:
        table = pa.Table.from_pylist(rows, schema=LABELS.schema)
        write_deltalake(str(lake / "labels"), table, partition_by=["model", "date"], mode="append")
        rows.clear()

    rows: list[dict[str, object]] = []
    with file.open(newline="") as source:
        for number, row in enumerate(csv.DictReader(source)):
            moment = datetime.fromisoformat(row["observed_at"])
            rows.append(
                {
                    "request_id": row["request_id"],
                    "name": "label",
                    "label_label": row["label"],
                    "observed_at": moment,
                    "source": "import",
                    "landed_partition": -1,
                    "landed_offset": number,
                    "model": "fraud",
                    "date": moment.date(),
                }
            )
            if len(rows) == COMMIT:
                land()
    if rows:
        land()


def ours(file: Path, lake: Path) -> None:
    """`shadowlane labels import`."""
    plan = ImportPlan(str(file), lake, LabelMapping(model="fraud"), commit_rows=COMMIT)
    assert import_labels(plan).already_there == 0  # noqa: S101 - else nothing was measured


def measured(work: Callable[[Path, Path], None], file: Path, rows: int) -> tuple[float, float]:
    """Microseconds of CPU and of the clock, a label."""
    with tempfile.TemporaryDirectory() as lake:
        cpu, clock = time.process_time(), time.perf_counter()
        work(file, Path(lake))
        return (time.process_time() - cpu) / rows * 1e6, (time.perf_counter() - clock) / rows * 1e6


def main(rows: int) -> None:
    """Print a line for each."""
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder), rows)
        base, clock = measured(row_by_row, files["csv"], rows)
        print(f"{rows:,} labels of {DAYS} days, µs a label")
        print(f"{'csv, a row at a time':24} {base:6.2f} CPU {clock:6.2f} elapsed")
        for name, file in files.items():
            cpu, clock = measured(ours, file, rows)
            less = f"{base / cpu:4.1f} times less CPU"
            print(f"{'import of ' + name:24} {cpu:6.2f} CPU {clock:6.2f} elapsed   {less}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
