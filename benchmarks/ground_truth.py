"""What labels add to a report: CPU seconds, as ratios to one scan of the comparisons.

The scan is that of `report.py`: count, agreement, and the exact p50, p95 and p99 of both models. The labels
are of requests here and there among the comparisons, observed up to some weeks later. Each runs in a process
of its own, in turn with the scan; what is told is the report of totals, segments and ground truth less that
of totals and segments.

    python benchmarks/ground_truth.py [--rows 10000000] [--labels 100000] [--rounds 3] [--lake FOLDER]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import report_lakes
from report import SCOPE, files, scan

from shadowlane.aggregator import read_report
from shadowlane.lake import LABELS, LakeTable

_BESIDES = frozenset({"totals", "segments"})
_SOME = """
SELECT request_id, epoch_us(event_time) AS made, primary_score AS chance
FROM read_parquet($files, hive_partitioning = false) ORDER BY hash(request_id) LIMIT $labels
"""


def without(lake: Path) -> None:
    """A report that does not ask for labels."""
    read_report(lake, SCOPE, sections=_BESIDES)


def with_labels(lake: Path) -> None:
    """The same with ground truth."""
    read_report(lake, SCOPE, sections=_BESIDES | {"truth"})


WORK: dict[str, Callable[[Path], None]] = {"scan": scan, "without": without, "with": with_labels}


def fill(lake: Path, labels: int) -> None:
    """Land so many outcomes of 0 or 1, as likely as the primary says."""
    random = np.random.default_rng(1)
    found: Any = duckdb.sql(_SOME, params={"files": files(lake), "labels": labels})
    some = found.to_arrow_table()
    late = random.exponential(4 * 86_400e6, labels).astype(np.int64)
    observed = pa.array(some["made"].to_numpy() + late, pa.timestamp("us", tz="UTC"))
    given = {
        "request_id": some["request_id"].combine_chunks(),
        "name": pa.repeat("label", labels),
        "label_label": pa.array(np.where(random.random(labels) < some["chance"].to_numpy(), "1", "0")),
        "observed_at": observed,
        "landed_partition": pa.repeat(0, labels),
        "landed_offset": pa.array(np.arange(labels)),
        "model": pa.repeat("fraud", labels),
        "date": pc.cast(observed, pa.date32()),
    }
    columns = [
        given[field.name].cast(field.type) if field.name in given else pa.nulls(labels, field.type)
        for field in LABELS.schema
    ]
    table = pa.Table.from_arrays(columns, schema=LABELS.schema)
    LakeTable(lake, LABELS).append(table, {"production-labels-0": labels})


def measure(name: str, lake: Path) -> dict[str, float]:
    """CPU seconds and memory of one of them, in a process of its own."""
    asked = [sys.executable, __file__, "--only", name, "--lake", str(lake)]
    found: dict[str, float] = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)
    return found


def only(name: str, lake: Path) -> None:
    """In such a process: the second run counts, when everything is loaded and the files are in memory."""
    scan(lake)
    before = time.process_time()
    WORK[name](lake)
    taken = {"cpu": time.process_time() - before}
    print(json.dumps(taken | {"mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def main() -> None:
    """Print the median of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--labels", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lake", type=Path, help="a lake that was made before, labels and all")
    parser.add_argument("--only", choices=WORK, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        only(asked.only, asked.lake)
        return
    with tempfile.TemporaryDirectory() as folder:
        lake = asked.lake or Path(folder) / "lake"
        if asked.lake is None:
            report_lakes.fill(lake, asked.rows)
            fill(lake, asked.labels)
        rounds = [{name: measure(name, lake) for name in WORK} for _ in range(asked.rounds)]
    scanned = statistics.median(each["scan"]["cpu"] for each in rounds)
    added = statistics.median(
        (each["with"]["cpu"] - each["without"]["cpu"]) / each["scan"]["cpu"] for each in rounds
    )
    memory = max(each["with"]["mb"] for each in rounds)
    print(f"scan: {scanned:.2f} s of CPU; ground truth adds {added:.2f} scans; {memory:,.0f} MB in all")


if __name__ == "__main__":
    main()
