"""A real Apache Kafka in one JVM: no Docker, no system Java, data on disk."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

from shadowlane.errors import KafkaFailedError
from shadowlane.kafka import _guard
from shadowlane.kafka._clients import make_admin
from shadowlane.kafka._jars import VERSION, classpath, java
from shadowlane.kafka._node import Node, State
from shadowlane.settings import KafkaSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    Progress = Callable[[str], None]

START_TIMEOUT = 90.0
STOP_TIMEOUT = 20.0
PACE = 0.05
#: A port that was free when we asked may be taken before the JVM has it.
ATTEMPTS = 3


class EmbeddedKafka:
    """One Kafka node that lives no longer than this process, even if that is killed.

    Port 0 picks a free one. Clients and the controller are reached on 127.0.0.1 only.
    """

    def __init__(self, data_dir: str | Path, port: int = 0) -> None:
        self._node = Node(data_dir)
        self._wanted_port = port
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Where clients reach it, once started."""
        if not self._port:
            raise KafkaFailedError("the embedded Kafka has not been started")
        return f"127.0.0.1:{self._port}"

    @property
    def log_path(self) -> Path:
        """What the JVM printed."""
        return self._node.log

    @property
    def running(self) -> bool:
        """Whether it was started and has neither stopped nor died."""
        return self._process is not None and self._process.poll() is None

    def start(self, progress: Progress | None = None) -> Self:
        """Start it and wait until it answers."""
        guard = [sys.executable, "-I", "-S", _guard.__file__, str(os.getpid())]
        self._process, self._port = launch(self._node, self._wanted_port, guard, progress or _silent)
        return self

    def stop(self) -> None:
        """Shut it down cleanly; a second call does nothing."""
        if self._process is not None:
            end(self._process)
            self._process = None

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def launch(
    node: Node, port: int, guard: list[str], progress: Progress
) -> tuple[subprocess.Popen[bytes], int]:
    """Start a node, behind `guard` where it must not outlive its owner; returns when it answers."""
    program, jars = java(), classpath(progress)
    lock = node.acquire()
    try:
        _refuse_taken(port)
        if not node.formatted:
            progress("preparing the storage of a new Kafka")
            _format(node, program, jars)
        progress(f"starting Apache Kafka {VERSION}")
        for attempt in range(1, ATTEMPTS + 1):
            chosen = port or _free_port()
            _refuse_taken(chosen)
            node.prepare(chosen, _free_port())
            command = node.command(program, jars, "kafka.Kafka", str(node.folder / "server.properties"))
            process = _spawn(node, [*guard, *command], lock)
            try:
                node.write_state(State(process.pid, chosen, time.time(), os.getpid() if guard else None))
                _wait_until_ready(node, process, chosen)
            except BaseException as failure:
                end(process)
                if attempt < ATTEMPTS and isinstance(failure, KafkaFailedError) and _lost_a_port(node):
                    continue
                raise
            return process, chosen
        raise AssertionError
    finally:
        os.close(lock)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to stop; insist when it does not."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _format(node: Node, program: Path, jars: str) -> None:
    # Two ports that differ are all that it asks; the true ones come at each start.
    node.prepare(1, 2)
    arguments = ("format", "-t", _cluster_id(), "-c", str(node.folder / "server.properties"))
    command = node.command(program, jars, "kafka.tools.StorageTool", *arguments)
    with node.log.open("wb") as log:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=False
        )
    if done.returncode:
        raise _failed(node, "could not prepare its storage")


def _cluster_id() -> str:
    """As Kafka makes them; one that starts with a dash would be taken for an option."""
    while (identity := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:22]).startswith("-"):
        pass
    return identity


def _spawn(node: Node, command: list[str], lock: int) -> subprocess.Popen[bytes]:
    """A session of its own keeps the terminal's Ctrl-C away: the owner decides the order of stopping."""
    with node.log.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=node.folder,
            start_new_session=True,
            pass_fds=(lock,),
        )


def _wait_until_ready(node: Node, process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not _accepts(port):
        _check_alive(node, process, deadline)
        time.sleep(PACE)
    # The default back-off of our clients is for long outages, this one lasts a second.
    fast = {"reconnect.backoff.ms": "50", "reconnect.backoff.max.ms": "100"}
    admin = make_admin(KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}", client=fast))
    while True:
        _check_alive(node, process, deadline)
        try:
            metadata = admin.list_topics(timeout=1.0)
        except KafkaException:
            continue
        if metadata.brokers:
            break
    if metadata.cluster_id != node.cluster_id:
        raise KafkaFailedError(f"another Kafka than ours answers at port {port}")


def _check_alive(node: Node, process: subprocess.Popen[bytes], deadline: float) -> None:
    if process.poll() is not None:
        raise _failed(node, "did not come up")
    if time.monotonic() > deadline:
        raise _failed(node, f"did not answer within {START_TIMEOUT:.0f} s")


def _failed(node: Node, what: str) -> KafkaFailedError:
    return KafkaFailedError(f"the embedded Kafka {what}; the end of {node.log}:\n{node.last_lines()}")


def _lost_a_port(node: Node) -> bool:
    return "Address already in use" in node.log.read_text(encoding="utf-8", errors="replace")


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        # As Kafka does it: connections of an earlier run that linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as failure:
            raise KafkaFailedError(
                f"port {port} cannot be had ({failure.strerror}); choose another with --port"
            ) from failure


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _silent(_: str) -> None:
    pass
