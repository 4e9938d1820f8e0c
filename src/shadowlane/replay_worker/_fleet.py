"""Workers on one machine: one in this process, or several in processes of their own."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from ctypes import c_double
from dataclasses import replace
from functools import partial
from threading import Event as Flag
from threading import Thread

from shadowlane import logs
from shadowlane.errors import ModelError, ShadowlaneError
from shadowlane.health import Health, Pulse, answering
from shadowlane.process import Heartbeat, die_with_parent, leave_with_parent, stopped_by_signals
from shadowlane.replay_worker._claims import claimed_id
from shadowlane.replay_worker._member import Line, Member
from shadowlane.replay_worker._plan import WorkerPlan
from shadowlane.replay_worker._standing import Overview, Standing, start_seconds
from shadowlane.replay_worker._tally import Tally, total
from shadowlane.replay_worker._witness import Witness, in_words
from shadowlane.replay_worker._worker import run_worker
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
# Beyond the plan's grace: leaving the group, and the interpreter's end.
_FAREWELL_SECONDS = 5.0
_LAST_WORD_SECONDS = 1.0
_FAILED = 1


def run_one(
    plan: WorkerPlan, kafka: KafkaSettings, worker_id: str | None, stop: Flag, health: Health | None = None
) -> Tally:
    """One worker in this process, with a heartbeat, a line now and then, and answers over HTTP."""
    pulse, shown = Pulse(c_double()), list[Tally]()
    pulse.expect(start_seconds(plan))
    with claimed_id(plan, kafka, worker_id) as claimed:

        def show(tally: Tally) -> None:
            shown[:] = [deepcopy(tally)]

        def look() -> Overview:
            tally = shown[0] if shown else None
            return Overview(plan, [Standing(claimed, tally, pulse.overdue, stop.is_set())])

        with answering(health, lambda: look().view), _beating(pulse):
            return _run(plan, kafka, Witness(claimed, pulse, show), stop)


def run_fleet(
    plan: WorkerPlan, kafka: KafkaSettings, processes: int, stop: Flag, health: Health | None = None
) -> Tally:
    """Keep so many workers running until told to stop.

    A worker that is killed, or stands still, is started again, more and more slowly. One that gives up
    (its model cannot be loaded, too many errors, fenced) ends the fleet.

    Raises:
        ShadowlaneError: a worker gave up, for this reason.
    """
    logs.say_about(model=plan.target.model, shadow=plan.target.shadow, run=plan.target.run)
    heartbeat, work = Heartbeat(), partial(_work, plan, kafka, logs.current())
    members: list[Member] = []

    def look() -> Overview:
        standings = [replace(each.standing, stopping=stop.is_set()) for each in members]
        standings += [Standing(f"number {number}") for number in range(len(standings), processes)]
        past = total([each.past for each in members])
        return Overview(plan, standings, past, sum((each.replaced for each in members), Counter()))

    with answering(health, lambda: look().view):
        try:
            members.extend(Member(number, work, start_seconds(plan)) for number in range(processes))
            while not stop.wait(_LOOK_SECONDS):
                if not any(each.standing.stuck for each in members):
                    heartbeat.beat()
                for each in members:
                    each.look_after()
        finally:
            _stop(members, plan.grace_seconds + _FAREWELL_SECONDS)
    whole = total([each.past for each in members])
    log.info("the fleet stopped; its workers replayed %s", in_words(whole))
    return whole


def _work(
    plan: WorkerPlan,
    kafka: KafkaSettings,
    log_settings: logs.LogSettings,
    line: Line,
    pulse: Pulse,
    parent: int,
) -> None:
    """One worker of a fleet, in a process of its own."""
    if plan.isolation.kind == "none":
        die_with_parent(parent)  # a model that holds the interpreter would keep us from hearing of its end
    logs.configure(log_settings)
    # Ctrl-C reaches us all, as it does our parent: finish; and the second one ends us at once.
    with stopped_by_signals() as stop:
        leave_with_parent(parent, plan.grace_seconds + 3 * _FAREWELL_SECONDS)
        try:
            with claimed_id(plan, kafka, None) as worker_id:
                line.say(worker_id)
                _run(plan, kafka, Witness(worker_id, pulse, line.say), stop)
        except ShadowlaneError as error:
            line.say(error, _LAST_WORD_SECONDS)
            log.error("%s", error)  # noqa: TRY400 - the sentence is for a reader; the trace is not
            sys.exit(_FAILED)


def _run(plan: WorkerPlan, kafka: KafkaSettings, witness: Witness, stop: Flag) -> Tally:
    target = plan.target
    logs.say_about(model=target.model, shadow=target.shadow, run=target.run, worker=witness.worker_id)
    log.info("worker %s replays %s on %s", witness.worker_id, target.model, target.shadow)
    witness.pulse.expect(start_seconds(plan))
    try:
        tally = run_worker(
            plan, kafka, witness.worker_id, stop=stop, tick=witness.tick, expect=witness.pulse.expect
        )
    except ModelError as error:
        if witness.tally is not None or not stop.is_set():
            raise
        log.info("%s", error)  # told to stop before the model was there: nothing is wrong
        tally = Tally()
    finally:
        witness.show()
    log.info("worker %s stopped; replayed %s", witness.worker_id, in_words(tally))
    return tally


@contextmanager
def _beating(pulse: Pulse) -> Iterator[None]:
    """Touch the heartbeat's file while the loop moves, also while it waits for a slow model."""
    heartbeat, over = Heartbeat(), Flag()

    def beat() -> None:
        while not over.wait(_LOOK_SECONDS):
            if pulse.overdue <= 0:
                heartbeat.beat()

    thread = Thread(target=beat, name="shadowlane-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _stop(members: Sequence[Member], seconds: float) -> None:
    """Ask each to finish its batch; end by force what does not within the grace."""
    for each in members:
        each.tell_to_stop()
    deadline = time.monotonic() + seconds
    for each in members:
        each.wait(deadline - time.monotonic())
