"""The embedded Apache Kafka: starting, stopping, surviving, and leaving nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shadowlane.errors import KafkaFailedError
from shadowlane.kafka import (
    EmbeddedKafka,
    KafkaSettings,
    TopicNames,
    check_topics,
    create_topics,
    default_specs,
    start_detached,
    status,
    stop_detached,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OWNER = """
import sys
from shadowlane.kafka import EmbeddedKafka
kafka = EmbeddedKafka(sys.argv[1]).start()
print(kafka.bootstrap_servers, flush=True)
sys.stdin.read()
"""


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that other processes do."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def processes_of(folder: Path) -> list[int]:
    """The processes whose command line names a folder, guards and JVMs alike."""
    if Path("/proc/self/cmdline").exists():  # slim images have no `ps`; a zombie's command line is empty
        return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _names(entry, folder)]
    ps = ["ps", "-ww", "-eo", "pid=,stat=,command="]
    listing = subprocess.run(ps, capture_output=True, text=True, check=True)
    rows = [line.split(maxsplit=2) for line in listing.stdout.splitlines()]
    return [int(row[0]) for row in rows if f"-Dshadowlane.kafka={folder} " in row[-1] and row[1][0] != "Z"]


def _names(process: Path, folder: Path) -> bool:
    try:
        return f"-Dshadowlane.kafka={folder}".encode() in (process / "cmdline").read_bytes().split(b"\0")
    except OSError:  # it has just ended
        return False


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder; whatever a failed test left running on it is stopped."""
    path = tmp_path / "kafka"
    yield path
    for pid in processes_of(path):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """One that runs, for the tests that only look at it."""
    with EmbeddedKafka(tmp_path_factory.mktemp("embedded") / "kafka") as kafka:
        yield kafka


def test_it_starts_stops_and_keeps_its_data(folder: Path) -> None:
    """Twice up from one folder: the topics are still there, and no process is left after either."""
    specs = default_specs(TopicNames(), 1)
    steps: list[str] = []
    kafka = EmbeddedKafka(folder)
    kafka.start(steps.append)
    assert kafka.running
    create_topics(KafkaSettings(kafka.bootstrap_servers), specs)
    kafka.stop()
    kafka.stop()
    assert not kafka.running
    assert processes_of(folder) == []
    with kafka:
        assert check_topics(KafkaSettings(kafka.bootstrap_servers), specs) == []
    assert processes_of(folder) == []
    assert steps[-2:] == ["preparing the storage of a new Kafka", "starting Apache Kafka 4.3.0"]


def test_it_listens_on_this_machine_only(running: EmbeddedKafka) -> None:
    """Neither clients nor the controller can be reached from elsewhere."""
    text = (running.log_path.parent / "server.properties").read_text()
    listeners = next(line for line in text.splitlines() if line.startswith("listeners="))
    assert listeners.count("://127.0.0.1:") == listeners.count("://") == 2


def test_a_killed_owner_leaves_no_jvm(folder: Path) -> None:
    """Even kill -9 of the process that started it ends the JVM."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline().startswith("127.0.0.1:")
        assert len(processes_of(folder)) == 2
        owner.kill()
    wait_until(lambda: processes_of(folder) == [])


def test_a_killed_guard_leaves_no_jvm(folder: Path) -> None:
    """Killing what watches the owner does not free the JVM."""
    kafka = EmbeddedKafka(folder).start()
    state = json.loads((folder / "state.json").read_text())
    os.kill(state["pid"], signal.SIGKILL)
    wait_until(lambda: processes_of(folder) == [])
    kafka.stop()


def test_it_outlives_the_thread_that_started_it(folder: Path) -> None:
    """Its life is its owner process's, not a thread's."""
    kafka = EmbeddedKafka(folder)
    thread = threading.Thread(target=kafka.start)
    thread.start()
    thread.join()
    process = kafka._process
    assert process is not None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    kafka.stop()


def test_the_terminals_interrupt_does_not_reach_it(running: EmbeddedKafka) -> None:
    """Ctrl-C goes to the owner's process group, and Kafka is in another: the owner decides the order."""
    for pid in processes_of(running.log_path.parent):
        assert os.getpgid(pid) != os.getpgid(0)


def test_two_on_one_folder_are_refused(running: EmbeddedKafka) -> None:
    """The second one says why, and the first one goes on."""
    with pytest.raises(KafkaFailedError, match="a Kafka runs on this folder already"):
        EmbeddedKafka(running.log_path.parent).start()
    assert running.running


def test_a_taken_port_is_named(folder: Path) -> None:
    """The error says which port and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(KafkaFailedError, match=f"port {port} cannot be had .*choose another"):
            EmbeddedKafka(folder, port).start()
    assert processes_of(folder) == []


def test_a_failed_start_shows_the_end_of_the_log(folder: Path) -> None:
    """Broken data: the last lines of the log, and where it lies."""
    EmbeddedKafka(folder).start().stop()
    meta = folder / "data" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=7"))
    with pytest.raises(
        KafkaFailedError, match=r"did not come up; the end of .*kafka.log:\n(.*\n)*.*node.?[iI]d"
    ):
        EmbeddedKafka(folder).start()
    assert processes_of(folder) == []


def test_a_detached_kafka_outlives_its_starter(folder: Path) -> None:
    """Started by one process, seen and stopped by another; starting twice is fine, stopping twice too."""
    starter = (
        "import sys; from shadowlane.kafka import start_detached; print(start_detached(sys.argv[1], 0).port)"
    )
    done = subprocess.run(
        [sys.executable, "-c", starter, str(folder)], capture_output=True, text=True, check=True
    )
    there = status(folder)
    assert there.running
    assert there.port == int(done.stdout)
    assert there.started is not None
    assert start_detached(folder, 0) == there
    with pytest.raises(KafkaFailedError, match=f"runs on this folder at port {there.port}"):
        start_detached(folder, 1)
    assert check_topics(KafkaSettings(str(there.bootstrap_servers)), default_specs(TopicNames())) != []
    assert stop_detached(folder)
    assert not status(folder).running
    assert not stop_detached(folder)
    assert processes_of(folder) == []


def test_anothers_kafka_is_seen_but_not_stopped(running: EmbeddedKafka) -> None:
    """`stop` leaves a demo's Kafka to the demo."""
    folder = running.log_path.parent
    assert status(folder).bootstrap_servers == running.bootstrap_servers
    with pytest.raises(KafkaFailedError, match=f"belongs to process {os.getpid()}"):
        stop_detached(folder)
    assert running.running


def test_a_stale_state_file_harms_nobody(folder: Path) -> None:
    """A pid that is somebody else's by now is neither believed nor killed."""
    folder.mkdir()
    (folder / "lock").touch()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as bystander:
        state = {"pid": bystander.pid, "port": 9092, "started": 0.0, "owner": None}
        (folder / "state.json").write_text(json.dumps(state))
        assert not status(folder).running
        assert not stop_detached(folder)
        assert bystander.poll() is None
        bystander.kill()


def test_a_broken_state_file_reads_as_not_running(folder: Path) -> None:
    """Half a file is no file."""
    folder.mkdir()
    (folder / "state.json").write_text('{"pid": 1')
    assert not status(folder).running
