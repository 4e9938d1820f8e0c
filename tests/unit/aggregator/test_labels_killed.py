"""An import that is killed at any moment, and run again, has landed each row once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from labelled import csv_of, landed

ROWS = 400
IMPORT = """
import sys
from shadowlane.aggregator.labels import ImportPlan, LabelMapping, import_labels
plan = ImportPlan(sys.argv[1], sys.argv[2], LabelMapping(model="fraud"), commit_rows=10)
print(import_labels(plan, follow=lambda *said: print(*said, flush=True)).landed)
"""


def test_killed_at_random_moments_it_goes_on_where_it_was(tmp_path: Path) -> None:
    """No row is missing, none is there twice, and all are of one import."""
    file, lake = csv_of(tmp_path / "a.csv", *map(str, range(ROWS))), tmp_path / "lake"
    command = [sys.executable, "-c", IMPORT, str(file), str(lake)]
    chance, kills, counts = random.Random(7), 0, [0]  # noqa: S311 - not for secrets
    while True:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            for line in process.stdout:
                if line.startswith("rows landed"):  # it is in the middle of landing now
                    time.sleep(chance.uniform(0, 0.05))
                    if kills < 5:
                        process.send_signal(signal.SIGKILL)
                    break
            process.stdout.read()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
        counts.append(len(landed(lake)))
    assert kills == 5
    assert counts == sorted(counts)
    rows = landed(lake, "landed_partition, landed_offset, label_label")
    assert rows == [(-1, number + 2, str(number)) for number in range(ROWS)]
