"""One worker of a fleet: its process, and what the fleet hears of it."""

from __future__ import annotations

import logging
import multiprocessing
import os
import select
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from threading import Thread
from time import monotonic

from shadowlane.errors import ShadowlaneError
from shadowlane.health import Pulse
from shadowlane.replay_worker._standing import Standing
from shadowlane.replay_worker._tally import Tally, total

log = logging.getLogger(__name__)

_FIRST_REST, _LONGEST_REST = 1.0, 60.0
# One that lived for so long had a fresh start: its end is not one more of a row.
_HEALTHY_SECONDS = 60.0
_HEARING_SECONDS = 5.0
# Spawned, not forked: Kafka clients and thread pools do not survive a fork.
_SPAWN = multiprocessing.get_context("spawn")

News = str | Tally | ShadowlaneError


class Line:
    """A worker's end of its line to the fleet."""

    def __init__(self, end: Connection) -> None:
        self._end = end

    def say(self, news: News, patience: float = 0.0) -> None:
        """Our id, our tally, or why we give up; lost where nobody listens, as no worker waits for that.

        A socket can be written to while most of its buffer is free, and what is said is smaller than that.
        """
        with suppress(OSError):
            if select.select([], [self._end], [], patience)[1]:
                self._end.send(news)


class Member:
    """The fleet's side of one worker: its process, replaced when it is killed or stands still."""

    def __init__(self, number: int, work: Callable[[Line, Pulse, int], None], start_seconds: float) -> None:
        self._number, self._work, self._start_seconds = number, work, start_seconds
        #: How often a process of it was replaced, by cause.
        self.replaced = Counter(killed=0, stuck=0)
        # What its ended processes did, and what this one has done. One value: others look at it any time.
        self._books: tuple[Tally, Tally | None] = (Tally(), None)
        self._rest, self._not_before = _FIRST_REST, 0.0
        self._start()

    @property
    def standing(self) -> Standing:
        """How it stands."""
        overdue = self._pulse.overdue if self._not_before == 0.0 else 0.0
        return Standing(self._worker_id or f"number {self._number}", self._books[1], overdue)

    @property
    def past(self) -> Tally:
        """What its processes did that have ended."""
        return self._books[0]

    def look_after(self) -> None:
        """Start another process where the last one has ended, and end one that stands still.

        Raises:
            ShadowlaneError: it gave up, for this reason.
        """
        if self._process.exitcode is None:
            if self._pulse.overdue > 0:
                self._process.kill()
                self._process.join()
                self._bury("stuck", self.standing.stuck or "its loop stood still")
            return
        if self._not_before == 0.0:
            if self._process.exitcode > 0:
                raise self._reason()
            ended = "it was ended by a signal" if self._process.exitcode else "it left, and nobody told it to"
            self._bury("killed", ended)
        elif monotonic() >= self._not_before:
            self._start()

    def tell_to_stop(self) -> None:
        """Finish what is under way, and leave."""
        if self._process.is_alive():
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Until it has left; one that does not in time is ended by force."""
        self._process.join(max(0.0, seconds))
        if self._process.is_alive():
            log.warning("worker %s did not finish in time; ending it", self.standing.worker_id)
            self._process.kill()
            self._process.join()
        self._ears.join(_HEARING_SECONDS)
        self._close_books()

    def _start(self) -> None:
        self._pulse, self._worker_id = Pulse.shared(), ""
        self._why: ShadowlaneError | None = None
        self._pulse.expect(self._start_seconds)
        ours, theirs = _SPAWN.Pipe()
        with theirs:
            self._process = _SPAWN.Process(target=self._work, args=(Line(theirs), self._pulse, os.getpid()))
            self._process.start()
        # A thread: a worker that is stopped in the middle of what it says would hold whoever listens.
        self._ears = Thread(target=self._listen, args=(ours,), name="shadowlane-fleet", daemon=True)
        self._ears.start()
        self._born, self._not_before = monotonic(), 0.0

    def _listen(self, end: Connection) -> None:
        with end, suppress(OSError, EOFError):
            while True:
                match end.recv():
                    case str(worker_id):
                        self._worker_id = worker_id
                    case Tally() as tally:
                        self._books = (self._books[0], tally)
                    case ShadowlaneError() as why:
                        self._why = why

    def _bury(self, cause: str, how: str) -> None:
        """It has ended, and none of us told it to."""
        self._ears.join(_HEARING_SECONDS)
        if monotonic() - self._born > _HEALTHY_SECONDS:
            self._rest = _FIRST_REST
        log.warning("worker %s: %s; another starts in %.0f s", self.standing.worker_id, how, self._rest)
        self._close_books()
        self.replaced[cause] += 1
        self._not_before = monotonic() + self._rest
        self._rest = min(2 * self._rest, _LONGEST_REST)

    def _close_books(self) -> None:
        """What the process did stays counted; what it held is no longer its."""
        past, tally = self._books
        if tally is not None:
            tally.waiting = None
            self._books = (total([past, tally]), None)

    def _reason(self) -> ShadowlaneError:
        """Why it gave up: its own error, so that the fleet ends as it did."""
        self._ears.join(_HEARING_SECONDS)
        name, status = self.standing.worker_id, self._process.exitcode
        log.error("worker %s gave up; the fleet stops", name)
        return self._why or ShadowlaneError(
            f"worker {name} ended with status {status}, and has said why unless its model ended the process"
        )
