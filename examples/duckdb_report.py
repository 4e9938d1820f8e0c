"""The lake's figures with DuckDB alone: neither shadowlane nor a Delta library is needed.

pip install duckdb
python examples/duckdb_report.py ./lake fraud boosted --by country
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb

QUERY = Path(__file__).with_name("lake_report.sql")
# Files from before a column was added do not have it; and a model called 7 is no number.
COMPARISONS = """
CREATE TEMP TABLE comparisons AS
SELECT request_id, event_time, source_topic, source_partition, source_offset, landed_partition, landed_offset,
  agreement, comparator, latency_basis, primary_latency_ms, shadow_latency_ms, segments[$by] AS cohort
FROM read_parquet($files, union_by_name = true, hive_partitioning = true,
  hive_types = {'model': VARCHAR, 'date': DATE})
WHERE model = $model AND shadow = $shadow AND run = $run
"""


def listed(table: Path) -> list[str]:
    """The files of a table's newest version: those of its last checkpoint, and what commits changed since."""
    log = table / "_delta_log"
    last = log / "_last_checkpoint"
    start, paths = -1, set()
    if last.exists():
        start = json.loads(last.read_text())["version"]
        adds = "SELECT add.path FROM read_parquet($file) WHERE add IS NOT NULL"
        checkpoint = str(log / f"{start:020d}.checkpoint.parquet")
        paths = {path for (path,) in duckdb.execute(adds, {"file": checkpoint}).fetchall()}
    for commit in sorted(log.glob("*.json")):
        if int(commit.stem) > start:
            for action in map(json.loads, commit.read_text().splitlines()):
                paths -= {action["remove"]["path"]} if "remove" in action else set()
                paths |= {action["add"]["path"]} if "add" in action else set()
    return [str(table / unquote(path)) for path in sorted(paths)]


def report(lake: Path, model: str, shadow: str, run: str, by: str) -> list[dict[str, Any]]:
    """A row for all comparisons of a model, a shadow and a run, and one for each value of a segment."""
    scope = {"model": model, "shadow": shadow, "run": run, "by": by}
    with duckdb.connect() as connection:
        connection.execute(COMPARISONS, {"files": listed(lake / "comparisons"), **scope})
        found = connection.execute(QUERY.read_text())
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Agreement and latencies, by a segment.")
    parser.add_argument("lake", type=Path)
    parser.add_argument("model")
    parser.add_argument("shadow")
    parser.add_argument("--run", default="live")
    parser.add_argument("--by", default="country", help="the segment's name")
    chosen = parser.parse_args()
    if not listed(chosen.lake / "comparisons"):
        parser.error(f"nothing has landed in {chosen.lake / 'comparisons'}")
    for row in report(**vars(chosen)):
        print(json.dumps(row))
