"""`shadowlane replay --suite` as CI runs it: without Kafka, with an exit code that says whether to go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Result = subprocess.CompletedProcess[str]

MODELS = """
def same(features): return features["amount"] / 10
def other(features): return features["amount"] / 10 + (0.5 if features["country"] == "BR" else 0)
def fails(features): return features["history"]
"""


def row(n: int) -> str:
    """A request that the primary answered with a tenth of the amount."""
    features = {"numbers": {"amount": n / 4}, "strings": {"country": "BR" if n % 5 == 0 else "DE"}}
    return json.dumps(
        {
            "request_id": f"r{n}",
            "event_time": "2026-03-01T12:00:00+00:00",
            "model": "fraud",
            "features": features,
            "expected": {"score": n / 40},
            "why": "country = BR" if n % 5 == 0 else "sample",
        }
    )


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Runs `shadowlane replay …` in a folder with models and a suite of ten requests."""
    (tmp_path / "suite_models.py").write_text(MODELS)
    (tmp_path / "suite.jsonl").write_text("\n".join(map(row, range(10))) + "\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("SHADOWLANE_")}

    def call(model: str, *arguments: str) -> Result:
        words = [sys.executable, "-m", "shadowlane", "replay", "--model", "fraud", "--shadow", "next"]
        words += ["--load", f"python:suite_models:{model}", *arguments]
        return subprocess.run(
            words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=120
        )

    return call


def test_a_model_that_answers_as_expected_exits_0(run: Callable[..., Result]) -> None:
    """And the page says how many it answered."""
    done = run("same", "--suite", "suite.jsonl")
    assert done.returncode == 0, done.stderr
    assert "10: 10 as expected, 0 not, 0 failed" in done.stdout
    assert "result  passed" in done.stdout


def test_a_model_that_still_disagrees_exits_1_and_says_on_what(run: Callable[..., Result]) -> None:
    """Each request that is not answered as expected is named, with why it is in the suite."""
    done = run("other", "--suite", "suite.jsonl", "--format", "json")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert (told["passed"], told["agrees"], told["disagrees"]) == (False, 8, 2)
    assert [each["request_id"] for each in told["not_as_expected"]] == ["r0", "r5"]
    assert {each["why"] for each in told["not_as_expected"]} == {"country = BR"}
    table = run("other", "--suite", "suite.jsonl")
    assert "r5: 0.5 from the primary's (country = BR)" in table.stdout


def test_a_model_that_fails_exits_1(run: Callable[..., Result]) -> None:
    """A failure is no answer as expected."""
    done = run("fails", "--suite", "suite.jsonl")
    assert done.returncode == 1, done.stderr
    assert "r0: predict: KeyError (country = BR)" in done.stdout


def test_wrong_usage_and_wrong_files_are_said(run: Callable[..., Result], tmp_path: Path) -> None:
    """A window beside a suite, neither of them, a file that is no suite."""
    both = run("same", "--suite", "suite.jsonl", "--from", "-7d")
    assert both.returncode == 2
    assert "leave one of them out" in both.stderr
    neither = run("same")
    assert neither.returncode == 2
    assert "--suite FILE" in neither.stderr
    (tmp_path / "bad.jsonl").write_text('{"request_id": 7}\n')
    bad = run("same", "--suite", "bad.jsonl")
    assert bad.returncode == 1
    assert "bad.jsonl, line 1: request_id is not text" in bad.stderr
