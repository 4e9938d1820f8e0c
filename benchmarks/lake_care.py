"""What compaction gains: a lake of thousands of small commits, opened and reported on before and after.

Each commit is one that an aggregator makes, of a few comparisons and its position. As each of its commits
takes longer the more files are listed, here they are written to the log as they stand there, all but the
first and the last few, which are timed. Then the same lake is compacted, and opened and reported on again.
Memory is the most that the compaction, a process of its own, ever took.

    python benchmarks/lake_care.py [--commits 10000] [--rows 50] [--days 2]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable

from shadowlane.aggregator import Scope, read_report
from shadowlane.lake import COMPARISONS, LakeTable, open_lake
from shadowlane.lake._parts import Part, cut
from shadowlane.lake._store import FolderStore
from shadowlane.lake.care import CompactionPlan, compact

START = datetime(2026, 3, 1, tzinfo=UTC)
SCOPE = Scope("fraud", "boosting-2")
RANDOM = np.random.default_rng(0)
APP = "shadow-comparisons-0"


def comparisons(first: int, count: int, seconds: float) -> pa.Table:
    """So many comparisons from a number on, each so long after the one before."""
    numbers = np.arange(first, first + count)
    times = [START + timedelta(seconds=seconds * int(number)) for number in numbers]
    scores = RANDOM.random(count)
    given = {
        "request_id": [f"{number:032x}" for number in numbers],
        "event_time": times,
        "model_version": ["7"] * count,
        "shadow": ["boosting-2"] * count,
        "run": ["live"] * count,
        "source_topic": ["production-requests"] * count,
        "source_partition": [0] * count,
        "source_offset": numbers,
        "segments": [[("country", "DE")]] * count,
        "primary_score": scores,
        "shadow_score": scores + 0.01,
        "agreement": [True] * count,
        "difference": [0.01] * count,
        "primary_latency_ms": RANDOM.random(count) * 10,
        "shadow_latency_ms": RANDOM.random(count) * 10,
        "latency_basis": ["single"] * count,
        "landed_partition": [0] * count,
        "landed_offset": numbers,
        "model": ["fraud"] * count,
        "date": [moment.date() for moment in times],
    }
    columns = [pa.array(given.get(each.name, [None] * count), each.type) for each in COMPARISONS.schema]
    return pa.Table.from_arrays(columns, schema=COMPARISONS.schema)


def fill(lake: Path, commits: int, rows: int, days: int) -> None:
    """Make it as so many commits leave it, with a checkpoint a hundred commits before the end."""
    seconds = days * 86_400 / (commits * rows)
    log = lake / "comparisons" / "_delta_log"
    land(lake, comparisons(0, rows, seconds))
    like = [json.loads(line) for line in (log / f"{1:020d}.json").read_text().splitlines()]
    store = FolderStore(lake / "comparisons")
    for number in range(1, commits):
        parts = list(cut(comparisons(number * rows, rows, seconds), COMPARISONS))
        for part in parts:
            store.put(part.path, part.data)
        actions = [each for each in like if not each.keys() & {"add", "txn"}]
        actions += [{"add": _add(part)} for part in parts]
        actions += [{"txn": {"appId": APP, "version": (number + 1) * rows}}]
        entry = "".join(json.dumps(each) + "\n" for each in actions)
        (log / f"{number + 1:020d}.json").write_text(entry, encoding="utf-8")
        if number == commits - 100:
            DeltaTable(str(lake / "comparisons")).create_checkpoint()


def _add(part: Part) -> dict[str, Any]:
    return {
        "path": part.path,
        "size": len(part.data),
        "partitionValues": dict(part.partition),
        "modificationTime": time.time_ns() // 1_000_000,
        "dataChange": True,
        "stats": part.stats,
    }


def land(lake: Path, rows: pa.Table) -> None:
    """Commit as an aggregator does."""
    table = LakeTable(lake, COMPARISONS)
    table.append(rows, {APP: (table.resume(APP) or 0) + rows.num_rows})


def commit(lake: Path) -> float:
    """The seconds that a commit of an aggregator takes that is at work."""
    table = LakeTable(lake, COMPARISONS)
    position = table.resume(APP) or 0
    start = time.perf_counter()
    table.move({APP: position})
    return time.perf_counter() - start


def opened(lake: Path) -> None:
    """As each report opens it."""
    with open_lake(lake, SCOPE, [COMPARISONS]):
        pass


def best(what: Callable[[], object], rounds: int = 3) -> float:
    """The shortest of some tries, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        what()
        times.append(time.perf_counter() - start)
    return min(times)


def state(name: str, lake: Path) -> None:
    """Print how the lake stands."""
    uri = str(lake / "comparisons")
    table = DeltaTable(uri)
    size = sum(pa.table(table.get_add_actions()).column("size_bytes").to_pylist())
    entries = list((lake / "comparisons" / "_delta_log").iterdir())
    logged = sum(each.stat().st_size for each in entries)
    read_log, read_all = best(lambda: DeltaTable(uri)), best(lambda: opened(lake))
    reported = best(lambda: read_report(lake, SCOPE), 1)
    committed = min(commit(lake) for _ in range(3))
    print(
        f"{name:>16}: {len(table.file_uris()):>6,} files {size / 1e6:>7.1f} MB "
        f"({size / table.count():.0f} bytes a comparison); log {len(entries):,} entries "
        f"{logged / 1e6:.1f} MB; log read {read_log:.2f} s, lake opened {read_all:.2f} s, "
        f"report {reported:.2f} s, commit {committed * 1e3:.0f} ms",
        flush=True,
    )


def compacted(lake: Path) -> str:
    """What compaction takes in a process of its own."""
    start, cpu = time.perf_counter(), time.process_time()
    (done,) = compact(CompactionPlan(lake))
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    # Not getrusage: what that counts as the most begins with the parent's.
    (most,) = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    memory = int(most.split()[1]) / 1024
    files = f"{done.joined:,} files into {done.into}"
    return f"{'compaction':>16}: {files}, {took:.1f} s, {cpu:.1f} s of CPU, {memory:.0f} MB of memory at most"


def main() -> None:
    """Fill, look, compact, look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--commits", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=50)
    parser.add_argument("--days", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(folder, "lake")
        fill(lake, given.commits, given.rows, given.days)
        state("before", lake)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            print(alone.submit(compacted, lake).result(), flush=True)
        state("after", lake)
        again = best(lambda: compact(CompactionPlan(lake)), 1)
        print(f"{'again':>16}: nothing left to join, {again:.2f} s")


if __name__ == "__main__":
    main()
