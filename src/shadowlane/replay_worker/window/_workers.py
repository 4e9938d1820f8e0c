"""The workers of a window: in this process when there is one, else a process each."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from threading import Event as Flag
from typing import Any

from shadowlane import logs
from shadowlane.errors import ShadowlaneError
from shadowlane.kafka import TopicNames
from shadowlane.process import die_with_parent, leave_with_parent, rare_collections, stopped_by_signals
from shadowlane.replay_worker._outbox import Outbox
from shadowlane.replay_worker._plan import WorkerPlan
from shadowlane.replay_worker._replay import open_replay
from shadowlane.replay_worker._tally import Tally
from shadowlane.replay_worker._worker import run_loop
from shadowlane.replay_worker.window._bounded import Bounded, Share, transactional_id
from shadowlane.replay_worker.window._record import Position
from shadowlane.replay_worker.window._source import WindowSource
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

Reached = dict[int, Position]
Say = Callable[[Reached], None]

_SAY_SECONDS = 0.2
_POLL_SECONDS = 0.05
_RESTART_SECONDS = 1.0
# Beyond the plan's grace: closing clients, and the interpreter's end.
_FAREWELL_SECONDS = 5.0
#: A worker that dies so often without getting anywhere would do so for ever.
_DEATHS = 5


def replay_share(plan: WorkerPlan, kafka: KafkaSettings, share: Share, stop: Flag, say: Say) -> None:
    """Replay some partitions of a window to their ends, or until told to stop.

    Raises:
        ModelError: the model cannot be loaded, or fails for too many requests.
        FencedError: the same run was started once more.
    """
    topics, target, said = TopicNames(kafka.topic_prefix), plan.target, 0.0
    group = topics.prefix + target.group
    worker_id = f"{target.model}.{target.shadow}.{target.run}.{share.number}"
    logs.say_about(model=target.model, shadow=target.shadow, run=target.run, worker=worker_id)
    with open_replay(plan, topics, worker_id, stop.wait) as replay, rare_collections():
        # First: this ends what an earlier process may have left open, and so settles where it got to.
        outbox = Outbox(kafka, transactional_id(group, share.number))
        source = _source(plan, kafka, share, stop)

        def tick(tally: Tally) -> None:
            nonlocal said
            tally.lost, tally.restarts = source.lost, replay.restarts
            if time.monotonic() - said >= _SAY_SECONDS:
                said = time.monotonic()
                say(source.reached)

        run_loop(plan, source, replay, outbox, stop, tick)
        say(source.reached)


def _source(plan: WorkerPlan, kafka: KafkaSettings, share: Share, stop: Flag) -> Bounded:
    """What the share is read from."""
    topics = TopicNames(kafka.topic_prefix)
    place = (share, kafka, topics.prefix + plan.target.group, topics.requests, stop)
    if share.held is None:
        return WindowSource(*place)
    from shadowlane.replay_worker.window._lake_source import LakeSource  # noqa: PLC0415 - the lake's extra

    return LakeSource(*place, plan)


def replay_shares(
    plan: WorkerPlan, kafka: KafkaSettings, shares: Sequence[Share], stop: Flag, say: Say
) -> None:
    """A process for each share; one that is killed is started again and goes on.

    Raises:
        ShadowlaneError: a worker gave up; the others are stopped.
    """
    workers = [_Worker(plan, kafka, share) for share in shares]
    try:
        for worker in workers:
            worker.start()
        while any(not worker.is_done for worker in workers) and not stop.is_set():
            wait([worker.line for worker in workers if not worker.is_done], _SAY_SECONDS)
            say({})
            for worker in workers:
                worker.look(say)
    finally:
        _stop(workers, plan.grace_seconds + _FAREWELL_SECONDS, say)


@dataclass(slots=True)
class _Worker:
    """One share's process, and what it says."""

    plan: WorkerPlan
    kafka: KafkaSettings
    share: Share
    is_done: bool = False
    deaths: int = 0
    reached: Reached = field(default_factory=dict)
    process: BaseProcess | None = None
    line: Any = None

    def start(self) -> None:
        """Spawned, not forked: Kafka clients and thread pools do not survive a fork."""
        context = multiprocessing.get_context("spawn")
        self.line, theirs = context.Pipe(duplex=False)
        self.process = context.Process(
            target=_child, args=(self.plan, self.kafka, self.share, logs.current(), os.getpid(), theirs)
        )
        self.process.start()
        theirs.close()  # so that the line ends when the process does

    def look(self, say: Say) -> None:
        """Take in what it said, and start it again where it was killed.

        Raises:
            ShadowlaneError: it gave up.
        """
        if self.is_done or self.process is None or self.hear(say):
            return
        self.process.join()
        self.line.close()
        status = self.process.exitcode or 0
        if status > 0:
            raise ShadowlaneError(
                f"a worker ended with status {status}, and has said why unless its model ended it; "
                "run the same command to go on"
            )
        if status < 0:
            self._mourn(signal.Signals(-status).name)
            self.start()
        self.is_done = status == 0

    def _mourn(self, killer: str) -> None:
        self.deaths += 1
        if self.deaths >= _DEATHS:
            raise ShadowlaneError(
                f"a worker was killed {self.deaths} times and got nowhere, the last time by {killer}; "
                "run the same command to go on"
            )
        log.warning("a worker was ended by %s; starting another", killer)
        time.sleep(_RESTART_SECONDS)

    def hear(self, say: Say) -> bool:
        """Pass on what it says; whether the line still holds.

        Raises:
            ShadowlaneError: it gave up, and said why.
        """
        try:
            while self.line is not None and self.line.poll():
                said = self.line.recv()
                if isinstance(said, ShadowlaneError):
                    raise said
                if said != self.reached:
                    self.reached, self.deaths = said, 0
                say(said)
        except (EOFError, OSError):
            return False
        return True


def _child(
    plan: WorkerPlan,
    kafka: KafkaSettings,
    share: Share,
    log_settings: logs.LogSettings,
    parent: int,
    line: Any,
) -> None:
    if plan.isolation.kind == "none":
        die_with_parent(parent)  # a model that holds the interpreter would keep us from hearing of its end
    logs.configure(log_settings)
    # Ctrl-C reaches us all, as it does our parent: finish; and the second one ends us at once.
    with stopped_by_signals() as stop:
        leave_with_parent(parent)
        try:
            replay_share(plan, kafka, share, stop, line.send)
        except ShadowlaneError as error:
            line.send(error)
            sys.exit(1)


def _stop(workers: Sequence[_Worker], grace: float, say: Say) -> None:
    """Ask each to finish its batch; end by force what does not within the grace."""
    running = [each.process for each in workers if each.process is not None and not each.is_done]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + grace
    while any(process.is_alive() for process in running):
        if time.monotonic() > deadline:
            log.warning("a worker did not finish within %.0f s; ending it", grace)
            for process in running:
                process.kill()
        for worker in workers:
            _last_words(worker, say)  # also so that none waits for us to listen
        time.sleep(_POLL_SECONDS)
    for worker in workers:
        _last_words(worker, say)


def _last_words(worker: _Worker, say: Say) -> None:
    try:
        worker.hear(say)
    except ShadowlaneError as error:
        log.error("%s", error)  # noqa: TRY400 - the sentence is for a reader; the trace is not
