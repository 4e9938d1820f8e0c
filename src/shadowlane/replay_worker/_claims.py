"""Which worker of this machine a process is: the same after a restart, never the same twice."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from shadowlane.errors import ShadowlaneError
from shadowlane.replay_worker._plan import WorkerPlan
from shadowlane.settings import KafkaSettings


@contextmanager
def claimed_id(plan: WorkerPlan, kafka: KafkaSettings, given: str | None) -> Iterator[str]:
    """The id that the worker's transactions run under, ours while the block runs.

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


def _token(file: TextIO) -> str:
    """A word that stays with a lock file: hosts of one name have temporary folders of their own."""
    file.seek(0)
    token = file.read()
    if not token:
        token = secrets.token_hex(4)
        file.write(token)
        file.flush()
    return token
