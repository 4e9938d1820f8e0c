"""What the loop says of itself while it runs: what waits for others has no limit, what is ours has one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from threading import Event
from typing import Any

from shadowlane.errors import BrokerUnreachableError
from shadowlane.health import Pulse
from shadowlane.kafka import TopicNames
from shadowlane.replay_worker import ModelSource, Tally, Target, WorkerPlan
from shadowlane.replay_worker._membership import round_seconds
from shadowlane.replay_worker._standing import ROUND_SECONDS, start_seconds
from shadowlane.replay_worker._witness import Witness
from shadowlane.replay_worker._worker import run_loop

PLAN = WorkerPlan(Target("fraud", "s"), ModelSource("python:models:predict"))


class Batch:
    """What one message came to."""

    taken, asked, outgoing, fault = 1, 1, (), None
    failed = ()

    def __init__(self) -> None:
        self.errors = Counter[str]()

    def count(self, tally: Tally) -> None:
        """One request."""
        tally.requests += 1

    def contexts(self) -> Any:
        """Nobody traces here."""
        raise AssertionError


class Work:
    """Source, replay and outbox in one: a message, a broker that is away, the message again, the end."""

    topics, worker_id = TopicNames(), "w-0"

    def __init__(self, said: list[float]) -> None:
        self._said, self._sent = said, 0
        self.waited_under: list[float] = []

    @property
    def finished(self) -> bool:
        """When the message is through."""
        return self._sent == 2

    def take(self, _size: int) -> list[Any]:
        """The message."""
        return [type("Message", (), {"partition": lambda _: 0, "timestamp": lambda _: (1, 1000)})()]

    def run(self, _messages: Sequence[Any], _give_up: Any) -> Batch:
        """It is replayed."""
        return Batch()

    def offsets(self, _taken: Any, _outcome: Any) -> list[Any]:
        """None."""
        return []

    def group(self) -> None:
        """None."""

    def send(self, *_results: Any) -> None:
        """At first the broker is away."""
        self._sent += 1
        if self._sent == 1:
            raise BrokerUnreachableError("nobody answers")

    def rewind(self, _messages: Any) -> None:
        """This may take as long as the broker is away."""
        self.waited_under.append(self._said[-1])

    def close(self) -> None:
        """Nothing to let go of."""


def test_a_loop_that_waits_for_its_broker_is_never_overdue() -> None:
    """All else has a limit: a round a short one, a batch that of its model's calls and loads."""
    said: list[float] = []
    work: Any = Work(said)
    pulse = Pulse.shared()

    def expect(seconds: float) -> None:
        said.append(seconds)
        pulse.expect(seconds)

    shown: list[int] = []
    witness = Witness("w-0", pulse, lambda tally: shown.append(tally.requests))
    tally = run_loop(PLAN, work, work, work, Event(), witness.tick, expect)
    assert tally.requests == 1
    assert work.waited_under == [math.inf]
    assert set(said) == {round_seconds(PLAN), math.inf}
    assert 0 > pulse.overdue > -ROUND_SECONDS - 1
    assert witness.tally is tally
    assert shown[0] == 0


def test_the_limits_leave_room_for_what_the_plan_allows() -> None:
    """A call that takes all its time, in a process that is loaded again, is no loop that stands still."""
    isolation = PLAN.isolation
    assert round_seconds(PLAN) > isolation.load_seconds + isolation.call_seconds
    assert start_seconds(PLAN) > 3 * isolation.load_seconds
