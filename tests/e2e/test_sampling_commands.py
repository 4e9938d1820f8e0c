"""`shadowlane sampling` as an operator uses it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shadowlane.kafka import KafkaSettings, TopicNames
from shadowlane.producer import read_sampling

Result = subprocess.CompletedProcess[str]
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, kafka: KafkaSettings, topics: TopicNames) -> Run:
    """Runs `shadowlane sampling …` on this test's topics."""
    env = os.environ | {
        "SHADOWLANE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "SHADOWLANE_TOPIC_PREFIX": topics.prefix,
    }

    def run(*arguments: str) -> Result:
        command = [sys.executable, "-m", "shadowlane", "sampling", *arguments, "--model", "fraud"]
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=120
        )

    return run


def test_set_show_and_clear(run: Run) -> None:
    """What was set is shown with when, by whom and why, for people and for programs, until it is cleared."""
    before = datetime.now(UTC).replace(microsecond=0)
    nothing = {"model": "fraud", "sampling": None, "set_at": None, "set_by": None, "reason": None}
    assert json.loads(run("show", "--format", "json").stdout) == nothing
    rates = ("--rate", "0.0001", "--segment", "country=BR=1.0", "--segment", "path=a=b=0.5")
    done = run("set", *rates, "--reason", "few from BR")
    assert (done.stdout, done.returncode) == ("fraud: rate 0.0001, country=BR 1.0, path=a=b 0.5\n", 0)
    shown = run("show").stdout.splitlines()
    assert shown[0] == done.stdout.strip()
    assert re.fullmatch(r"set 2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ by .+@.+", shown[1])
    assert shown[2] == "reason: few from BR"
    said = json.loads(run("show", "--format", "json").stdout)
    assert said["sampling"] == {"rate": 0.0001, "segments": {"country=BR": 1.0, "path=a=b": 0.5}}
    assert before <= datetime.fromisoformat(said["set_at"]) <= datetime.now(UTC)
    assert "@" in said["set_by"]
    assert (said["model"], said["reason"]) == ("fraud", "few from BR")
    cleared = "fraud: nothing is set; each hook's own rates hold\n"
    assert run("clear").stdout == cleared
    assert run("show").stdout == cleared


@pytest.mark.parametrize("rate", ["0", "1", "0.0001"])
def test_rates_that_are_rates(run: Run, kafka: KafkaSettings, topics: TopicNames, rate: str) -> None:
    """They are set as they are written."""
    assert run("set", "--rate", rate).returncode == 0
    setting = read_sampling(KafkaSettings(kafka.bootstrap_servers, topic_prefix=topics.prefix), "fraud")
    assert setting is not None
    assert setting.sampling is not None
    assert setting.sampling.rate == float(rate)


WRONG = {
    ("--rate", "-1"): "the sampling rate is -1.0; it must be a number from 0 (nothing) to 1 (everything)",
    ("--rate", "1.1"): "the sampling rate is 1.1; it must be a number from 0",
    ("--rate", "nan"): "the sampling rate is nan; it must be a number from 0",
    ("--rate", "10"): "the sampling rate is 10.0; it must be a number from 0",
    ("--rate", "true"): "--rate",
    (): "--rate",
    ("--rate", "0.1", "--segment", "country=BR=1.1"): "the rate of segment country=BR is 1.1",
    ("--rate", "0.1", "--segment", "country=BR"): "write country=BR=1.0",
    ("--rate", "0.1", "--segment", "country=1"): "segment 'country' has a rate; write name=value",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_what_is_wrong_is_not_written(
    run: Run, kafka: KafkaSettings, topics: TopicNames, arguments: tuple[str, ...]
) -> None:
    """Exit code 2, what was wrong on stderr, and nothing in the topic."""
    done = run("set", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert WRONG[arguments] in done.stderr
    settings = KafkaSettings(kafka.bootstrap_servers, topic_prefix=topics.prefix)
    assert read_sampling(settings, "fraud") is None
