"""A model with every fault that a test asks for, by the feature `fault`; it runs in a process of its own."""

from __future__ import annotations

import ctypes
import locale
import mmap
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from shadowlane.replay_worker import FeatureBatch

LONG = 600
SLEEP, TOUCH = shutil.which("sleep") or "", shutil.which("touch") or ""
LEAK: list[object] = []
CALLS = [0]


class Panic(BaseException):
    """As a native extension raises it: no Exception."""


def throw(error: BaseException) -> Callable[[], NoReturn]:
    """A function that raises it."""

    def function() -> NoReturn:
        raise error

    return function


def loop() -> NoReturn:
    """Never end."""
    while True:
        pass


def deaf() -> NoReturn:
    """Never end, whoever asks for it."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    loop()


def garbage() -> None:
    """Write noise into whatever is open."""
    for descriptor in range(3, 4_096):
        try:
            os.write(descriptor, b"\xff\x00noise" * 20)
        except OSError:
            continue


def recurse() -> None:
    """Without end."""
    recurse()


def noise() -> None:
    """Much of it, on both streams."""
    for stream in (sys.stdout, sys.stderr):
        stream.write("x" * 1_000_000)
        stream.flush()


def fork_and_go_on() -> None:
    """Two processes go on from here."""
    os.fork()


def leave_children() -> None:
    """Processes that live on: one in our group, one that left it, both with our descriptors."""
    for leaves in (False, True):
        if os.fork() == 0:
            if leaves:
                os.setsid()
            time.sleep(LONG)
            os._exit(0)
    subprocess.Popen([SLEEP, str(LONG)], start_new_session=True)


def leave_threads() -> None:
    """Threads that live on."""
    for _ in range(150):
        threading.Thread(target=time.sleep, args=(LONG,), daemon=True).start()


def change_state() -> None:
    """Whatever belongs to a process."""
    os.chdir("/")
    os.umask(0o777)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    locale.setlocale(locale.LC_ALL, "C")
    sys.setrecursionlimit(5_000)
    os.environ.clear()
    sys.path.clear()


def replace_clocks() -> None:
    """A model that is very fast."""
    for name in ("perf_counter", "perf_counter_ns", "process_time_ns", "monotonic", "monotonic_ns", "time"):
        setattr(time, name, lambda: 0)


def hungry_outside() -> None:
    """Memory that no limit on data counts."""
    shared = mmap.mmap(-1, 1 << 30)
    for place in range(0, 1 << 30, mmap.PAGESIZE):
        shared[place] = 1
    LEAK.append(shared)


def memory_when_old() -> None:
    """What a fresh process could do."""
    if CALLS[0] > 1:
        raise MemoryError


def kill() -> None:
    """As the kernel does it when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def connect() -> None:
    """To nobody: the address is for documentation only."""
    with socket.socket() as line:
        line.settimeout(1)
        line.connect(("192.0.2.1", 443))


def connect_natively() -> float:
    """The same without Python's knowledge: 0 when it was refused at once."""
    libc = ctypes.CDLL(None, use_errno=True)
    line = libc.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, 0)
    address = b"\x02\x00\x01\xbb\xc0\x00\x02\x01" + bytes(8)
    libc.connect(line, address, len(address))
    return float(ctypes.get_errno())


def write_natively(path: str) -> float:
    """A file without Python's knowledge: 0 or the error's number."""
    libc = ctypes.CDLL(None, use_errno=True)
    return float(ctypes.get_errno() if libc.creat(path.encode(), 0o600) < 0 else 0)


FAULTS: dict[str, Callable[[], object]] = {
    "exception": throw(KeyError("history")),
    "base": throw(Panic("native code")),
    "system exit": throw(SystemExit(3)),
    "interrupt": throw(KeyboardInterrupt()),
    "memory": throw(MemoryError()),
    "memory when old": memory_when_old,
    "recursion": recurse,
    "exit": partial(os._exit, 3),
    "segfault": partial(ctypes.string_at, 0),
    "abort": os.abort,
    "kill": kill,
    "loop": loop,
    "loop in C": lambda: re.match(r"(a+)+$", "a" * 60 + "b"),
    "deaf": deaf,
    "late": partial(time.sleep, LONG),
    "garbage": garbage,
    "close": lambda: os.closerange(3, 4_096),
    "noise": noise,
    "slow": partial(time.sleep, 0.02),
    "fork": fork_and_go_on,
    "children": leave_children,
    "threads": leave_threads,
    "state": change_state,
    "clocks": replace_clocks,
    "leak": lambda: LEAK.append(np.ones(1 << 17)),
    "hungry": lambda: LEAK.append(np.ones(1 << 28)),
    "hungry outside": hungry_outside,
    "connect": connect,
    "look up": lambda: socket.getaddrinfo("shadow.invalid", 443),
    "datagram": lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)),
}


def scratch() -> str:
    """Temporary files, and nowhere."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x")
    Path(os.devnull).write_text("x")
    return tempfile.gettempdir()


#: Faults and tasks that look at the request, or answer something else.
TASKS: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "formless": lambda _: object(),
    "huge": lambda _: "x" * 200_000_000,
    "native connect": lambda _: connect_natively(),
    "write": lambda features: Path(features["path"]).write_text("x"),
    "remove": lambda features: Path(features["path"]).unlink(),
    "native write": lambda features: write_natively(features["path"]),
    "shell write": lambda features: float(subprocess.run([TOUCH, features["path"]], check=False).returncode),
    "scratch": lambda _: scratch(),
    "environment": lambda _: ",".join(sorted(os.environ)),
    "modules": lambda _: ",".join(sorted(sys.modules)),
    "who": lambda _: str(os.getpid()),
}


def answer(features: Mapping[str, Any]) -> object:
    """Half of `n`, or the fault that is asked for."""
    CALLS[0] += 1
    fault = features.get("fault") or ""
    if fault in TASKS:
        return TASKS[fault](features)
    if fault:
        FAULTS[fault]()
    return features["n"] / 2


class Faulty:
    """The same, one at a time and together."""

    input = "dicts"

    def predict_one(self, features: dict[str, Any]) -> object:
        """Answer or fail."""
        return answer(features)

    def predict(self, batch: FeatureBatch | list[dict[str, Any]]) -> list[object]:
        """One bad request spoils the batch."""
        rows = batch.dicts() if isinstance(batch, FeatureBatch) else batch
        return [answer(features) for features in rows]


class SlowToLoad(Faulty):
    """It takes its time."""

    def __init__(self) -> None:
        time.sleep(LONG)


class HungryToLoad(Faulty):
    """It takes a gigabyte."""

    def __init__(self) -> None:
        self.weights = np.ones(1 << 27)
        time.sleep(LONG)


class DiesAtLoad(Faulty):
    """It takes its process with it."""

    def __init__(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class FlakyToLoad(Faulty):
    """Its second and third load take the process with them; it counts them in the file MODEL_LOADS."""

    def __init__(self) -> None:
        with Path(os.environ["MODEL_LOADS"]).open("a+") as file:
            file.write("x")
            loads = file.tell()
        if loads in {2, 3}:
            os.kill(os.getpid(), signal.SIGKILL)
        if os.environ.get("MODEL_GONE") and loads > 1:
            raise FileNotFoundError("the model's file is gone")
