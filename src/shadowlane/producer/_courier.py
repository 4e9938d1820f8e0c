"""The background thread of one hook in one process: take, encode, produce, keep the ledger."""

from __future__ import annotations

import math
import secrets
import socket
import time
from collections.abc import Callable
from os import getpid
from threading import Lock, Thread, current_thread
from typing import ParamSpec

from shadowlane.errors import ShadowlaneError
from shadowlane.producer import _lifetime
from shadowlane.producer._encode import Encoder
from shadowlane.producer._intake import Intake
from shadowlane.producer._ledger import Ledger
from shadowlane.producer._log import DropWatch, Log, described
from shadowlane.producer._observer import Observer
from shadowlane.producer._outbox import Outbox
from shadowlane.producer._plan import Plan
from shadowlane.producer._rates import RateWatch, first_rates
from shadowlane.producer._sampling import Rates
from shadowlane.producer._sender import Sender
from shadowlane.producer._stats import Counts
from shadowlane.schemas import LedgerEntry

P = ParamSpec("P")

# Between two slices the callers' threads get their turn. Where nothing more waits, what comes in gathers
# for a while: many together take less than each by itself.
_REST, _GATHER, _IDLE = 0.0002, 0.02, 0.05
_QUICK = 0.005  # where somebody waits for what was sent
_NO_PRODUCER, _NO_THREAD = 5.0, 1.0
_LOOK_SECONDS = 1.0
# No wait is longer: clocks, and librdkafka's, overflow at a time without an end.
_LONGEST = 86_400.0
# Of the time that closing may take, what is kept for the last ledger entry.
_LEDGER_SHARE, _LEDGER_SECONDS = 0.25, 1.0


class Courier:
    """One process's intake, counts and background thread; a forked child gets another."""

    def __init__(self, plan: Plan, rates: Rates | None = None) -> None:
        self._plan = plan
        mark = secrets.token_hex(8)
        self.counts = Counts(f"{socket.gethostname()[:64]}-{getpid()}-{mark}")
        #: Takes requests down, in the callers' threads.
        self.observer = Observer(mark, plan.sampling, rates or first_rates(plan.sampling))
        self.intake = Intake(self.counts, plan.limits.queue_size, plan.limits.queue_bytes, self._start)
        self.outbox: Outbox | None = None
        self._encoder = Encoder(plan.subject, self.counts.producer_id, mark)
        self._log, self._drops = Log(), DropWatch(plan.limits.queue_size, plan.limits.queue_bytes)
        self._sender = Sender(self.intake, self.observer, self._encoder, plan.redaction, self._log)
        self._watch: RateWatch | None = None
        self._thread: Thread | None = None
        self._alone, self._next_start = Lock(), 0.0
        self._flushing = False
        self._deadline = 0.0
        self._ledger = Ledger(plan.subject, self.counts, plan.limits.ledger_seconds)
        self._next_look = 0.0

    @property
    def clients(self) -> list[object]:
        """Kafka clients with threads of their own, which a forked child does not have."""
        found = [*self.outbox.clients] if self.outbox else []
        return [*found, self._watch.consumer] if self._watch and self._watch.consumer else found

    def flush(self, timeout: float) -> bool:
        """Wait until Kafka has answered for all that was published so far; False where the time ran out."""
        with self.counts.lock:
            if self._thread is None or not self._thread.is_alive():
                return not self.intake  # what waits where no thread was to be had is not answered
            self._flushing = True
        settled = _wait(lambda: not self._flushing, time.monotonic() + min(timeout, _LONGEST))
        self._flushing = False
        return settled

    def begin_close(self, timeout: float | None = None) -> None:
        """Take nothing more, and have the background thread end within this time."""
        with self.counts.lock:
            if not self.intake.closed:
                seconds = self._plan.limits.exit_seconds if timeout is None else timeout
                self._deadline = time.monotonic() + min(seconds, _LONGEST)
                self.intake.close()

    def join(self) -> None:
        """Wait for the background thread, as long as it was given."""
        if self._thread is None:
            self.intake.give_up()
        elif self._thread is not current_thread():
            thread = self._thread
            _wait(lambda: not thread.is_alive(), max(self._deadline, time.monotonic()) + 2 * _IDLE)

    def _start(self) -> bool:
        """Have the background thread; False where there is none to be had now."""
        if time.monotonic() < self._next_start:  # to ask for one takes a caller's time
            return False
        self._next_start = time.monotonic() + _NO_THREAD
        thread = Thread(target=self._run, name="shadowlane-hook", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads to be had, or the interpreter is about to end
            self.intake.complaints.append("the hook had no thread for a while: none could be started")
            return False
        self._thread = self._thread or thread
        _lifetime.started(self)
        return True

    # From here on: the background thread.

    def _run(self) -> None:
        # A start that an exception ended (a signal's, or of the caller's full stack) may have made a thread.
        if not self._alone.acquire(blocking=False):
            return
        self._thread = current_thread()
        try:
            self.outbox = self._make_outbox()
            if self.outbox:
                self._serve(self.outbox)
                self._finish(self.outbox)
        except BaseException as error:  # a native library may panic, and a panic is no Exception
            self._log.once(f"the hook of {self._plan.subject.model} stopped: {described(error)}")
        finally:
            self.intake.close()
            self._give_up()
            self._survives(self._stop_watching)
            with _lifetime.no_fork():
                self.outbox = None
            self._flushing = False
            _lifetime.ended(self)

    def _make_outbox(self) -> Outbox | None:
        """A producer, as soon as one can be made (a certificate may be missing for a while)."""
        while True:  # once at least: a short script may be at its end before this thread begins
            try:
                with _lifetime.no_fork():
                    return self._plan.make_outbox(self._plan.settings, self.counts, self._log)
            except BaseException as error:  # what a native library raises, too, may be over next time
                why = str(error) if isinstance(error, ShadowlaneError) else described(error)
                self._log.once(f"the hook has no Kafka client and tries again: {why}")
            next_try = time.monotonic() + _NO_PRODUCER
            while time.monotonic() < next_try:
                if self.intake.closed:
                    return None
                self.intake.weigh(all_of_it=True)
                time.sleep(_IDLE)

    def _serve(self, outbox: Outbox) -> None:
        while not self.intake.closed:
            if not self._survives(self._turn, outbox):
                time.sleep(_IDLE)  # not at full speed into the next failure

    def _turn(self, outbox: Outbox) -> None:
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_SECONDS
            self._look_for_rates()
        more = self._send_slice(outbox)
        self.intake.weigh(all_of_it=len(self._sender) > 0)
        outbox.poll(0)
        self._keep_books(outbox)
        if more:  # where all threads are greenlets (gevent), the others come to run here alone
            time.sleep(0 if self.intake.is_half_full else _REST)
        elif self._flushing:
            outbox.poll(_QUICK)
        else:
            time.sleep(_GATHER)

    def _survives(self, step: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Whether a step went well; where it did not, the next one may."""
        try:
            step(*args, **kwargs)
        except BaseException as error:  # a native library may panic, and a panic is no Exception
            self._log.once(f"the hook goes on after {described(error)}")
            return False
        return True

    def _look_for_rates(self) -> None:
        sampling = self._plan.sampling
        if sampling.file is None and not sampling.control:
            return
        if self._watch is None:
            plan = self._plan
            with _lifetime.no_fork():
                self._watch = RateWatch(
                    sampling, plan.subject.model, plan.settings, self._log, self.observer.rates
                )
        rates = self._watch.look()
        if rates is not None:
            self.observer.rates = rates

    def _stop_watching(self) -> None:
        if self._watch:
            watch, self._watch = self._watch, None
            with _lifetime.no_fork():
                watch.close()

    def _send_slice(self, outbox: Outbox) -> bool:
        """Send a few items; True where more can be sent at once."""
        return self._sender.send_slice(outbox)

    def _keep_books(self, outbox: Outbox) -> None:
        self._say_what_was_dropped()
        self._send_ledger(outbox, self._ledger.due(time.monotonic()))
        with self.counts.lock:  # or a request could come, with its `flush`, between the look and the word
            if not self.intake and not self._sender and not outbox.in_flight:
                self._flushing = False

    def _say_what_was_dropped(self, *, last: bool = False) -> None:
        while self.intake.complaints:
            self._log.once(self.intake.complaints.popleft())
        self._drops.look(self.counts.dropped.get("queue_full", 0), math.inf if last else time.monotonic())

    def _finish(self, outbox: Outbox) -> None:
        """Deliver what waits, as far as the time goes, and close the books."""
        left = self._deadline - time.monotonic()
        for_requests = self._deadline - min(left * _LEDGER_SHARE, _LEDGER_SECONDS)
        self._survives(self._send_all, outbox, for_requests)
        self._give_up()
        self._survives(outbox.flush, for_requests - time.monotonic())
        self._survives(self._say_what_was_dropped, last=True)
        self._survives(lambda: self._send_ledger(outbox, self._ledger.last()))
        self._survives(outbox.flush, self._deadline - time.monotonic())

    def _send_all(self, outbox: Outbox, until: float) -> None:
        while (self.intake or self._sender) and time.monotonic() < until:
            outbox.poll(0 if self._send_slice(outbox) else _QUICK)

    def _give_up(self) -> None:
        self.intake.give_up()
        self._sender.give_up()

    def _send_ledger(self, outbox: Outbox, entry: LedgerEntry | None) -> None:
        if entry is not None:
            outbox.send_ledger(self._encoder.ledger(entry))


def _wait(until: Callable[[], bool], deadline: float) -> bool:
    """Wait for something until a (monotonic) time; False where it did not come.

    Asleep and not at a lock: one that was made before gevent came (a service that is loaded and then
    forks) stops every greenlet of the process, the one that is waited for among them.
    """
    while not until():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_QUICK)
    return True
