"""A model's process is replaced when it grows, ages or leaves things behind; it dies with the worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isolated import faulty, labels, outcomes, requests
from shadowlane.errors import ModelError
from shadowlane.replay_worker import Isolation, ModelSource
from shadowlane.replay_worker.isolation import open_host
from shadowlane.replay_worker.isolation._breaker import Breaker
from shadowlane.replay_worker.isolation._isolated import Isolated
from shadowlane.schemas import Failure

MEBIBYTE = 1024 * 1024
PARENT = """
import sys, time
sys.path[:] = {path!r}
from isolated import faulty, pid_of, requests
host = faulty(call_seconds=600)
print(pid_of(host), flush=True)
host.run(requests("loop in C"), lambda: False)
"""


@pytest.fixture
def make() -> Iterator[Callable[..., Isolated]]:
    """Hosts that are closed when the test ends."""
    opened: list[Isolated] = []

    def open_one(**limits: object) -> Isolated:
        opened.append(faulty(**limits))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for host in opened:
        host.close()


def failure(outcome: float | Failure) -> tuple[str, str, int]:
    """Where, as what and after how many attempts it failed."""
    assert isinstance(outcome, Failure)
    return outcome.stage, outcome.error_type, outcome.attempts


def test_memory_beyond_the_limit_is_refused_to_the_request_that_asks(make: Callable[..., Isolated]) -> None:
    """The kernel says no: a MemoryError, asked once more in a fresh process, and no other request suffers."""
    host = make(memory_bytes=600 * MEBIBYTE)
    first, second, third = outcomes(host, requests("", "hungry", ""))
    assert (first, third) == (0.0, 1.0)
    assert failure(second)[0::2] == ("predict", 2)
    assert "MemoryError" in failure(second)[1]
    assert host.restarts == 1


def test_memory_that_no_kernel_refuses_is_seen_from_outside(make: Callable[..., Isolated]) -> None:
    """Shared memory counts as well: the process is ended, and the request that filled it is to blame."""
    host = make(memory_bytes=400 * MEBIBYTE, call_seconds=30)
    first, second, third = outcomes(host, requests("", "hungry outside", ""))
    assert (first, third) == (0.0, 1.0)
    assert failure(second) == ("crash", "ModelOutOfMemory", 2)


def test_a_leak_ends_in_a_fresh_process(
    make: Callable[..., Isolated], caplog: pytest.LogCaptureFixture
) -> None:
    """What grows by more than it may is replaced, in the middle of a batch, too; no request fails."""
    host = make(recycle_bytes=40 * MEBIBYTE)
    outcomes(host, requests(*[""] * 20))
    found = outcomes(host, requests(*["leak"] * 400))
    assert found == [number / 2 for number in range(400)]
    assert host.restarts > 0
    assert caplog.text.count("it has grown by") == host.restarts


def test_a_process_serves_so_many_requests(make: Callable[..., Isolated]) -> None:
    """After the batch in which it reached them another takes its place."""
    host = make(recycle_requests=50)
    pids = [labels(host, requests(*["who"] * 20))[0] for _ in range(8)]
    assert len(set(pids)) == 3
    assert host.restarts == 2


def test_threads_left_behind_end_with_their_process(
    make: Callable[..., Isolated], caplog: pytest.LogCaptureFixture
) -> None:
    """A model that starts threads and forgets them gets a fresh process now and then."""
    host = make()
    assert outcomes(host, requests("threads", "")) == [0.0, 0.5]
    assert outcomes(host, requests("")) == [0.0]
    assert host.restarts == 1
    assert "threads were left behind" in caplog.text


def test_a_model_that_does_not_load_in_time_is_an_error(make: Callable[..., Isolated]) -> None:
    """The sentence says which option."""
    with pytest.raises(ModelError, match=r"did not load within 0\.5 s \(--load-seconds\)"):
        make(model="SlowToLoad", load_seconds=0.5)


def test_a_model_that_takes_too_much_to_load_is_an_error(make: Callable[..., Isolated]) -> None:
    """The sentence says which option."""
    with pytest.raises(ModelError, match=r"more than 300 MiB to load \(--memory-limit\)"):
        make(model="HungryToLoad", memory_bytes=300 * MEBIBYTE)


def test_a_model_that_dies_while_it_loads_is_an_error(make: Callable[..., Isolated]) -> None:
    """Before anything is asked of it."""
    with pytest.raises(ModelError, match="was ended by SIGSEGV while it was loaded"):
        make(model="DiesAtLoad")


def test_a_model_that_dies_while_it_loads_again_is_started_once_more(
    make: Callable[..., Isolated], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever killed it: a few deaths in a row are not the end of the worker."""
    monkeypatch.setenv("MODEL_LOADS", str(tmp_path / "loads"))
    host = make(model="FlakyToLoad", recycle_requests=1)
    assert outcomes(host, requests("")) == [0.0]
    assert outcomes(host, requests("", "")) == [0.0, 0.5]
    assert host.restarts == 3


def test_a_model_that_does_not_load_again_is_an_error(
    make: Callable[..., Isolated], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After five times in a row, with the reason."""
    monkeypatch.setenv("MODEL_LOADS", str(tmp_path / "loads"))
    monkeypatch.setenv("MODEL_GONE", "yes")
    host = make(model="FlakyToLoad", recycle_requests=1)
    assert outcomes(host, requests("")) == [0.0]
    with pytest.raises(ModelError, match="FileNotFoundError: the model's file is gone"):
        host.run(requests(""), lambda: False)
    assert host.restarts == 5


def test_a_process_that_cannot_be_started_is_an_error_that_leaves_nothing(
    make: Callable[..., Isolated], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when there is no memory for it, or no number: the worker tries again, and then says so."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    host = make(recycle_requests=1, deny_writes=True)
    assert outcomes(host, requests("")) == [0.0]
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    with pytest.raises(ModelError, match="no process could be started for model"):
        host.run(requests(""), lambda: False)
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before
    assert not list(tmp_path.glob("shadowlane-model-*"))


def test_a_worker_that_is_told_to_stop_does_not_wait_for_a_load() -> None:
    """Neither for the first nor for another."""
    stop = threading.Event()
    stop.set()
    source = ModelSource("python:faulty_model:SlowToLoad")
    with pytest.raises(ModelError, match=r"told to stop while model .* was loading"):
        open_host(source, Isolation(), batch=False, wait=stop.wait)


def test_a_start_loads_only_what_it_needs() -> None:
    """What takes long to import is left to models that want it."""
    code = "import sys, shadowlane.replay_worker.isolation._child; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pandas", "duckdb", "typer", "sklearn", "torch"}.intersection(done.stdout.split())


def test_the_time_limit_is_for_one_call(make: Callable[..., Isolated]) -> None:
    """A batch may take longer than a call."""
    host = make(call_seconds=0.5)
    assert outcomes(host, requests(*["slow"] * 50)) == [number / 2 for number in range(50)]
    assert host.restarts == 0


def test_a_batch_that_nobody_waits_for_is_left(make: Callable[..., Isolated]) -> None:
    """Told to stop, the host gives up what is under way at once, and what is known of it is kept."""
    host = make(call_seconds=600)
    begun = time.monotonic()
    answered = host.run(requests(*["slow"] * 5, "late", ""), lambda: time.monotonic() - begun > 5)
    assert answered.done == 5
    assert answered.answers.num_rows == 5


def test_the_worker_takes_its_model_with_it() -> None:
    """Killed while the model holds the interpreter: nothing is left."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT.format(path=sys.path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        model = Path(f"/proc/{parent.stdout.readline().strip()}/stat")
        while cpu_ticks(model) < 100:  # it is in its loop, past all that it begins with
            time.sleep(0.05)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 10
    while model.exists() and state(model) != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def state(stat: Path) -> str:
    """Of a process: R, S, Z."""
    try:
        return stat.read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def cpu_ticks(stat: Path) -> int:
    """How much a process has worked."""
    return int(stat.read_text().rpartition(")")[2].split()[11])


def test_the_models_process_knows_nothing_of_our_access(
    make: Callable[..., Isolated], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Kafka is entered with stays with the worker, and so does Kafka's client."""
    monkeypatch.setenv("SHADOWLANE_SASL_PASSWORD", "secret")
    monkeypatch.setenv("MODEL_HOME", "/models")
    host = make()
    (environment,) = labels(host, requests("environment"))
    assert environment is not None
    assert "MODEL_HOME" in environment.split(",")
    assert "SHADOWLANE_SASL_PASSWORD" not in environment


def test_crashes_far_apart_cost_two_starts_each_and_no_rest() -> None:
    """A shadow that crashes for one request in twelve goes on: what is answered in between is kept."""
    rests: list[float] = []
    source = ModelSource("python:faulty_model:Faulty")
    host = open_host(source, Isolation(call_seconds=5), batch=False, wait=rests.append)
    faults = ["exit" if row % 12 == 7 else "" for row in range(48)]
    try:
        found = outcomes(host, requests(*faults))
    finally:
        host.close()
    assert [row for row, outcome in enumerate(found) if isinstance(outcome, Failure)] == [7, 19, 31, 43]
    assert host.restarts == 2 * 4
    assert not any(rests)


def test_the_breaker_waits_longer_with_each_death(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are free; then the time doubles up to its limit, until something is answered."""
    monkeypatch.setattr("random.uniform", lambda _low, _high: 1.0)
    waited: list[float] = []
    breaker = Breaker(waited.append)
    for _ in range(12):
        breaker.died()
        breaker.rest()
    assert waited == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0]
    breaker.lived()
    breaker.rest()
    assert len(waited) == 10


def test_what_it_takes_is_measured(make: Callable[..., Isolated]) -> None:
    """The peak is the model's process's own: ours does not count in it."""
    ours = b"x" * (600 * MEBIBYTE)
    host = make()
    answered = host.run(requests(""), lambda: False)
    assert len(ours) > 0
    assert answered.memory_mb is not None
    assert 20 < answered.memory_mb < 400
