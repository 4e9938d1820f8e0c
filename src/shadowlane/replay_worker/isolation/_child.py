"""A model's process: load the model, then answer batches until the replay hangs up.

Started as `python -m shadowlane.replay_worker.isolation._child LINE PROGRESS PARENT`.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from shadowlane import logs
from shadowlane.errors import ModelError
from shadowlane.process import die_with_parent
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker._plan import ModelSource
from shadowlane.replay_worker.isolation._channel import Channel, ChannelError
from shadowlane.replay_worker.isolation._chunks import Chunk, look_at
from shadowlane.replay_worker.isolation._denial import Denial
from shadowlane.replay_worker.isolation._fetching import Fetching, open_runner
from shadowlane.replay_worker.isolation._process import MOST_BYTES
from shadowlane.replay_worker.isolation._progress import READING, Marker
from shadowlane.replay_worker.isolation._runner import Runner
from shadowlane.replay_worker.isolation._vitals import vitals
from shadowlane.replay_worker.models import LoadedModel, load_model
from shadowlane.replay_worker.models._fetch import load_fetcher
from shadowlane.schemas import Failure

log = logging.getLogger(__name__)

_FIRST_TO_GO = "1000"
_MOST_FAILURES = 1_000
# Threads that a model's libraries start when it is first asked take their stacks from what it may write to.
_STACKS_OF_A_CORE = 16 * 1024 * 1024


def main(line: int, progress: int, parent: int) -> None:
    """Serve one replay."""
    die_with_parent(parent)  # also while the model holds the interpreter
    _prepare_to_die()
    end = socket.socket(fileno=line)
    end.set_inheritable(False)
    os.set_inheritable(progress, False)
    channel, marker = Channel(end), Marker(progress)
    os.register_at_fork(after_in_child=channel.close)  # a copy of this process has nothing to say
    setup, _ = channel.receive()
    logs.configure(logs.LogSettings(**setup["log"]))
    sys.path[:] = setup["path"]
    limits = setup["isolation"]
    try:
        denial = Denial.of(limits)
        source = _source(setup["source"])
        model, fetcher = load_model(source), load_fetcher(source)
    except ModelError as error:
        channel.send({"is": "failed", "why": str(error)})
        return
    if limits["memory_bytes"]:
        _limit_memory(limits["memory_bytes"])
    wants_context = model.wants_context or fetcher is not None
    ready = {"names": list(model.names), "wants_context": wants_context}
    channel.send({"is": "ready", **ready, "strength": denial.strength})
    runner = open_runner(model, fetcher, batch=setup["batch"], on_row=marker.at, on_beat=marker.beat)
    while True:
        order, columns = channel.receive()
        assert columns is not None  # noqa: S101 - for the type checker; an order has a batch
        _answer(channel, marker, runner, model, order, FeatureBatch.of(columns))
        channel.send({"is": "done", "denied": denial.counts, "gpu_memory_mb": runner.gpu_memory_mb})


def _answer(
    channel: Channel,
    marker: Marker,
    runner: Runner | Fetching,
    model: LoadedModel,
    order: dict[str, Any],
    batch: FeatureBatch,
) -> None:
    if order["look"]:
        missing, unexpected = look_at(batch, model.names)
        if missing is not None or unexpected:
            channel.send({"is": "features", "unexpected": unexpected}, missing)
    for chunk in runner.run(batch, apart=order["apart"]):
        for part in _parts(chunk):
            head = {"failures": [[row, *failure] for row, failure in part.failures], "starved": part.starved}
            channel.send({"is": "chunk", "unavailable": part.unavailable, **head}, part.answers)
        if marker.is_enough():
            break
    marker.at(READING)


def _parts(chunk: Chunk) -> Iterator[Chunk]:
    """The same in messages that are not too long; an answer that is too long by itself is a failure."""
    answers = chunk.answers
    if answers.nbytes > MOST_BYTES // 2 and answers.num_rows > 1:
        middle = answers.num_rows // 2
        yield from _parts(Chunk(answers.slice(0, middle)))
        yield from _parts(Chunk(answers.slice(middle), chunk.failures, chunk.starved, chunk.unavailable))
    elif answers.nbytes > MOST_BYTES // 2:
        failure = Failure("predict", "OversizeAnswer", f"an answer of {answers.nbytes:,} bytes")
        failures = [*chunk.failures, (int(answers.column("row")[0].as_py()), failure)]
        yield from _parts(Chunk(answers.slice(0, 0), failures, chunk.starved, chunk.unavailable))
    elif len(chunk.failures) > _MOST_FAILURES:
        first, rest = chunk.failures[:_MOST_FAILURES], chunk.failures[_MOST_FAILURES:]
        starved = {row for row, _ in first}.intersection(chunk.starved)
        yield Chunk(answers, first, sorted(starved))
        others = [row for row in chunk.starved if row not in starved]
        yield from _parts(Chunk(answers.slice(0, 0), rest, others, chunk.unavailable))
    else:
        yield chunk


def _source(values: dict[str, Any]) -> ModelSource:
    """The source as it was before it became JSON: its lists were tuples."""
    given: dict[str, Any] = {each.name: values[each.name] for each in fields(ModelSource)}
    lists = {name: tuple(each) for name, each in given.items() if isinstance(each, list)}
    return ModelSource(**(given | lists))


def _prepare_to_die() -> None:
    """Where memory runs out the kernel ends this process, not the replay; a crash leaves a trace, no core."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, encoding="ascii")
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    faulthandler.enable()


def _limit_memory(limit: int) -> None:
    """From now on a request that asks for more than is left gets a MemoryError, where the kernel can do that.

    Address space is no measure: libraries reserve much more than they use. RLIMIT_DATA counts what may be
    written to; what was reserved before the limit is set does not count against it.
    """
    seen = vitals()
    if seen is not None:
        left = max(0, limit - seen.own_bytes)
        most = seen.data_bytes + left + (os.cpu_count() or 1) * _STACKS_OF_A_CORE
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    try:
        main(*map(int, sys.argv[1:]))
    except ChannelError:  # the replay hung up
        sys.exit(0)
