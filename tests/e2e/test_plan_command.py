"""`shadowlane plan` as people and programs use it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from typer import BadParameter

from shadowlane.cli._app import app
from shadowlane.errors import SettingsError
from unit.aggregator.report_lake import NOON, comparison, land

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plan.md").read_text(encoding="utf-8")

Result = subprocess.CompletedProcess[str]
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `shadowlane plan …` in an empty folder, on a terminal's 100 columns."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SHADOWLANE_")}

    def call(*arguments: str) -> Result:
        command = [sys.executable, "-m", "shadowlane", "plan", *arguments]
        env["COLUMNS"] = "100"
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=120
        )

    return call


def test_a_plan_from_options(run: Run) -> None:
    """The sentence is the last line, for programs the same is in the document; shares may be in per cent."""
    given = (
        "--requests-per-second",
        "23",
        "--sampling",
        "5%",
        "--segment",
        "country=IT=1.2%",
        "--cpu-ms",
        "4",
    )
    shown = run(*given, "--segment", "country=DE=0.4")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert max(map(len, shown.stdout.splitlines())) <= 100
    sentence = "At 5 % sampling: 9 days; the rarest segment (country=IT, 1.2 %) decides."
    assert shown.stdout.splitlines()[-1] == sentence
    document = json.loads(run(*given, "--segment", "country=DE=0.4", "--format", "json").stdout)
    assert (document["schema"], document["summary"]) == ("shadowlane.plan/1", sentence)
    assert document["costs"]["cpu_hours"] == pytest.approx(23 * 86_400 * 0.05 * 9 * 4 / 3_600_000)


def test_a_plan_from_the_lake(run: Run, tmp_path: Path) -> None:
    """It reads the real rates, and an option counts before them."""
    rows = [
        comparison(
            n,
            event_time=NOON + timedelta(seconds=n * 30),
            segments=[("country", "IT" if n % 10 == 0 else "DE")],
            sampling_rate=0.25,
            agreement=n % 20 != 0,
            shadow_cpu_ms=3.0,
        )
        for n in range(4_000)
    ]
    scope = ("--model", "ranker", "--shadow", "challenger", "--lake", str(land(tmp_path / "lake", rows)))
    document = json.loads(run("--from-lake", *scope, "--format", "json", "--power", "0.9").stdout)
    said = {each["name"]: (each["value"], each["source"]) for each in document["assumptions"]}
    assert said["requests_per_second"] == (pytest.approx(4 / 30, rel=0.01), "lake")
    assert said["rate"] == (pytest.approx(0.95), "lake")
    assert said["power"] == (0.9, "option")
    assert said["sampling"] == (0.25, "lake")
    assert [(each["segment"], each["share"]) for each in document["segments"]] == [
        ("country=DE", 0.9),
        ("country=IT", 0.1),
    ]
    assert document["measured"]["requests"] == 4_000
    named = json.loads(
        run(
            "--from-lake", *scope, "--segment", "country=IT", "--segment", "plan=gold=2%",
            "--segment-rate", "country=IT=1.0", "--sampling", "0.1", "--format", "json",
        ).stdout
    )  # fmt: skip
    assert [(each["segment"], each["share"], each["sampling"]) for each in named["segments"]] == [
        ("country=IT", 0.1, 1.0),
        ("plan=gold", 0.02, 0.1),
    ]
    shown = run("--from-lake", *scope)
    assert "4,000 requests, 2026-03-01 12:00 to 2026-03-02 21:19 UTC" in " ".join(shown.stdout.split())


WRONG = {
    (): "how many requests a second there are is missing: give --requests-per-second, or --from-lake",
    ("--requests-per-second", "0"): "requests_per_second = 0.0: a number above 0",
    (
        "--requests-per-second",
        "5",
        "--sampling",
        "5",
    ): "sampling = 5.0: a number above 0, at most 1 is wanted; did you mean 0.05?",
    ("--requests-per-second", "5", "--sampling", "five"): "'five' is no number; write 0.05 or 5%",
    ("--requests-per-second", "5", "--budget", "9"): "give --cost-per-1000, or --cpu-ms with --core-hour",
    ("--requests-per-second", "5", "--segment", "country=IT"): "its share is missing; write country=IT=0.012",
    (
        "--requests-per-second",
        "5",
        "--segment",
        "a=b=1%",
        "--segment",
        "a=b=2%",
    ): "this segment is there twice",
    ("--requests-per-second", "5", "--segment-rate", "a=b=1"): "no such segment; name it with --segment, too",
    (
        *("--requests-per-second", "5", "--segment", "a=b=0.1", "--segment-rate", "a=b"),
    ): "--segment-rate 'a=b': the rate is missing; write a=b=1.0",
    ("--requests-per-second", "5", "--user-correlation", "1"): "needs --requests-per-user",
    (
        *("--requests-per-second", "5", "--requests-per-user", "3", "--design-effect", "2"),
    ): "say the same; give one of them",
    ("--from-lake", "--model", "ranker"): "--from-lake needs --shadow",
    ("--from-lake", "--shadow", "challenger"): "--from-lake needs --model",
    ("--from-lake", "--model", "m", "--shadow", "s", "--lake", "./nowhere"): "known are: none",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_a_wrong_call_says_what_is_wrong(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a usage error that names what is wrong, and what to do."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises((SettingsError, BadParameter)) as caught:
        app(["plan", *arguments], standalone_mode=False)
    assert WRONG[arguments] in str(caught.value)


def test_a_wrong_call_is_a_sentence_and_exit_code_2(run: Run) -> None:
    """On stderr, with nothing on stdout."""
    result = run("--requests-per-second", "5", "--sampling", "5")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "shadowlane: sampling = 5.0: a number above 0, at most 1 is wanted; did you mean 0.05?\n"
    )


def test_users_who_are_alike_need_more(run: Run) -> None:
    """Requests a user and how alike they are come to a design effect."""
    shown = run("--requests-per-second", "5", "--requests-per-user", "11", "--user-correlation", "10%")
    assert "it takes 2 times as many" in " ".join(shown.stdout.split())


def test_the_page_shows_what_the_command_prints(run: Run) -> None:
    """Each call in docs/plan.md prints what stands below it."""
    shown = re.findall(r"^\$ shadowlane plan (.*)\n((?:.*\n)*?)```", PAGE, re.MULTILINE)
    assert len(shown) == 2
    for call, output in shown:
        assert run(*shlex.split(call)).stdout == output
