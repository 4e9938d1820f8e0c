"""Several workers on one machine: a process each, started again when one is killed."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import multiprocessing
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event as Flag
from typing import TextIO

from shadowlane.errors import ShadowlaneError
from shadowlane.process import Heartbeat, leave_with_parent, stopped_by_signals
from shadowlane.replay_worker._plan import WorkerPlan
from shadowlane.replay_worker._tally import Tally
from shadowlane.replay_worker._worker import run_worker
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

_REPORT_SECONDS = 10.0
_RESTART_SECONDS = 1.0
_GRACE_SECONDS = 30.0
_FAILED = 1


def run_one(plan: WorkerPlan, kafka: KafkaSettings, worker_id: str | None, stop: Flag) -> Tally:
    """One worker in this process, with a heartbeat and a line in the log now and then."""
    heartbeat, said = Heartbeat(), _Reporter()

    with _worker_id(plan, kafka, worker_id) as claimed:

        def tick(tally: Tally) -> None:
            heartbeat.beat()
            said.report(claimed, tally)

        log.info("worker %s replays %s on %s", claimed, plan.target.model, plan.target.shadow)
        tally = run_worker(plan, kafka, claimed, stop=stop, tick=tick)
        said.report(claimed, tally, last=True)
        return tally


def run_fleet(plan: WorkerPlan, kafka: KafkaSettings, processes: int, stop: Flag) -> None:
    """Keep so many workers running until told to stop.

    A worker that is killed is started again. One that gives up (its model cannot be loaded, too many
    errors, fenced) ends the fleet.

    Raises:
        ShadowlaneError: a worker gave up; it has said why.
    """
    heartbeat = Heartbeat()
    workers = [_start(plan, kafka) for _ in range(processes)]
    try:
        while not stop.wait(0.2):
            heartbeat.beat()
            for index, worker in enumerate(workers):
                if worker.exitcode is None:
                    continue
                if worker.exitcode > 0:
                    raise ShadowlaneError(
                        f"a worker ended with status {worker.exitcode}, and has said why unless its model "
                        "ended the process; the fleet stops"
                    )
                log.warning("a worker was ended by a signal; starting another")
                time.sleep(_RESTART_SECONDS)
                workers[index] = _start(plan, kafka)
    finally:
        _stop(workers)


class _Reporter:
    """Says how far a worker is, every ten seconds while it moves."""

    def __init__(self) -> None:
        self._said, self._then = 0, time.monotonic()

    def report(self, worker_id: str, tally: Tally, *, last: bool = False) -> None:
        """Say it, when it is time or when it is the last word."""
        now = time.monotonic()
        if not last and (now - self._then < _REPORT_SECONDS or tally.requests == self._said):
            return
        counts = (f"{count:,}" for count in (tally.requests, tally.compared, tally.failed))
        done = "stopped; replayed" if last else "replayed so far"
        log.info("worker %s %s %s requests: %s compared, %s errors", worker_id, done, *counts)
        self._said, self._then = tally.requests, now


def _start(plan: WorkerPlan, kafka: KafkaSettings) -> BaseProcess:
    # Spawned, not forked: Kafka clients and thread pools do not survive a fork.
    process = multiprocessing.get_context("spawn").Process(
        target=_child, args=(plan, kafka, os.getpid()), daemon=False
    )
    process.start()
    return process


def _child(plan: WorkerPlan, kafka: KafkaSettings, parent: int) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us all; the parent says when to stop
    with stopped_by_signals(signal.SIGTERM) as stop:
        leave_with_parent(parent)
        try:
            run_one(plan, kafka, None, stop)
        except ShadowlaneError as error:
            log.error("%s", error)  # noqa: TRY400 - the sentence is for a reader; the trace is not
            sys.exit(_FAILED)


def _stop(workers: list[BaseProcess]) -> None:
    """Ask each to finish its batch; end by force what does not within the grace."""
    for worker in workers:
        if worker.is_alive():
            worker.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
        if worker.is_alive():
            log.warning("a worker did not finish within %d s; ending it", _GRACE_SECONDS)
            worker.kill()
            worker.join()


def _token(file: TextIO) -> str:
    """A word that stays with a lock file: hosts of one name have temporary folders of their own."""
    file.seek(0)
    token = file.read()
    if not token:
        token = secrets.token_hex(4)
        file.write(token)
        file.flush()
    return token


@contextmanager
def _worker_id(plan: WorkerPlan, kafka: KafkaSettings, given: str | None) -> Iterator[str]:
    """The id that the worker's transactions run under: the same after a restart, never the same twice.

    Two live workers under one id would fence each other. So the lowest number is taken that no other
    worker of this work on this machine holds a lock on; a killed process lets go of its lock.
    """
    if given:
        yield given
        return
    work = f"{kafka.bootstrap_servers} {kafka.topic_prefix} {plan.target.group}"
    name = hashlib.sha256(work.encode()).hexdigest()[:16]
    for number in range(10_000):
        path = Path(tempfile.gettempdir()) / f"shadowlane-{os.getuid()}-{name}-{number}.lock"
        with path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield f"{socket.gethostname()}-{number}-{_token(file)}"
            return
    raise ShadowlaneError("10,000 workers of this work run on this machine already")
