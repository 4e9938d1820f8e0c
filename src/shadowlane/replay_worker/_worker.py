"""The replay loop: take a batch, decode it, run the shadow, compare, encode, produce, commit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from math import inf
from threading import Event as Flag
from time import monotonic
from typing import Any, Protocol

from confluent_kafka import Message, TopicPartition

from shadowlane.errors import BrokerUnreachableError, ModelError, TransactionAbortedError
from shadowlane.kafka import TopicNames, require_topics
from shadowlane.process import rare_collections
from shadowlane.replay_worker._membership import round_seconds
from shadowlane.replay_worker._outbox import Outbox
from shadowlane.replay_worker._patience import Patience
from shadowlane.replay_worker._plan import WorkerPlan
from shadowlane.replay_worker._records import Records
from shadowlane.replay_worker._replay import Outcome, Replay, open_replay
from shadowlane.replay_worker._source import LiveSource
from shadowlane.replay_worker._tally import Recent, Tally
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

_FIRST_SIZE = 50
_BATCH_SECONDS = 3.0

Tick = Callable[[Tally], None]
Expect = Callable[[float], None]


class Source(Protocol):
    """Where messages come from, and where reading goes on after a failure."""

    @property
    def finished(self) -> bool:
        """Whether nothing will come any more."""
        ...

    def take(self, size: int) -> list[Message]:
        """The next messages, so many at most; perhaps none yet."""
        ...

    def offsets(self, taken: Sequence[Message], outcome: Outcome) -> list[TopicPartition]:
        """Where reading goes on once these are dealt with."""
        ...

    def group(self) -> Any:
        """Under which membership the offsets move."""
        ...

    def go_back(self, rest: Sequence[Message]) -> None:
        """Read these again, next time: they were taken, but are not dealt with."""
        ...

    def rewind(self, batch: Sequence[Message]) -> None:
        """Read these again, but for what was committed after all."""
        ...

    def close(self) -> None:
        """Leave."""
        ...


def run_worker(
    plan: WorkerPlan,
    kafka: KafkaSettings,
    worker_id: str,
    *,
    stop: Flag,
    tick: Tick = lambda _tally: None,
    expect: Expect = lambda _seconds: None,
) -> Tally:
    """Replay live traffic until told to stop; `tick` is called once a round, whether or not there was work.

    `expect(seconds)` is told how long it may take until the loop moves again, before what takes longer.

    Raises:
        ModelError: the model cannot be loaded, or fails for too many requests.
        FencedError: another worker runs under the same id.
        NotAuthorizedError, TopicMissingError, MessageTooLargeError: results cannot be sent, now or later.
    """
    topics = TopicNames(kafka.topic_prefix)
    with open_replay(plan, topics, worker_id, stop.wait) as replay:
        require_topics(kafka, [topics.requests, topics.comparisons, topics.errors, topics.ledger], stop)
        outbox = Outbox(kafka, f"{topics.prefix}{plan.target.group}.{worker_id}")
        source = LiveSource(plan, kafka, topics.requests, stop)

        def ticked(tally: Tally) -> None:
            tally.lost, tally.waiting = source.lost, source.waiting()
            tally.restarts, tally.denied = replay.restarts, replay.denied
            tick(tally)

        with rare_collections():
            return run_loop(plan, source, replay, outbox, stop, ticked, expect)


def run_loop(
    plan: WorkerPlan,
    source: Source,
    replay: Replay,
    outbox: Outbox,
    stop: Flag,
    tick: Tick,
    expect: Expect = lambda _seconds: None,
) -> Tally:
    """From the source to the outbox, until the source is finished or we are told to stop."""
    tally, recent, patience = Tally(), Recent(plan.ceiling.after), Patience(stop)
    records = Records(plan.target, replay.topics, replay.worker_id)
    size, leaving = min(_FIRST_SIZE, plan.batch_size), Leaving(stop, plan.grace_seconds)
    # The group is left first: others go on at once.
    with closing(outbox), records.closed_into(outbox, tally), closing(source):
        while not (stop.is_set() or source.finished):
            tick(tally)
            messages = source.take(size)
            if not messages:
                continue
            expect(round_seconds(plan))
            started = monotonic()
            outcome = replay.run(messages, leaving.is_over)
            ran = monotonic()
            size = _next_size(outcome.taken, ran - started, plan.batch_size)
            taken, left = messages[: outcome.taken], messages[outcome.taken :]
            if not taken:
                log.warning("none of %d requests was settled in time; they are read again", len(messages))
                source.go_back(messages)
                patience.wait()
                continue
            try:
                outbox.send(records.outgoing(outcome, tally), source.offsets(taken, outcome), source.group())
            except (TransactionAbortedError, BrokerUnreachableError) as failure:
                records.aborted(outcome, tally, started, failure)
                expect(inf)  # a broker that is away is no fault of the loop's
                source.rewind(messages)
                patience.bear(failure)
                continue
            records.committed(outcome, taken, tally, started, ran)
            if left:
                source.go_back(left)
            patience.reset()
            recent.add(outcome.failed, outcome.asked)
            _stop_at_ceiling(plan, recent)
        tick(tally)
    return tally


class Leaving:
    """Whether we were told to stop, and what is under way has had its time to finish."""

    def __init__(self, stop: Flag, grace: float) -> None:
        self._stop, self._grace = stop, grace
        self._since: float | None = None

    def is_over(self) -> bool:
        """Whether to give up what is under way."""
        if not self._stop.is_set():
            return False
        self._since = self._since or monotonic()
        return monotonic() - self._since > self._grace


def _next_size(size: int, seconds: float, most: int) -> int:
    """As many requests as the model answers in a few seconds, so that no batch outlasts the group."""
    fitting = int(size * _BATCH_SECONDS / max(seconds, 1e-6))
    return max(1, min(most, fitting, size * 2))


def _stop_at_ceiling(plan: WorkerPlan, recent: Recent) -> None:
    """Rather than drain the topic into `shadow-errors`."""
    shadow, ceiling = plan.target.shadow, plan.ceiling
    if ceiling.reached(recent.failed, recent.seen):
        raise ModelError(
            f"stopped: {recent.failed:,} of the last {recent.seen:,} requests failed on shadow {shadow!r}, "
            f"more than the ceiling of {ceiling.ratio:.0%}. See shadow-errors; mend the model, or raise "
            "--max-error-ratio"
        )
    if ceiling.reached_in_a_row(recent.in_a_row):
        raise ModelError(
            f"stopped: {recent.in_a_row:,} requests in a row failed on shadow {shadow!r}, which reaches the "
            f"ceiling of {ceiling.consecutive:,}. See shadow-errors; mend the model, or raise "
            "--max-consecutive-errors"
        )
