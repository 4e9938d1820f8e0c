"""What `import shadowlane.producer` costs a service that starts, over confluent-kafka and fastavro.

Each run is a fresh interpreter; figures are medians. `python -X importtime` says where it goes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

#: Prints the milliseconds of the two libraries, then those of the hook on top of them.
SCRIPT = """
from time import perf_counter
start = perf_counter()
import confluent_kafka, fastavro
between = perf_counter()
import shadowlane.producer
print((between - start) * 1000, (perf_counter() - between) * 1000)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="interpreters to start")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured(folder)  # compiles, as an installation does
        runs = [measured(folder) for _ in range(given.runs)]
    libraries, hook = (statistics.median(times) for times in zip(*runs, strict=True))
    print(f"median of {len(runs)} interpreters, ms")
    print(f"{'confluent-kafka and fastavro':32}{libraries:8.1f}")
    print(f"{'shadowlane.producer on top':32}{hook:8.1f}{(libraries + hook) / libraries:8.2f}x")


def measured(folder: str) -> tuple[float, float]:
    """One interpreter's milliseconds: of the libraries, and of the hook on top."""
    env = os.environ | {"PYTHONPYCACHEPREFIX": folder}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True)
    libraries, hook = done.stdout.split()
    return float(libraries), float(hook)


if __name__ == "__main__":
    main()
