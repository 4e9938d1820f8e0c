"""The command line as a user runs it: help, exit codes, what goes to which stream."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import typer.main
from deltalake import write_deltalake
from rich.console import Console

from shadowlane.cli import _app
from shadowlane.cli._demo import _Meter
from shadowlane.cli.reference import commands, reference
from shadowlane.demo import Follow
from shadowlane.lake._tables import COMPARISONS

ROOT = Path(__file__).parents[2]
COMMANDS = dict(commands("shadowlane", typer.main.get_command(_app.app)))

Result = subprocess.CompletedProcess[str]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Runs `shadowlane …` in an empty folder with a clean environment."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SHADOWLANE_")}

    def call(*arguments: str, **more: str) -> Result:
        command = [sys.executable, "-m", "shadowlane", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=env | more, capture_output=True, text=True, check=False, timeout=120
        )

    return call


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_each_command_has_help_with_an_example(path: str) -> None:
    """A command says what it does, shows one call of itself, and explains each option."""
    command = COMMANDS[path]
    assert f"Example: {path}" in " ".join(command.help.split()).replace("Examples:", "Example:")
    assert all(option.help for option in command.params)


def test_the_reference_of_the_commands_is_current() -> None:
    """docs/cli.md is what `make docs` writes now."""
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference()


def test_version_and_help_answer_at_once(run: Callable[..., Result]) -> None:
    """Both go to standard output with exit code 0; no argument at all shows the help."""
    assert run("--version").stdout.startswith("shadowlane ")
    assert "Usage: shadowlane" in run("--help").stdout
    assert "Usage: shadowlane" in run().stdout + run().stderr


def lake(folder: Path, count: int, *, agree: bool = True) -> Path:
    """A lake with so many comparisons, made by another writer."""
    now = datetime.now(UTC)
    columns: dict[str, Any] = {field.name: [None] * count for field in COMPARISONS.schema}
    columns |= {
        "request_id": [f"r{number}" for number in range(count)],
        "event_time": [now] * count,
        "source_topic": ["production-requests"] * count,
        "source_partition": [0] * count,
        "source_offset": list(range(count)),
        "primary_score": [number % 100 / 100 for number in range(count)],
        "shadow_score": [number % 100 / 100 if agree else 1.0 for number in range(count)],
        "agreement": [agree] * count,
        "comparator": ["score:0.05"] * count,
        "primary_source": ["observed"] * count,
        "latency_basis": ["single"] * count,
        "primary_latency_ms": [2.0] * count,
        "shadow_latency_ms": [3.0] * count,
        "replay_lag_ms": [10.0] * count,
        "model": ["fraud"] * count,
        "date": [now.date()] * count,
        "shadow": ["boosting-2"] * count,
        "run": ["live"] * count,
    }
    path = folder / "lake"
    table = pa.table(columns, schema=COMPARISONS.schema)
    write_deltalake(str(path / "comparisons"), table, partition_by=list(COMPARISONS.partition_by))
    return path


SCOPE = ("--model", "fraud", "--shadow", "boosting-2", "--lake")


@pytest.mark.parametrize(
    ("count", "agree", "verdict", "code"),
    [(10_000, True, "promote", 0), (10_000, False, "hold", 1), (9_999, True, "inconclusive", 3)],
)
def test_the_gates_exit_code_is_its_verdict(
    run: Callable[..., Result], tmp_path: Path, count: int, agree: bool, verdict: str, code: int
) -> None:
    """JSON on standard output and nothing else there; the exit code says the same."""
    result = run("gate", *SCOPE, str(lake(tmp_path, count, agree=agree)), "--format", "json")
    said = json.loads(result.stdout)
    assert (said["verdict"], result.returncode) == (verdict, code)
    assert said["promote"] is (code == 0)
    assert [check["name"] for check in said["checks"]] == [
        *("sufficient_traffic", "agreement_ok", "latency_ok", "errors_ok", "distribution_ok")
    ]
    assert said["report_summary"]["requests"] == count


def test_no_data_is_its_own_verdict(run: Callable[..., Result]) -> None:
    """A lake that is not there is no evidence: exit code 4, and a sentence."""
    result = run("gate", *SCOPE, "./nowhere")
    assert result.returncode == 4
    assert "NO DATA" in result.stdout


def test_a_gate_without_data_says_what_the_lake_knows(run: Callable[..., Result], tmp_path: Path) -> None:
    """An absent folder, a plain file and a misspelt model each have their sentence beside the verdict."""
    (tmp_path / "file").write_text("no folder")
    for path in ("nowhere", "file"):
        assert "The lake has no table of comparisons yet" in run("gate", *SCOPE, path).stdout
    misspelt = ("--model", "frod", "--shadow", "boosting-2", "--lake", str(lake(tmp_path, 9)))
    result = run("gate", *misspelt)
    assert result.returncode == 4
    assert "the lake knows: fraud → boosting-2." in " ".join(result.stdout.split())
    [note] = json.loads(run("gate", *misspelt, "--format", "json").stdout)["notes"]
    assert "the lake knows: fraud → boosting-2." in note


def test_damaged_data_is_no_verdict(run: Callable[..., Result], tmp_path: Path) -> None:
    """A file that was cut is an error that names it: exit code 5, nothing on standard output."""
    path = lake(tmp_path, 100)
    (file,) = path.rglob("*.parquet")
    file.write_bytes(file.read_bytes()[:-50])
    result = run("gate", *SCOPE, str(path), "--format", "json")
    assert (result.returncode, result.stdout) == (5, "")
    assert file.name in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gate",), "Missing option"),
        (("gate", "--model", "../etc", "--shadow", "x"), "../etc"),
        (("report", "--model", "a", "--shadow", "b", "--format", "pdf"), "pdf"),
        (("worker", "--model", "a", "--shadow", "b", "--load", "x", "--comparator", "exact"), "'exact'"),
        (("gate", "--model", "a", "--shadow", "b", "--format", "html"), "shadowlane report"),
        (("gate", "--model", "a", "--shadow", "b", "--from", "yesterday"), "2026-03-01T14:30"),
        (("report", "--model", "a", "--shadow", "b", "--to", "0001-01-01T00:00+10:00"), "2026-03-01T14:30"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    run: Callable[..., Result], arguments: tuple[str, ...], words: str
) -> None:
    """What cannot be understood is said on stderr, with what was wrong."""
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert words in result.stderr


def test_a_model_that_cannot_load_is_a_sentence(run: Callable[..., Result]) -> None:
    """No traceback; the message names the model and the reason, before any message is read."""
    result = run("worker", "--model", "a", "--shadow", "b", "--load", "python:absent:predict")
    assert result.returncode == 1
    assert "shadowlane: model 'python:absent:predict' failed to load" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("lake_option", "code", "words"),
    [
        ("", 2, "shadowlane: lake: name a folder"),
        ("s3:/bucket/lake", 2, "a URL of a store begins with s3://"),
        ("a-file", 1, "a-file: a folder is needed"),
    ],
)
def test_a_lake_that_can_be_none_is_a_sentence(
    run: Callable[..., Result], tmp_path: Path, lake_option: str, code: int, words: str
) -> None:
    """What cannot be a lake is refused before Kafka is looked for."""
    (tmp_path / "a-file").write_text("")
    result = run("aggregate", "--lake", lake_option, "--bootstrap-servers", "127.0.0.1:9")
    assert result.returncode == code
    assert words in result.stderr


def test_an_unreachable_kafka_is_a_sentence(run: Callable[..., Result]) -> None:
    """No traceback and no flood: what was tried, and what to check."""
    result = run("topics", "check", "--bootstrap-servers", "127.0.0.1:9")
    assert result.returncode == 1
    assert "no broker answered" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) <= 3


def test_a_window_is_read_in_utc_from_an_ascii_terminal(run: Callable[..., Result], tmp_path: Path) -> None:
    """Times without a zone are UTC; a terminal that cannot show a character gets another."""
    path = str(lake(tmp_path, 50))
    seen = run("report", *SCOPE, path, "--from", "2020-01-01", "--format", "json")
    assert json.loads(seen.stdout)["compared"] == 50
    before = run("report", *SCOPE, path, "--to", "2020-01-01T00:00:00+0200", PYTHONIOENCODING="ascii")
    assert "NO DATA" in before.stdout


@pytest.mark.parametrize(
    "start", ["2020-01-01T10:10", "2020-01-01 10:10", "2020-01-01T10:10Z", "2020-01-01 10:10:00 +00:00"]
)
def test_a_time_is_read_as_people_write_it(run: Callable[..., Result], tmp_path: Path, start: str) -> None:
    """Without seconds, with a space for the T, with a zone or without one: it is the same time."""
    seen = run("report", *SCOPE, str(tmp_path), "--from", start, "--format", "json")
    assert json.loads(seen.stdout)["scope"]["start"] == "2020-01-01T10:10:00Z"


@pytest.mark.parametrize("output", ["nowhere/x.html", "/proc/x", "."])
def test_a_file_that_cannot_be_written_is_a_sentence(
    run: Callable[..., Result], tmp_path: Path, output: str
) -> None:
    """A folder that is not there, or that takes no file: the file is named, and exit code 1."""
    result = run("report", *SCOPE, str(tmp_path), "--format", "html", "-o", output)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert f"shadowlane: cannot write {output}: " in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no device that is always full")
@pytest.mark.parametrize("arguments", [("gate",), ("report",), ("report", "--format", "json")])
def test_an_output_that_is_full_is_a_sentence(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """What cannot be printed is an error, said once, with exit code 1."""
    command = [sys.executable, "-m", "shadowlane", *arguments, *SCOPE, str(tmp_path)]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        result = subprocess.run(
            command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120
        )
    assert result.returncode == 1
    assert result.stderr == "shadowlane: cannot write to standard output: No space left on device\n"


def test_the_demos_bars_are_finished_before_the_last_word() -> None:
    """The bars stand full, with the numbers as the text writes them, and what is said next below them."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, force_interactive=True, width=80)
    with _Meter(console, 3000) as meter:
        meter.follow(Follow(3000, published=3000, replayed=2000, landed=1000))
        meter.say("still on the way")
        meter.follow(Follow(3000, published=3000, replayed=2990, landed=3010))
        meter.say("All is landed")
    text = out.getvalue()
    bars, end = text.rsplit("All is landed", 1)
    assert bars.count("3,000/3,000") >= 3
    assert "landed" not in end
    assert "3000" not in text


def test_a_report_in_each_form(run: Callable[..., Result], tmp_path: Path) -> None:
    """JSON, Markdown, CSV and HTML go to standard output or a file; the table goes to the terminal."""
    path = str(lake(tmp_path, 50))
    assert json.loads(run("report", *SCOPE, path, "--format", "json").stdout)["compared"] == 50
    assert "fraud" in run("report", *SCOPE, path, "--format", "markdown").stdout
    assert "report,,compared,50" in run("report", *SCOPE, path, "--format", "csv").stdout.splitlines()
    assert "INCONCLUSIVE" in run("report", *SCOPE, path).stdout
    written = run("report", *SCOPE, path, "--format", "html", "-o", "report.html")
    assert (written.returncode, written.stdout) == (0, "")
    assert (tmp_path / "report.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")
