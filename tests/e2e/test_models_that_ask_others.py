"""A worker of a model on a server, with a look-up, as a user starts it: what is wrong is said at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference_server import inference_server

LOOK_UP = "def fetch(features, context):\n    return {}\n"


def worker(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The command's end, and what it said; nobody listens where it looks for Kafka."""
    (folder / "history.py").write_text(LOOK_UP)
    env = {name: value for name, value in os.environ.items() if not name.startswith("SHADOWLANE_")}
    command = [sys.executable, "-m", "shadowlane", "worker", "--model", "fraud", "--shadow", "served"]
    command += ["--bootstrap-servers", "localhost:1", *options]
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--features", "a"], "the model takes 2 features, and 1 were named"),
        (["--features", "a,b", "--fetch", "python:nowhere:fetch"], "No module named 'nowhere'"),
        (["--features", "a,b", "--fetch", "python:history:nothing"], "has no attribute 'nothing'"),
        (
            ["--features", "a,b", "--fetch", "python:history:fetch", "--fetch-seconds", "60"],
            "its time limit of 60 s must be above 0 and below that of a call, 30 s",
        ),
    ],
)
def test_what_is_wrong_with_the_model_is_said_before_kafka_is_asked(
    options: list[str], why: str, tmp_path: Path
) -> None:
    """One sentence, and no trace."""
    with inference_server() as server:
        ended = worker(tmp_path, "--load", server.uri, *options)
    said = " ".join(ended.stderr.split())
    assert ended.returncode == 1
    assert why in said
    assert "Traceback" not in said


def test_a_server_that_is_not_there_is_said_with_what_to_look_at(tmp_path: Path) -> None:
    """Where it was looked for, and what the system said."""
    with inference_server() as server:
        uri = server.uri
    ended = worker(tmp_path, "--load", uri, "--features", "a,b", "--concurrency", "2")
    said = " ".join(ended.stderr.split())
    assert ended.returncode == 1
    assert f"model {uri}" in said
    assert "Connection refused. Is the server up, and the address right?" in said
