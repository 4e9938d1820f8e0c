"""What a report and a gate cost: seconds, as ratios to one scan of the same files.

The scan is one query of DuckDB over the files of the comparisons: count, agreement, and the exact p50, p95
and p99 of both models. The report has all sections but rules; the gate has the default policy. Each runs in
a process of its own, in turn with the scan, and is timed from the opened library to the figures; what
making sure that no file was altered takes (hashing each) is in it. Memory is the most that the process took.

With --peer, a drift report of Evidently (in an environment of its own) over a million rows of scores and
latencies is set beside ours, by CPU a row.

    python benchmarks/report.py [--rows 10000000] [--rounds 3] [--repeated 10000] [--lake FOLDER] [--peer]
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
import report_lakes

from shadowlane.aggregator import SECTIONS, Policy, Scope, needed_sections, read_report
from shadowlane.lake import COMPARISONS, HeldTable

SCOPE = Scope("fraud", "boosting-2")
CACHE = Path(__file__).parents[1] / ".cache"
PEER = """
import sys, time, duckdb, pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
files = sys.argv[1:]
rows = duckdb.execute(
    "SELECT primary_score, shadow_score, primary_latency_ms, shadow_latency_ms FROM read_parquet($files) "
    "LIMIT 1000000", {"files": files}).df()
primary = rows[["primary_score", "primary_latency_ms"]].set_axis(["score", "latency"], axis=1)
shadow = rows[["shadow_score", "shadow_latency_ms"]].set_axis(["score", "latency"], axis=1)
began = time.process_time()
Report([DataDriftPreset()]).run(shadow, primary)
print((time.process_time() - began) / len(rows) * 1e6)
"""


def files(lake: Path) -> list[str]:
    """The comparisons' files."""
    held = HeldTable(lake, COMPARISONS)
    return [str(lake / "comparisons" / each.path) for each in held.files]


def scan(lake: Path) -> None:
    """One pass over what everyone wants to know."""
    duckdb.connect(":memory:").execute(
        "SELECT count(*), avg(agreement::INTEGER), quantile_cont(primary_latency_ms, [0.5, 0.95, 0.99]), "
        "quantile_cont(shadow_latency_ms, [0.5, 0.95, 0.99]) FROM read_parquet($files)",
        {"files": files(lake)},
    ).fetchall()


def report(lake: Path) -> None:
    """All sections but the rules."""
    read_report(lake, SCOPE, sections=SECTIONS - {"rules"})


def gate(lake: Path) -> None:
    """What the default policy needs."""
    read_report(lake, SCOPE, sections=needed_sections(Policy()))


WORK: dict[str, Callable[[Path], None]] = {"scan": scan, "report": report, "gate": gate}


def measure(name: str, lake: Path) -> dict[str, float]:
    """Seconds, CPU seconds and memory of one of them, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--only", name, "--lake", str(lake)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def only(name: str, lake: Path) -> None:
    """In such a process: the second run counts, when everything is loaded and the files are in memory."""
    scan(lake)
    before, began = time.process_time(), time.perf_counter()
    WORK[name](lake)
    taken = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - before}
    print(json.dumps(taken | {"mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def peer() -> Path:
    """The Python of an environment with Evidently; made at the first use."""
    there = CACHE / "evidently"
    if not (there / "made").is_file():
        subprocess.run([sys.executable, "-m", "venv", "--clear", there], check=True)
        subprocess.run(
            [there / "bin" / "pip", "install", "--quiet", "evidently>=0.7", "duckdb>=1.4", "pandas<3"],
            check=True,
        )
        (there / "made").touch()
    return there / "bin" / "python"


def beside_peer(folder: Path) -> None:
    """CPU a row of a whole report of ours, and of a drift report of theirs, over a million rows."""
    lake = folder / "million"
    report_lakes.fill(lake, 1_000_000)
    theirs = subprocess.run(
        [peer(), "-W", "ignore", "-c", PEER, *files(lake)], capture_output=True, text=True, check=True
    )
    micros = float(theirs.stdout.split()[-1])
    ours = measure("report", lake)["cpu"]
    print(f"CPU a row over 1,000,000: ours {ours:.2f} µs, a drift report of Evidently {micros:.2f} µs, "
          f"{micros / ours:.1f} times as much")  # fmt: skip


def main() -> None:
    """Print the medians of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeated", type=int, default=0, help="requests that a client sent again")
    parser.add_argument("--lake", type=Path, help="a lake that was made before")
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--only", choices=WORK, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        only(asked.only, asked.lake)
        return
    with tempfile.TemporaryDirectory() as folder:
        lake = asked.lake or Path(folder) / "lake"
        if asked.lake is None:
            report_lakes.fill(lake, asked.rows, repeated=asked.repeated)
        rounds: list[dict[str, Any]] = [
            {name: measure(name, lake) for name in WORK} for _ in range(asked.rounds)
        ]
        seconds = statistics.median(each["scan"]["seconds"] for each in rounds)
        print(f"scan of {asked.rows:,} comparisons: {seconds:.2f} s")
        for name in ("report", "gate"):
            ratio = statistics.median(each[name]["seconds"] / each["scan"]["seconds"] for each in rounds)
            cpu = statistics.median(each[name]["cpu"] / each["scan"]["cpu"] for each in rounds)
            memory = max(each[name]["mb"] for each in rounds)
            print(f"{name}: {ratio:.2f} scans ({cpu:.2f} by CPU), {memory:,.0f} MB")
        if asked.peer:
            beside_peer(Path(folder))


if __name__ == "__main__":
    main()
