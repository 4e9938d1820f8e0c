"""`shadowlane gate` and `shadowlane decisions` as their users run them: what is printed, kept and said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from unit.aggregator.gate.gate_lakes import comparisons, filled, land

Result = subprocess.CompletedProcess[str]

SCOPE = ("--model", "ranker", "--shadow", "challenger")
POLICY = "min_requests = 100\n"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Runs `shadowlane …` on this test's lake."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SHADOWLANE_")}
    env |= {"SHADOWLANE_LAKE": str(tmp_path / "lake"), "COLUMNS": "100"}
    (tmp_path / "policy.toml").write_text(POLICY)

    def call(*arguments: str) -> Result:
        command = [sys.executable, "-m", "shadowlane", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=120
        )

    return call


def test_from_the_gate_to_an_override(run: Callable[..., Result], tmp_path: Path) -> None:
    """The verdict is recorded under the id that it prints; listed, told, made again, and set aside."""
    lake = filled(tmp_path / "lake")
    asked = run("gate", *SCOPE, "--policy", "policy.toml", "--format", "json", "--junit", "checks.xml")
    said = json.loads(asked.stdout)
    assert (asked.returncode, said["verdict"]) == (0, "promote")
    name = said["id"]
    assert asked.stderr == f"recorded as decision {name}: shadowlane decisions explain {name}\n"
    suite = ET.parse(tmp_path / "checks.xml").getroot()  # noqa: S314 - our own
    assert (suite.get("failures"), suite.get("errors"), suite.get("tests")) == ("0", "0", "6")

    land(lake, comparisons(200, 9_000))
    verified = run("decisions", "verify", name)
    assert (verified.returncode, verified.stderr) == (0, "")
    assert verified.stdout.startswith(f"decision {name} (promote) holds: it comes out again, byte for byte\n")
    assert run("decisions", "explain", name, "--format", "json").stdout == asked.stdout.removesuffix("\n")

    refused = run("decisions", "override", name, "--verdict", "hold", "--by", "ada", "--reason", " ")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "an override needs a reason" in refused.stderr
    made = run("decisions", "override", name, "--verdict", "hold", "--by", "ada", "--reason", "freeze")
    assert made.returncode == 0
    assert made.stdout.endswith(f": hold in place of promote ({name})\n")

    told = run("decisions", "explain", name).stdout
    assert "decided PROMOTE on ranker → challenger (run live)" in told
    assert "ada decided HOLD in its place" in told
    listed = json.loads(run("decisions", "list", "--format", "json").stdout)
    assert listed["schema"] == "shadowlane.decisions/1"
    later, first = listed["decisions"]
    assert (later["kind"], later["verdict"], later["overrides"]) == ("override", "hold", name)
    assert (first["id"], first["overridden_by"], first["promote"]) == (name, later["id"], True)
    shown = run("decisions", "list", "--model", "ranker", "--limit", "1").stdout
    assert later["id"] in shown
    assert "by ada: freeze" in " ".join(shown.split())
    assert run("decisions", "list", "--model", "nobody").stdout == "no decisions\n"


def test_who_may_only_read_asks_without_a_record(run: Callable[..., Result], tmp_path: Path) -> None:
    """Nothing is written to the lake; else a lake that cannot be written is an error after the verdict."""
    lake = filled(tmp_path / "lake")
    read = run("gate", *SCOPE, "--policy", "policy.toml", "--format", "json", "--no-record")
    assert (read.returncode, read.stderr, json.loads(read.stdout)["id"]) == (0, "", None)
    assert not (lake / "decisions").exists()
    (lake / "decisions").write_text("in the way")
    failed = run("gate", *SCOPE, "--policy", "policy.toml", "--format", "json", "--junit", "checks.xml")
    assert (failed.returncode, json.loads(failed.stdout)["verdict"]) == (1, "promote")
    assert "shadowlane: the verdict above was not recorded, so nothing may rest on it: " in failed.stderr
    assert "--no-record" in failed.stderr
    assert (tmp_path / "checks.xml").exists()


def test_where_there_is_no_lake_none_is_made(run: Callable[..., Result], tmp_path: Path) -> None:
    """A misspelt path is no place for a decision."""
    result = run("gate", *SCOPE)
    assert (result.returncode, result.stderr) == (
        4,
        f"not recorded: there is no lake in {tmp_path / 'lake'}\n",
    )
    assert not (tmp_path / "lake").exists()


def test_what_does_not_hold_is_said_with_its_exit_code(run: Callable[..., Result], tmp_path: Path) -> None:
    """1 where other figures come out, 3 where the versions are gone, 5 where a file is damaged."""
    lake = filled(tmp_path / "lake")
    name = json.loads(run("gate", *SCOPE, "--policy", "policy.toml", "--format", "json").stdout)["id"]
    absent = run("decisions", "verify", "1nobody")
    assert (absent.returncode, absent.stdout) == (1, "")
    assert f"the newest is {name}" in absent.stderr

    kept = tmp_path / "kept"
    shutil.copytree(lake, kept)
    file = next((lake / "comparisons").rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-9])
    damaged = run("decisions", "verify", name)
    assert (damaged.returncode, damaged.stdout) == (5, "")
    assert "is cut or altered" in damaged.stderr

    shutil.rmtree(lake)
    shutil.copytree(kept, lake)
    shutil.rmtree(lake / "comparisons")
    land(lake, comparisons(500))
    gone = run("decisions", "verify", name)
    assert (gone.returncode, gone.stdout) == (3, "")
    assert f"decision {name} cannot be verified any more: version 2 of " in gone.stderr
    land(lake, comparisons(500, 700))
    other = run("decisions", "verify", name, "--format", "json")
    said = json.loads(other.stdout)
    assert (other.returncode, said["holds"], said["id"]) == (1, False, name)
    assert "it differs in " in said["faults"][0]
    assert "does not hold: Made again, it differs" in run("decisions", "verify", name).stdout


def test_a_policy_that_asks_for_more_is_read_from_its_file(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    """Segments, a confidence, a window and a condition; a segment that nobody has is wrong usage."""
    filled(tmp_path / "lake", 3_000)
    more = 'confidence = 0.9\n[segments]\nnames = ["country"]\nmin_agreement_rate = 0.8\n'
    (tmp_path / "policy.toml").write_text(POLICY + more)
    given = ("gate", *SCOPE, "--policy", "policy.toml")
    result = run(*given, "--where", "primary_score >= 0", "--from", "2026-03-01", "--format", "json")
    said = json.loads(result.stdout)
    checks = {each["name"]: each for each in said["checks"]}
    assert checks["segments_agreement_ok"]["passed"] is True
    assert checks["agreement_ok"]["interval"]["level"] == 0.9
    assert checks["distribution_ok"]["more_needed"] > 1_000
    assert (result.returncode, said["verdict"]) == (3, "inconclusive")
    assert run("decisions", "verify", said["id"]).returncode == 0
    (tmp_path / "policy.toml").write_text(POLICY + more.replace("country", "contry"))
    wrong = run(*given)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "country" in wrong.stderr
    (tmp_path / "policy.toml").write_text(POLICY + more.replace("min_agreement", "min_agrement"))
    wrong = run(*given)
    assert wrong.returncode == 2
    assert "did you mean segments.min_agreement_rate?" in wrong.stderr
