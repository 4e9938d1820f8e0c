"""The embedded Kafka as a service of its own, which outlives the command that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from shadowlane.errors import KafkaFailedError
from shadowlane.kafka._embedded import STOP_TIMEOUT, launch
from shadowlane.kafka._node import Node

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_PORT = 9092
PACE = 0.05


@dataclass(frozen=True, slots=True)
class KafkaStatus:
    """Whether a Kafka runs on a folder, and where."""

    running: bool
    data_dir: Path
    log: Path
    pid: int | None = None
    port: int | None = None
    started: datetime | None = None

    @property
    def bootstrap_servers(self) -> str | None:
        """Where clients reach it."""
        return f"127.0.0.1:{self.port}" if self.running else None


def start_detached(
    data_dir: str | Path, port: int = DEFAULT_PORT, progress: Callable[[str], None] | None = None
) -> KafkaStatus:
    """Start Kafka on a folder, unless one runs there already; returns when it answers."""
    there = status(data_dir)
    if there.running:
        if port not in (0, there.port):
            raise KafkaFailedError(f"{there.data_dir}: a Kafka runs on this folder at port {there.port}")
        return there
    process, _ = launch(Node(data_dir), port, [], progress or (lambda _: None))
    process.returncode = 0  # or Popen would warn that it is dropped while its process runs, which is the aim
    return status(data_dir)


def stop_detached(data_dir: str | Path) -> bool:
    """Stop the Kafka of a folder; False where none runs. Kills nothing else, whatever a stale file says."""
    node = Node(data_dir)
    state = node.read_state()
    if not node.is_locked() or state is None:
        return False
    if state.owner is not None:
        raise KafkaFailedError(f"the Kafka of {node.folder} belongs to process {state.owner}; stop that one")
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if not _is_ours(node, state.pid):
            raise KafkaFailedError(f"{node.folder}: a Kafka runs here, but not as process {state.pid}")
        os.kill(state.pid, sign)
        if _wait_until_free(node):
            return True
    raise KafkaFailedError(f"process {state.pid} does not end; see {node.log}")


def status(data_dir: str | Path) -> KafkaStatus:
    """Whether a Kafka runs on a folder. The lock that its JVM holds tells, not the id of a process."""
    node = Node(data_dir)
    state = node.read_state()
    if state is None or not node.is_locked():
        return KafkaStatus(running=False, data_dir=node.folder, log=node.log)
    started = datetime.fromtimestamp(state.started, UTC)
    return KafkaStatus(True, node.folder, node.log, state.pid, state.port, started)


def _is_ours(node: Node, pid: int) -> bool:
    return node.marker in _command_line(pid)


def _command_line(pid: int) -> str:
    if Path("/proc/self/cmdline").exists():  # slim images have no `ps`
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
    listing = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(listing, capture_output=True, text=True, check=False).stdout


def _wait_until_free(node: Node) -> bool:
    deadline = time.monotonic() + STOP_TIMEOUT
    while node.is_locked():
        if time.monotonic() > deadline:
            return False
        time.sleep(PACE)
    return True
