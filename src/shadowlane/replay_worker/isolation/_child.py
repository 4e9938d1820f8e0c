"""A model's process: load the model, then answer batches until the replay hangs up.

Started as `python -m shadowlane.replay_worker.isolation._child LINE PROGRESS PARENT`.
"""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import socket
import sys
from dataclasses import fields
from typing import Any

from shadowlane.errors import ModelError
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker._plan import ModelSource
from shadowlane.replay_worker.isolation._channel import Channel, ChannelError
from shadowlane.replay_worker.isolation._progress import IDLE, Progress
from shadowlane.replay_worker.isolation._runner import Runner
from shadowlane.replay_worker.models import load_model

log = logging.getLogger(__name__)

_SIGNAL_AT_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG
_KIBIBYTES_IN_MB = 1024.0


def main(line: int, progress: int, parent: int) -> None:
    """Serve one replay."""
    _die_with(parent)
    channel = Channel(socket.socket(fileno=line))
    setup, _ = channel.receive()
    sys.path[:] = setup["path"]
    on_row = Progress(progress).writer()
    try:
        model = load_model(_source(setup["source"]))
    except ModelError as error:
        channel.send({"is": "failed", "why": str(error)})
        return
    channel.send({"is": "ready", "names": list(model.names), "wants_context": model.wants_context})
    runner = Runner(model, batch=setup["batch"], on_row=on_row)
    while True:
        order, columns = channel.receive()
        assert columns is not None  # noqa: S101 - for the type checker; an order has a batch
        for chunk in runner.run(FeatureBatch.of(columns), apart=order["apart"]):
            failures = [[row, *failure] for row, failure in chunk.failures]
            channel.send({"is": "chunk", "failures": failures}, chunk.answers)
        on_row(IDLE)
        channel.send({"is": "done", "memory_mb": _peak_memory()})


def _source(values: dict[str, Any]) -> ModelSource:
    """The source as it was before it became JSON: its lists were tuples."""
    given: dict[str, Any] = {each.name: values[each.name] for each in fields(ModelSource)}
    lists = {name: tuple(each) for name, each in given.items() if isinstance(each, list)}
    return ModelSource(**(given | lists))


def _die_with(parent: int) -> None:
    """Be killed when the replay is gone, also while the model holds the interpreter."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SIGNAL_AT_PARENTS_DEATH, signal.SIGKILL)
    if os.getppid() != parent:  # gone already
        os._exit(1)


def _peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIBIBYTES_IN_MB


if __name__ == "__main__":
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    try:
        main(*map(int, sys.argv[1:]))
    except ChannelError:  # the replay hung up
        sys.exit(0)
