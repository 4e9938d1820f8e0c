"""What it costs that the model has a process of its own: CPU a request, time and memory of a start.

The same batches of 2,000 requests of 20 features go to a model that does next to nothing, in the worker's
process and in one of its own; both processes' CPU counts. No Kafka is needed.

    python benchmarks/isolation.py [--rounds 60]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Literal

import pyarrow as pa

from shadowlane.replay_worker import FeatureBatch, Isolation, ModelSource
from shadowlane.replay_worker.isolation import ModelHost, open_host
from shadowlane.schemas import ProductionRequest
from shadowlane.schemas.columns import arrow_schema

ROWS, FEATURES = 2_000, 20
MODEL = """
def one(features):
    return 0.5

class Together:
    def predict(self, batch):
        return batch.matrix([f"f{index}" for index in range(20)])[:, 0]
"""


def requests() -> pa.StructArray:
    """A batch's features."""
    other: dict[str, list[object]] = {
        kind: [] for kind in ("integers", "flags", "strings", "vectors", "json", "missing")
    }
    rows = [
        {"numbers": [(f"f{index}", float(row * index)) for index in range(FEATURES)], **other}
        for row in range(ROWS)
    ]
    return pa.array(rows, arrow_schema(ProductionRequest).field("features").type)


def child() -> int | None:
    """The model's process."""
    pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return int(pids[0]) if pids else None


def cpu() -> float:
    """Of this process and the model's, in seconds."""
    pid = child()
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat") if pid else ()
    return time.process_time() + sum(int(each.read_text().split()[0]) for each in threads) / 1e9


@contextmanager
def opened(kind: Literal["process", "none"], model: str, *, batch: bool) -> Iterator[ModelHost]:
    """A model there."""
    source = ModelSource(f"python:isolation_bench_model:{model}")
    host = open_host(source, Isolation(kind), batch=batch, wait=time.sleep)
    try:
        yield host
    finally:
        host.close()


def micros(host: ModelHost, features: pa.StructArray, rounds: int) -> float:
    """CPU a request, in microseconds: the median batch."""
    figures = []
    for _ in range(rounds + 5):
        before = cpu()
        answered = host.run(FeatureBatch(features), lambda: False)
        figures.append((cpu() - before) / ROWS * 1e6)
        assert answered.done == ROWS  # noqa: S101 - a benchmark of what works
    return median(figures[5:])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    features = requests()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "isolation_bench_model.py").write_text(MODEL)
        sys.path.insert(0, folder)
        for name, model, batch in (("--batch", "Together", True), ("a request at a time", "one", False)):
            figures = {}
            for kind in ("none", "process"):
                with opened(kind, model, batch=batch) as host:
                    figures[kind] = micros(host, features, rounds)
            more = figures["process"] - figures["none"]
            print(
                f"{name:20} none {figures['none']:5.2f}   process {figures['process']:5.2f}   "
                f"isolation adds {more:5.2f} µs CPU a request"
            )
        started = time.perf_counter()
        with opened("process", "one", batch=False):
            seconds, status = time.perf_counter() - started, Path(f"/proc/{child()}/status").read_text()
        peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
        print(f"{'a start':20} {seconds:.2f} s, {int(peak) / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
