"""`shadowlane lake` as an operator uses it: look, join, delete, let go, look again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from care_lakes import files, numbers, small_commits

Result = subprocess.CompletedProcess[str]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake of five small commits, of a day long ago."""
    small_commits(tmp_path / "lake", 5)
    return tmp_path / "lake"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Runs `shadowlane lake …` on this test's lake, with nobody there to be asked."""
    env = os.environ | {"SHADOWLANE_LAKE": str(tmp_path / "lake"), "COLUMNS": "80"}

    def call(*arguments: str) -> Result:
        command = [sys.executable, "-m", "shadowlane", "lake", *arguments]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return call


def test_a_lake_is_looked_after(run: Callable[..., Result], lake: Path) -> None:
    """Each command does what it says, on stdout for people and for programs."""
    shown = run("status")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert max(len(line) for line in shown.stdout.splitlines()) <= 80
    assert "shadow-ledger" in shown.stdout

    document = json.loads(run("compact", "--format", "json").stdout)
    (ledger,) = document["compaction"]
    assert (document["schema"], ledger["joined"], ledger["into"]) == ("shadowlane.lake-compaction/1", 5, 1)
    assert numbers(lake) == list(range(5))

    (ledger,) = json.loads(run("status", "--deep", "--format", "json").stdout)["tables"]
    assert (ledger["holding"]["rows"], ledger["holding"]["files"], ledger["joinable_files"]) == (5, 1, 0)

    (ledger,) = json.loads(run("vacuum", "--dry-run", "--format", "json").stdout)["vacuum"]
    assert (ledger["files"], ledger["waiting"]) == (0, 5)
    refused = run("vacuum", "--keep-hours", "0.5")
    assert (refused.returncode, len(list(lake.glob("ledger/*/*/*.parquet")))) == (2, 6)
    assert run("vacuum", "--keep-hours", "0", "--force").returncode == 0
    assert list(lake.glob("ledger/*/*/*.parquet")) == files(lake)


def test_days_go_only_when_somebody_says_so(run: Callable[..., Result], lake: Path) -> None:
    """What goes is said first, on stderr; without a terminal it takes --yes."""
    expire = ("expire", "--table", "ledger", "--older-than", "90d")
    asked = run(*expire)
    assert asked.returncode == 2
    assert "5 rows of 2026-03-01 to 2026-03-01 go from ledger" in asked.stderr
    assert "--yes" in asked.stderr
    assert run(*expire, "--dry-run").returncode == 0
    assert numbers(lake) == list(range(5))
    done = run(*expire, "--yes", "--format", "json")
    assert [day["rows"] for day in json.loads(done.stdout)["expiry"]] == [5]
    assert numbers(lake) == []


def test_what_is_damaged_has_an_exit_code_of_its_own(run: Callable[..., Result], lake: Path) -> None:
    """And the file is named."""
    file = files(lake)[0]
    file.write_bytes(b"altered")
    refused = run("compact")
    assert refused.returncode == 5
    assert file.name in refused.stderr


def test_no_lake_and_wrong_lengths_of_time(run: Callable[..., Result]) -> None:
    """Each in a sentence."""
    for command in ("status", "compact", "vacuum"):
        refused = run(command)
        assert refused.returncode == 1
        assert "no lake in" in refused.stderr
    assert run("compact", "--older-than", "soon").returncode == 2
    assert run("expire").returncode == 2
