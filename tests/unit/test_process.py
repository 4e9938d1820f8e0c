"""What a long-running command does when the process that it belongs to is gone."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Starts a process that belongs to it, and ends at once when that one is ready.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
"""
#: It would end by itself after a minute, so that a test that fails leaves nothing.
CHILD = """
import ctypes, os, signal, sys, time
from shadowlane.process import leave_with_parent, stopped_by_signals

def finishes():
    with stopped_by_signals() as stop:
        ready()
        print(f"told to stop: {stop.wait(60)}", file=sys.stderr)

def does_not_listen():
    with stopped_by_signals():
        ready()
        until = time.monotonic() + 60
        while time.monotonic() < until:
            time.sleep(0.1)

def holds_the_interpreter():
    signal.signal(signal.SIGTERM, lambda *_: ctypes.PyDLL(None).sleep(60))
    ready()
    time.sleep(60)

def ready():
    leave_with_parent(os.getppid(), grace=GRACE)
    print("ready", flush=True)

NAME()
"""


def orphan(name: str, grace: float) -> str:
    """What a process wrote to stderr between the end of its parent and its own."""
    child = CHILD.replace("NAME", name).replace("GRACE", str(grace))
    command = [sys.executable, "-c", PARENT, child]
    # It holds the pipe: reading ends when it does.
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True, timeout=40)
    return done.stderr


def test_a_process_whose_parent_is_gone_finishes_in_good_order() -> None:
    """It is told to stop, leaves by itself, and no force is used."""
    said = orphan("finishes", 60)
    assert "told to stop: True" in said
    assert "Timeout" not in said


@pytest.mark.parametrize("name", ["does_not_listen", "holds_the_interpreter"])
def test_a_process_that_does_not_leave_is_ended_by_force(name: str) -> None:
    """After its grace it is ended, even with the interpreter's lock held, and says where it was."""
    said = orphan(name, 1)
    assert "Timeout" in said
    assert f"in {'<lambda>' if name == 'holds_the_interpreter' else name}" in said
