"""`shadowlane labels` as its user runs it: what goes to which stream, and with which exit code."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from labelled import HEADER, TIME, csv_of, landed, written
from unit.aggregator.report_lake import NOON, comparison, land

Result = subprocess.CompletedProcess[str]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Runs `shadowlane labels …` on this test's lake."""
    env = os.environ | {"SHADOWLANE_LAKE": str(tmp_path / "lake"), "COLUMNS": "80"}

    def call(*arguments: str, stdin: bytes = b"") -> Result:
        command = [sys.executable, "-m", "shadowlane", "labels", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=env, input=stdin, capture_output=True, check=False, timeout=120
        )
        return Result(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return call


def test_import_twice_and_look(run: Callable[..., Result], tmp_path: Path) -> None:
    """The result on standard output, nothing else there; the second import adds nothing and says so."""
    land(tmp_path / "lake", [comparison(n) for n in range(4)])
    later = [(NOON + timedelta(hours=3 * n)).isoformat() for n in range(4)]
    rows = [f"r{n},{n % 2},{moment}\n" for n, moment in enumerate(later[:3])]
    rows += [f"r0,0,{later[1]}\n", f"r0,1,{later[2]}\n", f"r77,1,{later[3]}\n"]
    written(tmp_path / "labels.csv", HEADER + "".join(rows))
    first = run("import", "labels.csv", "--model", "ranker")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.splitlines() == [
        "          6 rows in labels.csv: label (label)",
        "          6 landed",
        "          1 say again what another row says",
        "          1 correct another row; the latest counts",
        "          1 requests that the lake does not know (yet)",
    ]
    again = run("import", "labels.csv", "--model", "ranker")
    assert again.stdout.splitlines()[1:3] == [
        "          0 landed",
        "          6 there already, from an import of the same file",
    ]
    shown = run("status").stdout
    assert [line.strip() for line in shown.splitlines()] == [
        "ranker",
        "label  3 of 4 compared requests have a label: 75 %",
        "requests with a label: 4, of 6 rows",
        "said again (duplicates): 1",
        "corrected: 1",
        "of requests that the lake does not know (yet): 1",
        "observed after the request: p50 6.0 h, p90 6.0 h, at most 6.0 h",
        "day         compared  label",
        "2026-03-01         4   75 %",
    ]
    said = json.loads(run("status", "--model", "ranker", "--shadow", "challenger", "--format", "json").stdout)
    assert said["schema"] == "shadowlane.labels-status/1"
    [model] = said["models"]
    assert (model["model"], model["shadow"], model["compared"]) == ("ranker", "challenger", 4)
    [name] = model["names"]
    assert (name["coverage"], name["unknown_ids"], name["before_request"]) == (0.75, 1, 0)
    assert name["days"] == [{"day": "2026-03-01", "compared": 4, "labelled": 3}]


def test_a_file_with_bad_rows_lands_whole_or_not_at_all(run: Callable[..., Result], tmp_path: Path) -> None:
    """The lines are on stderr, with exit code 1; --skip-bad lands the others and counts these."""
    written(tmp_path / "labels.csv", f"{HEADER}r1,1,{TIME}\nr2,1,SECRET\nr3,0,{TIME}\n")
    refused = run("import", "labels.csv", "--model", "fraud")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "shadowlane: labels.csv: 1 row cannot be a label" in refused.stderr
    assert "line 3, column 'observed_at': expected a time with a zone" in refused.stderr
    assert not (tmp_path / "lake").exists()
    skipped = run("import", "labels.csv", "--model", "fraud", "--skip-bad", "--format", "json")
    said = json.loads(skipped.stdout)
    assert said["schema"] == "shadowlane.labels-import/1"
    assert (said["rows"], said["landed"], said["bad"], said["unknown_ids"]) == (3, 2, 1, None)
    assert [(each["column"], each["rows"], each["first"]) for each in said["faults"]] == [
        ("observed_at", 1, [3])
    ]
    assert "SECRET" not in refused.stderr + skipped.stdout + skipped.stderr
    assert len(landed(tmp_path / "lake")) == 2


def test_what_cannot_be_understood_is_exit_code_2(run: Callable[..., Result], tmp_path: Path) -> None:
    """A model that nobody named, a time without a zone."""
    csv_of(tmp_path / "a.csv", "1")
    for arguments, words in (
        (("import", "a.csv"), "has no column 'model' for the model"),
        (("import", "a.csv", "--model", "m", "--observed-at", "2026-03-01"), "no time with a zone"),
    ):
        refused = run(*arguments)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert words in " ".join(refused.stderr.split())


def test_a_pipe_of_packed_labels(run: Callable[..., Result], tmp_path: Path) -> None:
    """Standard input is what its bytes say; a dry run lands nothing of it."""
    packed = gzip.compress(b'{"request_id": "r1", "label": 0.5, "model": "fraud"}\n')
    options = ("import", "-", "--observed-at", "2026-03-01T00:00:00Z")
    dry = run(*options, "--dry-run", stdin=packed)
    assert dry.stdout.splitlines()[1] == "          1 would land"
    assert not (tmp_path / "lake").exists()
    assert run(*options, stdin=packed).stdout.splitlines()[1] == "          1 landed"
    assert landed(tmp_path / "lake") == [("r1", 0.5, None)]
