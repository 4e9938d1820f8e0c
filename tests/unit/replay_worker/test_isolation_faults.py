"""Whatever a model does to its process is the failure of the request that caused it, and of no other."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from isolated import faulty, outcomes, pid_of, requests
from shadowlane.replay_worker.isolation._isolated import Isolated
from shadowlane.schemas import Failure

#: By fault: where it fails, as what, and after how many attempts.
DEADLY = ("exit", "segfault", "abort", "kill", "garbage", "close")
ENDLESS = ("loop", "loop in C", "deaf", "late")
RAISED = {
    "exception": "KeyError",
    "base": "Panic",
    "system exit": "SystemExit",
    "interrupt": "KeyboardInterrupt",
    "recursion": "RecursionError",
    "formless": "NoFormError",
}
HARMLESS = ("", "noise", "fork", "children", "threads", "state", "clocks", "leak", "memory when old")
OUTCOMES: dict[str, tuple[str, str, int] | None] = {
    **dict.fromkeys(DEADLY, ("crash", "ModelProcessDied", 2)),
    **dict.fromkeys(ENDLESS, ("timeout", "ModelTimeout", 1)),
    **{fault: ("predict", kind, 1) for fault, kind in RAISED.items()},
    "memory": ("predict", "MemoryError", 2),
    "huge": ("predict", "OversizeAnswer", 1),
    **dict.fromkeys(HARMLESS),
}


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[bool, Isolated]]:
    """One host for each mode, shared: whatever it survives it must be as good as new after."""
    opened = {batch: faulty(batch=batch) for batch in (False, True)}
    yield opened
    for host in opened.values():
        host.close()


def check(found: list[float | Failure], faults: list[str]) -> None:
    """Each row's outcome is its own."""
    for number, (fault, outcome) in enumerate(zip(faults, found, strict=True)):
        expected = OUTCOMES[fault]
        if expected is None:
            assert outcome == number / 2, fault
        else:
            assert isinstance(outcome, Failure), fault
            assert (outcome.stage, outcome.error_type, outcome.attempts) == expected, fault


@pytest.mark.parametrize("together", [False, True], ids=["single", "batch"])
@pytest.mark.parametrize("fault", [fault for fault in OUTCOMES if fault])
def test_a_fault_is_the_failure_of_its_own_request(
    fault: str, together: bool, hosts: dict[bool, Isolated]
) -> None:
    """Before it and after it all requests are answered, and so is the next batch."""
    faults = ["", "", fault, "", ""]
    check(outcomes(hosts[together], requests(*faults)), faults)
    check(outcomes(hosts[together], requests("", "")), ["", ""])


# Not shrunk: each example starts processes, and what failed stands in the assertion.
@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(data=st.data(), together=st.booleans())
def test_any_faults_in_any_rows(data: st.DataObject, together: bool, hosts: dict[bool, Isolated]) -> None:
    """However they lie in a batch, each row has one outcome, which is the right one."""
    # Requests of a batch for which memory ran out share one fresh process: for the second it is old again.
    harmless = [fault for fault in HARMLESS if fault != "memory when old"]
    faults = data.draw(st.lists(st.sampled_from(["", *RAISED, *harmless]), min_size=8, max_size=30))
    for fault in data.draw(st.lists(st.sampled_from([*DEADLY, *ENDLESS, "memory"]), max_size=3)):
        faults[data.draw(st.integers(0, len(faults) - 1))] = fault
    check(outcomes(hosts[together], requests(*faults)), faults)


def test_killed_from_outside_at_random_moments(hosts: dict[bool, Isolated]) -> None:
    """Each request has one outcome: an answer, or the crash that it died of twice."""
    host, over = hosts[False], threading.Event()
    faults = ["slow" if number % 10 == 0 else "" for number in range(600)]

    def kill() -> None:
        for _ in range(6):
            over.wait(random.uniform(0.0, 0.6))  # noqa: S311 - no secret
            process = host._process
            if process is not None and process.is_alive:
                os.kill(process.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    found = outcomes(host, requests(*faults))
    over.set()
    killer.join()
    for number, outcome in enumerate(found):
        died = isinstance(outcome, Failure) and outcome.stage == "crash" and outcome.attempts == 2
        assert died or outcome == number / 2


def test_who_dies_with_nothing_to_do_is_replaced_without_blame(hosts: dict[bool, Isolated]) -> None:
    """A process that was killed between two batches costs no request an attempt."""
    host = hosts[True]
    check(outcomes(host, requests("")), [""])
    before, pid = host.restarts, pid_of(host)
    os.kill(pid, signal.SIGKILL)
    check(outcomes(host, requests("", "")), ["", ""])
    assert host.restarts == before + 1


def test_what_a_model_starts_ends_with_it() -> None:
    """Its children in its group and those that left it; none outlives the host."""
    host = faulty()
    check(outcomes(host, requests("children")), ["children"])
    assert host._process is not None
    mark = host._process._mark
    assert len(marked(mark)) == 4
    host.close()
    assert not marked(mark)


def test_the_first_process_of_a_container_buries_what_a_model_started() -> None:
    """There is no init that would, and the dead would fill the container's table of processes."""
    code = """if True:
        import ctypes, os
        from isolated import faulty, outcomes, requests
        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans come to us, as to a first process
        host = faulty()
        outcomes(host, requests("children", "exit"))
        host.close()
        try:
            print(os.waitpid(-1, os.WNOHANG))
        except ChildProcessError:
            print("nobody")
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout == "nobody\n", done.stderr


def marked(mark: str) -> list[str]:
    """Processes that live with this in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            alive = (entry.parent / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
            if alive and mark.encode() in entry.read_bytes():
                found.append(entry.parent.name)
        except OSError:
            continue
    return found


def test_a_process_changes_nothing_of_ours(hosts: dict[bool, Isolated]) -> None:
    """Where we are, what we ignore and what our clock says is ours."""
    before = (Path.cwd(), signal.getsignal(signal.SIGTERM), dict(os.environ))
    check(outcomes(hosts[False], requests("state", "clocks")), ["state", "clocks"])
    assert (Path.cwd(), signal.getsignal(signal.SIGTERM), dict(os.environ)) == before
