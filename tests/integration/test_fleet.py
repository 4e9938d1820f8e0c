"""Several workers on one machine: started again when killed, finished in good order when stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shadowlane.kafka import KafkaSettings, TopicNames

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds child processes in /proc")


def children(pid: int) -> list[int]:
    """The worker processes of a fleet (not multiprocessing's tracker)."""
    listed = [(task / "children").read_text().split() for task in Path(f"/proc/{pid}/task").iterdir()]
    all_of_them = [int(child) for each in listed for child in each]
    return [each for each in all_of_them if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


def wait_until(true: Callable[[], bool]) -> None:
    """Until it is so; fails when it is not so in time."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the fleet's log goes."""
    return tmp_path / "fleet.log"


@pytest.fixture
def fleet(
    kafka: KafkaSettings, topics: TopicNames, tmp_path: Path, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Two workers, both at work, in a process group of their own as a shell would give them."""
    (tmp_path / "fleet_model.py").write_text("def predict(features):\n    return 0.5\n")
    env = {
        **os.environ,
        "SHADOWLANE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "SHADOWLANE_TOPIC_PREFIX": topics.prefix,
    }
    options = [
        "--model",
        "fraud",
        "--shadow",
        "s",
        "--load",
        "python:fleet_model:predict",
        "--processes",
        "2",
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "shadowlane", "worker", *options],
            cwd=tmp_path,
            env=env,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    wait_until(lambda: log.read_text().count(" replays fraud on s") == 2)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_ctrl_c_lets_each_worker_finish(fleet: subprocess.Popen[bytes], log: Path) -> None:
    """Ctrl-C reaches parent and children at once; each child still says its last word."""
    os.killpg(fleet.pid, signal.SIGINT)
    assert fleet.wait(60) == 0
    assert log.read_text().count("stopped; replayed 0 requests") == 2


def test_a_worker_that_is_killed_is_started_again(fleet: subprocess.Popen[bytes], log: Path) -> None:
    """One worker's death is the fleet's to mend, under the id that the dead one had."""
    victim = children(fleet.pid)[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: log.read_text().count(" replays fraud on s") == 3)
    assert victim not in children(fleet.pid)
    assert len(children(fleet.pid)) == 2
    ids = [
        line.split(" replays ")[0].rpartition(" ")[2]
        for line in log.read_text().splitlines()
        if " replays " in line
    ]
    assert len(set(ids)) == 2
    fleet.terminate()
    assert fleet.wait(60) == 0


def test_a_killed_parent_takes_its_workers_along(fleet: subprocess.Popen[bytes]) -> None:
    """Workers do not live on without the process that looks after them."""
    workers = children(fleet.pid)
    fleet.kill()
    fleet.wait()
    wait_until(lambda: not any(Path(f"/proc/{pid}/fd").exists() and _alive(pid) for pid in workers))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
