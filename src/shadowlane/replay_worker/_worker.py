"""The replay loop: take a batch, decode it, run the shadow, compare, encode, produce, commit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from threading import Event as Flag
from time import monotonic
from typing import Any, Protocol

from confluent_kafka import Message, TopicPartition

from shadowlane.errors import BrokerUnreachableError, ModelError, TransactionAbortedError
from shadowlane.kafka import TopicNames, require_topics
from shadowlane.process import rare_collections
from shadowlane.replay_worker._outbox import MovedOnError, Outbox
from shadowlane.replay_worker._plan import WorkerPlan
from shadowlane.replay_worker._replay import Outcome, Replay, open_replay
from shadowlane.replay_worker._source import LiveSource
from shadowlane.replay_worker._tally import Recent, Tally
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

_ATTEMPTS = 5
_FIRST_SIZE = 50
_BATCH_SECONDS = 3.0

Tick = Callable[[Tally], None]


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
) -> Tally:
    """Replay live traffic until told to stop; `tick` is called once a round, whether or not there was work.

    Raises:
        ModelError: the model cannot be loaded, or fails for too many requests.
        FencedError: another worker runs under the same id.
    """
    topics = TopicNames(kafka.topic_prefix)
    with open_replay(plan, topics, worker_id, stop.wait) as replay:
        require_topics(kafka, [topics.requests], stop)
        outbox = Outbox(kafka, f"{topics.prefix}{plan.target.group}.{worker_id}")
        with rare_collections():
            return run_loop(plan, LiveSource(plan, kafka, topics.requests, stop), replay, outbox, stop, tick)


def run_loop(
    plan: WorkerPlan, source: Source, replay: Replay, outbox: Outbox, stop: Flag, tick: Tick
) -> Tally:
    """From the source to the outbox, until the source is finished or we are told to stop."""
    tally, recent, attempts = Tally(), Recent(plan.ceiling.after), 0
    size, leaving = min(_FIRST_SIZE, plan.batch_size), Leaving(stop, plan.grace_seconds)
    try:
        while not (stop.is_set() or source.finished):
            tick(tally)
            messages = source.take(size)
            if not messages:
                continue
            started = monotonic()
            outcome = replay.run(messages, leaving.is_over)
            size = _next_size(outcome.taken, monotonic() - started, plan.batch_size)
            taken, left = messages[: outcome.taken], messages[outcome.taken :]
            try:
                outbox.send(outcome.outgoing, source.offsets(taken, outcome), source.group())
            except (TransactionAbortedError, BrokerUnreachableError) as failure:
                attempts += isinstance(failure, TransactionAbortedError)
                if attempts > _ATTEMPTS:
                    raise
                log.log(logging.INFO if isinstance(failure, MovedOnError) else logging.WARNING, "%s", failure)
                source.rewind(messages)
                continue
            attempts = 0
            outcome.count(tally)
            if left:
                source.go_back(left)
            recent.add(outcome.failed, outcome.asked)
            if plan.ceiling.reached(recent.failed, recent.seen):
                raise ModelError(_too_many_errors(plan, recent))
        tick(tally)
    finally:
        source.close()
        outbox.close()
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


def _too_many_errors(plan: WorkerPlan, recent: Recent) -> str:
    return (
        f"stopped: {recent.failed:,} of the last {recent.seen:,} requests failed on shadow "
        f"{plan.target.shadow!r}, more than the ceiling of {plan.ceiling.ratio:.0%}. "
        f"See shadow-errors; mend the model, or raise --max-error-ratio"
    )
