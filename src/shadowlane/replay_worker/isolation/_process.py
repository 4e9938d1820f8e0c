"""The replay's side of a model's process: start it, ask it, watch it, and start another when it dies."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from time import monotonic
from typing import Any

import pyarrow as pa

from shadowlane.errors import ModelError
from shadowlane.replay_worker._plan import Isolation, ModelSource
from shadowlane.replay_worker.isolation._channel import Channel, ChannelError
from shadowlane.replay_worker.isolation._progress import Progress

log = logging.getLogger(__name__)

_STEP_SECONDS = 0.25
_PATIENCE_SECONDS = 30.0


class DiedError(Exception):
    """The model's process ended, or was ended, while it was asked."""

    def __init__(self, stage: str, kind: str, message: str, row: int) -> None:
        super().__init__(message)
        self.stage, self.kind, self.row = stage, kind, row


class ModelProcess:
    """One process with one model."""

    def __init__(self, source: ModelSource, isolation: Isolation, *, batch: bool) -> None:
        self._isolation = isolation
        self._progress = Progress.create()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "shadowlane.replay_worker.isolation._child"),
                    *map(str, (theirs.fileno(), self._progress.descriptor, os.getpid())),
                ],
                pass_fds=(theirs.fileno(), self._progress.descriptor),
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for us; and what the model starts ends with it
            )
        self._channel = Channel(ours, _PATIENCE_SECONDS)
        try:
            self._load(source, batch=batch)
        except BaseException:
            self.close()
            raise

    def ask(self, columns: pa.RecordBatch, *, apart: bool) -> None:
        """Hand it a batch; `hear` then gives what it says.

        Raises:
            DiedError: it is gone.
        """
        self._progress.reset()
        try:
            self._channel.send({"apart": apart}, columns)
        except ChannelError:
            raise self._death() from None

    def hear(self, seconds: float) -> tuple[dict[str, Any], pa.RecordBatch | None] | None:
        """What it says within so long; None: nothing yet.

        Raises:
            DiedError: it is gone, or says what nobody can read.
        """
        if not self._channel.poll(seconds):
            return None
        try:
            return self._channel.receive()
        except ChannelError:
            raise self._death() from None

    @property
    def row(self) -> int:
        """The row that the model is asked about."""
        return self._progress.read()

    def kill(self, stage: str, kind: str, message: str) -> DiedError:
        """End it by force, and say why."""
        row = self.row
        self.close()
        return DiedError(stage, kind, message, row)

    def close(self) -> None:
        """End it, and what it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._channel.close()
        self._progress.close()

    def _load(self, source: ModelSource, *, batch: bool) -> None:
        setup = {"source": asdict(source), "isolation": asdict(self._isolation), "batch": batch}
        deadline = monotonic() + self._isolation.load_seconds
        try:
            self._channel.send(setup | {"path": sys.path})
            while not self._channel.poll(_STEP_SECONDS):
                if monotonic() > deadline:
                    raise ModelError(
                        f"model {source.uri!r} did not load within {self._isolation.load_seconds:.0f} s"
                    )
            head, _ = self._channel.receive()
        except ChannelError:
            ended = _ended(self._process.wait())
            raise ModelError(f"model {source.uri!r}: its process {ended} while it was loaded") from None
        if head.get("is") != "ready":
            raise ModelError(str(head.get("why")))
        self.names: tuple[str, ...] = tuple(map(str, head.get("names", ())))
        self.wants_context = head.get("wants_context") is True

    def _death(self) -> DiedError:
        """How it ended; one that talks nonsense is ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STEP_SECONDS)
        status = self._process.poll()
        how = "said what nobody can read" if status is None else _ended(status)
        return self.kill("crash", "ModelProcessDied", f"the model's process {how}")


def _ended(status: int) -> str:
    if status >= 0:
        return f"ended itself with status {status}"
    name = signal.Signals(-status).name if -status in list(signal.Signals) else f"signal {-status}"
    return f"was ended by {name}" + (" (out of memory, perhaps)" if -status == signal.SIGKILL else "")


def _environment() -> dict[str, str]:
    """Ours without what Kafka is entered with: the shadow is new code, and has no business there."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SHADOWLANE_")}
