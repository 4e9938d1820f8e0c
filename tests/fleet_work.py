"""What the processes of a fleet do in tests; a spawned process imports it by this name."""

from __future__ import annotations

import os
import time
from typing import Any

from shadowlane.errors import FencedError
from shadowlane.health import Pulse
from shadowlane.process import leave_with_parent, stopped_by_signals
from shadowlane.replay_worker import Tally
from shadowlane.replay_worker._member import Line


def works(line: Line, pulse: Pulse, parent: int) -> None:
    """Does its round until it is told to stop, and says what it did."""
    with stopped_by_signals() as stop:
        leave_with_parent(parent)
        line.say(f"w-{os.getpid()}")
        tally = Tally(requests=5, waiting={0: 1})
        while not stop.is_set():
            pulse.expect(60)
            line.say(tally)
            stop.wait(0.02)
        tally.requests = 6
        line.say(tally, 1.0)


def stands_still(line: Line, pulse: Pulse, parent: int) -> None:
    """Does one round and then nothing, whatever it is told."""
    leave_with_parent(parent, grace=1)
    line.say("w-still")
    line.say(Tally(requests=3))
    pulse.expect(0.3)
    while True:
        time.sleep(60)


def gives_up(line: Line, _pulse: Pulse, _parent: int) -> None:
    """Says why, and ends."""
    line.say("w-fenced")
    line.say(FencedError("another worker runs under this id"), 1.0)
    raise SystemExit(1)


def ends_without_a_word(_line: Line, _pulse: Pulse, _parent: int) -> None:
    """As a model in the worker's own process may have it."""
    raise SystemExit(3)


def works_in_a_fleet(_plan: Any, _kafka: Any, _log: Any, line: Line, pulse: Pulse, parent: int) -> None:
    """The same, under all that a fleet hands to its workers."""
    works(line, pulse, parent)


def gives_up_in_a_fleet(_plan: Any, _kafka: Any, _log: Any, line: Line, pulse: Pulse, parent: int) -> None:
    """The same."""
    gives_up(line, pulse, parent)
