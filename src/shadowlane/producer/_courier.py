"""The background thread of one hook in one process: take, encode, produce, keep the ledger."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from os import getpid
from threading import Event, Thread, current_thread
from typing import ParamSpec

from shadowlane.errors import SettingsError, ShadowlaneError
from shadowlane.producer import _lifetime
from shadowlane.producer._encode import Encoder, Observation, Subject
from shadowlane.producer._intake import Intake
from shadowlane.producer._log import DropWatch, Log, described
from shadowlane.producer._outbox import Outbox
from shadowlane.producer._stats import Counts, Stats
from shadowlane.schemas import LedgerEntry
from shadowlane.settings import KafkaSettings

P = ParamSpec("P")

# The interpreter runs one thread at a time: after so many requests the callers' threads get their turn.
_SLICE = 16
_REST = 0.0002
_IDLE = 0.05
_NO_PRODUCER = 5.0
# Of the time that closing may take, what is kept for the last ledger entry.
_LEDGER_SHARE, _LEDGER_SECONDS = 0.25, 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a hook may take of its process.

    Attributes:
        queue_size: Requests that may wait for the background thread; one more is dropped and counted.
        queue_bytes: Memory that they may take together, by an estimate made as they are copied; what
            does not fit is dropped and counted. librdkafka's own queue, for messages that Kafka has not
            answered, may take 32 MiB besides (`queue.buffering.max.kbytes`).
        exit_seconds: How long `close`, and the end of the process, may take to deliver what waits.
        ledger_seconds: How often the counts go to the ledger.
    """

    queue_size: int = 10_000
    queue_bytes: int = 64 * 1024 * 1024
    exit_seconds: float = 2.0
    ledger_seconds: float = 10.0

    def __post_init__(self) -> None:
        leasts = {"queue_size": 1, "queue_bytes": 1, "exit_seconds": 0, "ledger_seconds": 0.1}
        for name, least in leasts.items():
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not least <= value < float("inf"):
                raise SettingsError(f"{name} is {value!r}; it must be a number from {least}")


class Courier:
    """One process's intake, counts and background thread; a forked child gets another."""

    def __init__(self, subject: Subject, settings: KafkaSettings, limits: Limits) -> None:
        self._subject, self._settings, self._limits = subject, settings, limits
        #: Tells this process from all others, and with a sequence number its requests.
        self.mark = secrets.token_hex(8)
        self.counts = Counts(f"{socket.gethostname()[:64]}-{getpid()}-{self.mark}")
        self.intake = Intake(self.counts, limits.queue_size, limits.queue_bytes, self._start)
        self.outbox: Outbox | None = None
        self._encoder = Encoder(subject, self.counts.producer_id)
        self._log, self._drops = Log(), DropWatch(limits.queue_size, limits.queue_bytes)
        self._thread: Thread | None = None
        self._settled = Event()
        self._deadline = 0.0
        self._started_at = datetime.now(UTC)
        self._in_ledger = self.counts.stats()
        self._next_entry = 0.0  # the first at once: of a process that is killed the ledger should know

    def flush(self, timeout: float) -> bool:
        """Wait until Kafka has answered for all that was published so far; False where the time ran out."""
        with self.counts.lock:
            if self._thread is None or not self._thread.is_alive():
                return True
            self._settled.clear()
        return self._settled.wait(timeout)

    def begin_close(self, timeout: float | None = None) -> None:
        """Take nothing more, and have the background thread end within this time."""
        with self.counts.lock:
            if not self.intake.closed:
                seconds = self._limits.exit_seconds if timeout is None else timeout
                self._deadline = time.monotonic() + seconds
                self.intake.close()

    def join(self) -> None:
        """Wait for the background thread, as long as it was given."""
        if self._thread is not None and self._thread is not current_thread():
            self._thread.join(max(0.0, self._deadline - time.monotonic()) + 2 * _IDLE)

    def _start(self) -> None:
        thread = Thread(target=self._run, name="shadowlane-hook", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads to be had, or the interpreter is about to end
            self.intake.close()
            self.intake.give_up()
        else:
            self._thread = thread
            _lifetime.started(self)

    # From here on: the background thread.

    def _run(self) -> None:
        try:
            self.outbox = self._make_outbox()
            if self.outbox:
                self._serve(self.outbox)
                self._finish(self.outbox)
        except BaseException as error:  # a native library may panic, and a panic is no Exception
            self._log.once(f"the hook of {self._subject.model} stopped: {described(error)}")
        finally:
            self.intake.close()
            self.intake.give_up()
            self.outbox = None
            self._settled.set()
            _lifetime.ended(self)

    def _make_outbox(self) -> Outbox | None:
        """A producer, as soon as one can be made (a certificate may be missing for a while)."""
        while True:  # once at least: a short script may be at its end before this thread begins
            try:
                return Outbox(self._settings, self.counts, self._log)
            except BaseException as error:  # what a native library raises, too, may be over next time
                why = str(error) if isinstance(error, ShadowlaneError) else described(error)
                self._log.once(f"the hook has no Kafka client and tries again: {why}")
            next_try = time.monotonic() + _NO_PRODUCER
            while time.monotonic() < next_try:
                if self.intake.closed:
                    return None
                time.sleep(_IDLE)

    def _serve(self, outbox: Outbox) -> None:
        while not self.intake.closed:
            if not self._survives(self._turn, outbox):
                time.sleep(_IDLE)  # not at full speed into the next failure

    def _turn(self, outbox: Outbox) -> None:
        waits = self._send_slice(outbox)
        outbox.poll(0 if waits else _IDLE)
        self._keep_books(outbox)
        if waits and not self.intake.is_half_full:
            time.sleep(_REST)

    def _survives(self, step: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Whether a step went well; where it did not, the next one may."""
        try:
            step(*args, **kwargs)
        except BaseException as error:  # a native library may panic, and a panic is no Exception
            self._log.once(f"the hook goes on after {described(error)}")
            return False
        return True

    def _send_slice(self, outbox: Outbox) -> bool:
        """Send a few requests; True where more can be sent at once."""
        for _ in range(_SLICE):
            observation = self.intake.take()
            if observation is None:
                return False
            if not self._send(observation, outbox):
                self.intake.put_back(observation)
                return False
        return True

    def _send(self, observation: Observation, outbox: Outbox) -> bool:
        try:
            message = self._encoder.request(observation, time.time_ns() // 1_000_000)
        except BaseException as error:  # from values of the caller's: whatever it is, it ends here
            self.counts.drop("not_encodable")
            self._log.once(f"a request was not published: {described(error)}")
            return True
        try:
            return outbox.send(message)
        except BaseException as error:  # it is in nobody's hands any more, and each request is counted
            self.counts.drop("refused")
            self._log.once(f"a request was not published: {described(error)}")
            return True

    def _keep_books(self, outbox: Outbox) -> None:
        self._say_what_was_dropped()
        if time.monotonic() >= self._next_entry:
            self._next_entry = time.monotonic() + self._limits.ledger_seconds
            self._send_ledger(outbox, final=False)
        with self.counts.lock:  # or a request could come, with its `flush`, between the look and the word
            if not self.intake and not outbox.in_flight:
                self._settled.set()

    def _say_what_was_dropped(self) -> None:
        while self.intake.complaints:
            self._log.once(self.intake.complaints.popleft())
        self._drops.look(self.counts.dropped.get("queue_full", 0))

    def _finish(self, outbox: Outbox) -> None:
        """Deliver what waits, as far as the time goes, and close the books."""
        left = self._deadline - time.monotonic()
        for_requests = self._deadline - min(left * _LEDGER_SHARE, _LEDGER_SECONDS)
        self._survives(self._send_all, outbox, for_requests)
        self.intake.give_up()
        self._survives(outbox.flush, for_requests - time.monotonic())
        self._survives(self._say_what_was_dropped)
        self._survives(self._send_ledger, outbox, final=True)
        self._survives(outbox.flush, self._deadline - time.monotonic())

    def _send_all(self, outbox: Outbox, until: float) -> None:
        while self.intake and time.monotonic() < until:
            outbox.poll(0 if self._send_slice(outbox) else _IDLE / 10)

    def _send_ledger(self, outbox: Outbox, *, final: bool) -> None:
        stats = self.counts.stats()
        if final or stats != self._in_ledger:
            self._in_ledger = stats
            outbox.send_ledger(self._encoder.ledger(self._entry(stats, final=final)))

    def _entry(self, stats: Stats, *, final: bool) -> LedgerEntry:
        return LedgerEntry(
            producer_id=stats.producer_id,
            model=self._subject.model,
            model_version=self._subject.model_version,
            started_at=self._started_at,
            recorded_at=datetime.now(UTC),
            # What still waits has not come out yet: it belongs to the next entry.
            observed=stats.observed - stats.queued,
            primary_failed=stats.primary_failed,
            sampled_out=stats.sampled_out,
            published=stats.published,
            dropped=stats.dropped,
            delivered=stats.delivered,
            failed=stats.failed,
            final=final,
        )
