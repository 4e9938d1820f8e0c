"""The replay's side of a model's process: start it, ask it, watch it, and end it with all that it started."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from time import monotonic
from typing import Any

import pyarrow as pa

from shadowlane import logs
from shadowlane.errors import ModelError
from shadowlane.replay_worker._plan import Isolation, ModelSource
from shadowlane.replay_worker.isolation import _said
from shadowlane.replay_worker.isolation._channel import Channel, ChannelError
from shadowlane.replay_worker.isolation._leftovers import bury, end_marked
from shadowlane.replay_worker.isolation._progress import READING, Place, Progress
from shadowlane.replay_worker.isolation._said import NonsenseError
from shadowlane.replay_worker.isolation._vitals import Vitals, vitals

log = logging.getLogger(__name__)

_STEP_SECONDS = 0.25
_FOR_THE_MODEL = "SHADOWLANE_MODEL_"
_PATIENCE_SECONDS = 10.0
# What it gets to leave by itself when it is told to: caches are written, temporary files removed.
_LEAVE_SECONDS = 1.0
# A chunk of answers is at most half as large.
MOST_BYTES = 256 * 1024 * 1024
_STDERR = 2
#: In the environment of the model's process, and so of all that it starts.
MARK = "REPLAY_MODEL_PROCESS"


class DiedError(Exception):
    """The model's process ended, or was ended, while it was asked."""

    def __init__(self, stage: str, kind: str, message: str, row: int) -> None:
        super().__init__(message)
        self.stage, self.kind, self.row = stage, kind, row


class ModelProcess:
    """One process with one model."""

    def __init__(
        self,
        source: ModelSource,
        isolation: Isolation,
        *,
        batch: bool,
        abandon: Callable[[], bool] = lambda: False,
    ) -> None:
        """Start it and load the model.

        Raises:
            ModelError: it does not load, or `abandon` says that nobody waits for it any more.
        """
        self._isolation = isolation
        self._progress = Progress.create()
        self._mark = secrets.token_hex(16)
        self._scratch = tempfile.mkdtemp(prefix="shadowlane-model-") if isolation.deny_writes else None
        self._is_closed = False
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = self._started(theirs.fileno())
            except OSError as error:  # no memory for it, or too many processes: that may pass
                ours.close()
                self._let_go()
                raise ModelError(f"no process could be started for model {source.uri!r}: {error}") from error
        self._channel = Channel(ours, patience=_PATIENCE_SECONDS, most_bytes=MOST_BYTES)
        #: How many rows it was asked about.
        self.asked = 0
        try:
            self._load(source, abandon, batch=batch)
        except BaseException:
            self.close()
            raise

    def ask(self, columns: pa.RecordBatch, *, apart: bool, look: bool) -> None:
        """Hand it a batch; `hear` then gives what it says.

        Raises:
            DiedError: it is gone.
        """
        self._progress.reset()
        self.asked += columns.num_rows
        try:
            self._channel.send({"apart": apart, "look": look}, columns)
        except ChannelError:
            raise self._death() from None

    def enough(self) -> None:
        """Wish that it hands on what it has, and leaves the rest."""
        self._progress.enough()

    def hear(self, seconds: float) -> tuple[dict[str, Any], pa.RecordBatch | None] | None:
        """What it says within so long; None: nothing yet.

        Raises:
            DiedError: it is gone, or says what nobody can read.
        """
        if not self._channel.poll(seconds):
            if self.is_alive:
                return None
            if not self._channel.poll(0):  # what it started may keep the line open when it is gone itself
                raise self._death()
        try:
            return self._channel.receive(_said.SCHEMAS)
        except ChannelError:
            raise self._death() from None

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    @property
    def place(self) -> Place:
        """Where it is in its batch."""
        return self._progress.read()

    @property
    def vitals(self) -> Vitals | None:
        """What it takes; None where that cannot be said."""
        return vitals(self._process.pid)

    def kill(self, stage: str, kind: str, message: str) -> DiedError:
        """End it by force, and say why."""
        row = self.place.row
        self.close()
        return DiedError(stage, kind, message, row)

    def nonsense(self, what: str) -> DiedError:
        """End it because of what it said: where it is by now says nothing of whose fault that was."""
        self.close()
        return DiedError("crash", "ModelProcessDied", f"the model's process {what}", READING)

    def close(self, *, politely: bool = False) -> None:
        """End it, and what it started; politely where it may still be of use to let it leave by itself."""
        if self._is_closed:
            return
        self._is_closed = True
        self._channel.close()
        if politely:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LEAVE_SECONDS)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        bury([-self._process.pid, *end_marked(f"{MARK}={self._mark}")])
        self._let_go()

    def _started(self, line: int) -> subprocess.Popen[bytes]:
        progress = self._progress.descriptor
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "shadowlane.replay_worker.isolation._child"),
                *map(str, (line, progress, os.getpid())),
            ],
            pass_fds=(line, progress),
            stdin=subprocess.DEVNULL,
            stdout=_STDERR,
            env=_environment(self._mark, self._scratch),
            start_new_session=True,  # Ctrl-C is for us; and what the model starts ends with it
        )

    def _let_go(self) -> None:
        self._progress.close()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _load(self, source: ModelSource, abandon: Callable[[], bool], *, batch: bool) -> None:
        isolation = asdict(self._isolation) | {"scratch": self._scratch}
        setup = {"source": asdict(source), "isolation": isolation, "batch": batch, "path": sys.path}
        setup["log"] = asdict(logs.current())
        try:
            self._channel.send(setup)
            self._wait_for_load(source.uri, monotonic() + self._isolation.load_seconds, abandon)
            head, _ = self._channel.receive({})
        except ChannelError:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STEP_SECONDS)
            raise self._lost(source.uri) from None
        if head.get("is") != "ready":
            raise ModelError(str(head.get("why")))
        try:
            self.names = _said.names(head.get("names"))
        except NonsenseError as error:
            raise ModelError(f"model {source.uri!r}: its process said what cannot be: {error}") from None
        self.wants_context = head.get("wants_context") is True
        self.strength = str(head.get("strength") or "")
        self.loaded = self.vitals

    def _wait_for_load(self, uri: str, deadline: float, abandon: Callable[[], bool]) -> None:
        """Until it says something."""
        limit = self._isolation.memory_bytes
        while not self._channel.poll(_STEP_SECONDS):
            if abandon():
                raise ModelError(f"told to stop while model {uri!r} was loading")
            if not self.is_alive:
                raise self._lost(uri)
            if monotonic() > deadline:
                seconds = self._isolation.load_seconds
                raise ModelError(f"model {uri!r} did not load within {seconds:g} s (--load-seconds)")
            seen = self.vitals
            if limit is not None and seen is not None and seen.own_bytes > limit:
                raise ModelError(
                    f"model {uri!r} takes more than {limit / 1024**2:,.0f} MiB to load (--memory-limit)"
                )

    def _lost(self, uri: str) -> ModelError:
        status = self._process.poll()
        how = "said what nobody can read" if status is None else _ended(status)
        return ModelError(f"model {uri!r}: its process {how} while it was loaded")

    def _death(self) -> DiedError:
        """How it ended; one that talks nonsense is ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STEP_SECONDS)
        status = self._process.poll()
        if status is None:
            return self.nonsense("said what nobody can read")
        return self.kill("crash", "ModelProcessDied", f"the model's process {_ended(status)}")


def _ended(status: int) -> str:
    if status >= 0:
        return f"ended itself with status {status}"
    name = signal.Signals(-status).name if -status in list(signal.Signals) else f"signal {-status}"
    return f"was ended by {name}" + (" (out of memory, perhaps)" if -status == signal.SIGKILL else "")


def _environment(mark: str, scratch: str | None) -> dict[str, str]:
    """Ours without what Kafka is entered with: the shadow is new code, and has no business there.

    What is meant for the model has a name that says so: SHADOWLANE_MODEL_….
    """
    ours = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_FOR_THE_MODEL) or not name.startswith("SHADOWLANE_")
    }
    own = {MARK: mark}
    if scratch is not None:
        own |= {"TMPDIR": scratch, "PYTHONDONTWRITEBYTECODE": "1"}
    return ours | own
