"""The demo as a user runs it: it shows the whole pipeline, ends by itself, and leaves nothing running."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for left processes in /proc"),
]


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    """A word in the environment of all that a test starts; whatever still carries it at the end is killed."""
    word = f"shadowlane-demo-test-{tmp_path.name}-{os.getpid()}"
    yield word
    for pid in alive(word):
        os.kill(pid, signal.SIGKILL)


def alive(mark: str) -> list[int]:
    """The processes that carry the mark."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if mark.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:  # it ended, or is not ours to read
                continue
    return found


def start(folder: Path, mark: str, requests: int) -> subprocess.Popen[str]:
    """`shadowlane demo`, marked."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SHADOWLANE_")}
    kept = {"SHADOWLANE_MAVEN_REPOSITORY": os.environ.get("SHADOWLANE_MAVEN_REPOSITORY")}
    env |= {name: value for name, value in kept.items() if value} | {"TEST_MARK": mark}
    return subprocess.Popen(
        [sys.executable, "-m", "shadowlane", "demo", "--requests", str(requests)],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_until_gone(mark: str, seconds: float) -> list[str]:
    """What is still there after so long, at most: what it is, what it does and what it said last."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and alive(mark):
        time.sleep(0.2)
    return [description(pid) for pid in alive(mark)]


def description(pid: int) -> str:
    """A process's command line, where in the kernel each of its threads is, and the end of its log."""
    folder = Path(f"/proc/{pid}")
    command = read(folder / "cmdline").replace("\0", " ").strip()
    lines = [f"process {pid}: {command or '(ended just now)'}"]
    for task in sorted(folder.glob("task/*")):
        state = re.search(r"^State:\s*(.*)$", read(task / "status"), re.MULTILINE)
        where = read(task / "wchan") or "?"
        lines.append(f"  {read(task / 'comm').strip()}: {state[1] if state else '?'}, in {where}")
    if (folder / "fd/2").is_file():
        lines += [f"  said: {line}" for line in read(folder / "fd/2").splitlines()[-40:]]
    return "\n".join(lines)


def read(file: Path) -> str:
    """A file's text; nothing where it is gone or not ours to read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def wait_for_log(folder: Path, name: str) -> None:
    """Until a part of the demo has said something."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if any(log.stat().st_size for log in folder.rglob(name)):
            return
        time.sleep(0.1)
    pytest.fail(f"{name} stayed empty")


def test_the_demo_ends_by_itself_and_works_a_second_time(tmp_path: Path, mark: str) -> None:
    """Twice in one folder: a report, a verdict, an HTML page each, and no process left."""
    for _ in range(2):
        with start(tmp_path, mark, 300) as process:
            out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert re.search(r"requests\s+300\s+=", out)
        assert "INCONCLUSIVE" in out
        assert "KeyError" in out
        assert "300 landed" in err
        (page,) = re.findall(r"HTML report: (\S+)", out)
        assert "<svg" in (tmp_path / page).read_text(encoding="utf-8")
        left = wait_until_gone(mark, 5)
        assert not left, "\n".join(left)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_demo_leaves_no_process_when_it_is_stopped(
    tmp_path: Path, mark: str, signum: signal.Signals
) -> None:
    """Ctrl-C, SIGTERM or kill -9 in mid-run: everything it started ends too."""
    with start(tmp_path, mark, 100_000) as process:
        wait_for_log(tmp_path, "worker.log")
        assert len(alive(mark)) > 4
        process.send_signal(signum)
        _, err = process.communicate(timeout=120)
        if signum != signal.SIGKILL:
            assert process.returncode == 130
            assert "stopped; everything the demo started was ended" in err
        left = wait_until_gone(mark, 60)
        assert not left, "\n".join(left)
