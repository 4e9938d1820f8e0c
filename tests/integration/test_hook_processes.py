"""The hook in processes of all kinds: however one ends, short of kill -9, its books are closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from accounting import GENEROUS, assert_books_balance, process_of, requests_in
from shadowlane.kafka import KafkaSettings

#: What every script of this file begins with. A test run under coverage handles SIGTERM in its processes.
BEGINNING = """
import asyncio, multiprocessing, os, signal, sys, threading, time
from concurrent.futures import ProcessPoolExecutor
signal.signal(signal.SIGTERM, signal.SIG_DFL)
from shadowlane.producer import Hook
hook = Hook(model="ranker")

def serve(requests=50):
    for number in range(requests):
        hook.publish(features={"number": number}, prediction=0.5, entity_id=f"user-{number}")
"""

#: In a shell's background job, Ctrl-C is ignored from the start.
CTRL_C = """
signal.signal(signal.SIGINT, signal.default_int_handler)
serve()
os.kill(os.getpid(), signal.SIGINT)
"""
FORKED = """
serve()
if os.fork() == 0:
    serve(30)
    sys.exit()
os.wait()
"""
THREADS = """
threads = [threading.Thread(target=serve) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
TASKS = """
async def ask(number):
    with hook.observe({"number": number}) as call:
        await asyncio.sleep(0.001)
        call.prediction = 0.5
async def main():
    async with asyncio.TaskGroup() as tasks:
        for number in range(200): tasks.create_task(ask(number))
asyncio.run(main())
"""
A_THREAD_EXITS = """
def leave():
    serve()
    sys.exit("only this thread ends")
thread = threading.Thread(target=leave)
thread.start()
thread.join()
serve(10)
"""
MANY_HOOKS = """
for name in ("a", "b", "c"):
    globals()[name] = Hook(model=name)
    globals()[name].publish(features={}, prediction=0.5)
"""
TERMINATED_CHILD = """
if __name__ == "__main__":
    serve(5)
    def wait():
        serve(20)
        ready.set()
        time.sleep(60)
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    child = context.Process(target=wait)
    child.start()
    ready.wait()
    child.terminate()
    child.join()
    assert child.exitcode == -signal.SIGTERM
"""
CHILDREN = """
if __name__ == "__main__":
    serve(5)
    context = multiprocessing.get_context("{method}")
    children = [context.Process(target=serve) for _ in range(2)]
    for child in children: child.start()
    for child in children: child.join()
    assert [child.exitcode for child in children] == [0, 0]
"""
POOL = """
if __name__ == "__main__":
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("{method}")) as pool:
        list(pool.map(serve, [10] * 8))
"""
METHODS = ("fork", "spawn", "forkserver")


def environment(settings: KafkaSettings) -> dict[str, str]:
    """What tells a script where to publish."""
    return os.environ | {
        "SHADOWLANE_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "SHADOWLANE_TOPIC_PREFIX": settings.topic_prefix,
    }


@pytest.mark.parametrize(
    ("script", "observed", "code"),
    [
        pytest.param("serve(1)", [1], 0, id="one request"),
        pytest.param("serve(); raise ValueError('no')", [50], 1, id="unhandled exception"),
        pytest.param("serve(); sys.exit(3)", [50], 3, id="exit"),
        pytest.param(CTRL_C, [50], -signal.SIGINT, id="Ctrl-C"),
        pytest.param(
            "serve(); os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", [50], -15, id="SIGTERM"
        ),
        pytest.param(A_THREAD_EXITS, [60], 0, id="a thread exits"),
        pytest.param(THREADS, [800], 0, id="threads"),
        pytest.param(TASKS, [200], 0, id="tasks"),
        pytest.param(MANY_HOOKS, [1, 1, 1], 0, id="hooks"),
        pytest.param(FORKED, [50, 30], 0, id="os.fork"),
        pytest.param(TERMINATED_CHILD, [20, 5], 0, id="terminated child"),
        *(pytest.param(CHILDREN.format(method=m), [50, 50, 5], 0, id=f"children by {m}") for m in METHODS),
        *(pytest.param(POOL.format(method=m), [80], 0, id=f"pool by {m}") for m in METHODS),
    ],
)
def test_whatever_it_does_and_however_it_ends(
    settings: KafkaSettings, tmp_path: Path, script: str, observed: list[int], code: int
) -> None:
    """All that each of its processes published is delivered, and the ledger's last entries say so."""
    path = tmp_path / "script.py"  # a spawned child imports its parent's file
    path.write_text(BEGINNING + script)
    done = subprocess.run(
        [sys.executable, str(path)],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=GENEROUS,
        check=False,
    )
    assert done.returncode == code, done.stderr
    ledger = assert_books_balance(settings)
    assert Counter(entry.observed for entry in ledger.values()) == Counter(observed)
    assert all(entry.delivered == entry.observed for entry in ledger.values())


LOOP = """
import mmap
calls = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 8)
serve(1)
hook.flush(60)
print("up", flush=True)
for number in range(1, 10**9):
    calls[:] = number.to_bytes(8, "little")
    serve(1)
    time.sleep(0.0005)
"""
TIMES = 20


def test_terminated_amid_publishing(settings: KafkaSettings, tmp_path: Path) -> None:
    """At whatever point SIGTERM comes: no hole in what arrives, and the books of each process are closed.

    What a process still observes after that, before it dies, is in no ledger.
    """

    def serve_and_be_terminated(number: int) -> tuple[int, int]:
        calls = tmp_path / f"{number}.calls"
        calls.write_bytes(bytes(8))
        command = [sys.executable, "-c", BEGINNING + LOOP, str(calls)]
        with subprocess.Popen(command, env=environment(settings), stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stdout.readline() == b"up\n"
            time.sleep(number / TIMES / 10)  # at another point each time
            process.terminate()
            assert process.wait(GENEROUS) == -signal.SIGTERM
        return process.pid, int.from_bytes(calls.read_bytes(), "little")

    with ThreadPoolExecutor(4) as pool:
        calls = dict(pool.map(serve_and_be_terminated, range(TIMES)))
    ledger = assert_books_balance(settings)
    assert {process_of(producer_id) for producer_id in ledger} == set(calls)
    sequences = defaultdict[str, set[int]](set)
    for event in requests_in(settings):
        sequences[event.producer_id].add(event.sequence)
    for producer_id, entry in ledger.items():
        assert entry.observed <= calls[process_of(producer_id)] + 1
        assert (entry.failed, set(entry.dropped) - {"closed"}) == (0, set())
        assert sequences[producer_id] == set(range(entry.delivered))
