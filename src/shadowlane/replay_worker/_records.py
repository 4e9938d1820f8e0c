"""What is written of a batch beside its results: counts, an entry in the ledger, a span, a log line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from time import monotonic

from confluent_kafka import Message

from shadowlane.errors import KafkaFailedError
from shadowlane.kafka import TopicNames
from shadowlane.replay_worker._complaints import Complaints
from shadowlane.replay_worker._ledger import Book
from shadowlane.replay_worker._outbox import Outbox
from shadowlane.replay_worker._outgoing import Outgoing
from shadowlane.replay_worker._plan import Target
from shadowlane.replay_worker._replay import Outcome
from shadowlane.replay_worker._spans import Spans
from shadowlane.replay_worker._tally import Tally

log = logging.getLogger(__name__)

# Looking for the last message of each partition takes a pass over a batch.
_REACHED_SECONDS = 0.5


class Records:
    """Writes them for one worker."""

    def __init__(self, target: Target, topics: TopicNames, worker_id: str) -> None:
        self._book = Book(target, worker_id, topics.ledger)
        self._spans = Spans(target, topics.requests, topics.prefix + target.group)
        self._complaints = Complaints()
        self._carries_entry = self._in_doubt = False
        self._next_reached = 0.0

    def outgoing(self, outcome: Outcome, tally: Tally) -> Sequence[Outgoing]:
        """A batch's results, and the ledger's entry where one is due: it counts what it is committed with."""
        self._carries_entry = self._book.is_due()
        if not self._carries_entry:
            return outcome.outgoing
        tally = deepcopy(tally)
        outcome.count(tally)
        return [*outcome.outgoing, self._book.entry(tally)]

    def committed(
        self, outcome: Outcome, messages: Sequence[Message], tally: Tally, begun: float, ran: float
    ) -> None:
        """A batch that began and was encoded at these moments is committed."""
        now = monotonic()
        outcome.count(tally)
        tally.batch_seconds.add_one(ran - begun)
        tally.transaction_seconds.add_one(now - ran)
        if self._carries_entry:
            self._book.committed()
        self._in_doubt = False
        if now >= self._next_reached:
            self._next_reached = now + _REACHED_SECONDS
            tally.reached |= _reached(messages)
        self._spans.batch(now - begun, len(messages), outcome.contexts)
        self._complaints.add(outcome.errors, outcome.fault)

    def aborted(self, outcome: Outcome, tally: Tally, begun: float, failure: KafkaFailedError) -> None:
        """It was not, and is done again."""
        tally.aborted += 1
        self._in_doubt = True
        self._spans.batch(monotonic() - begun, outcome.taken, outcome.contexts, failure)

    @contextmanager
    def closed_into(self, outbox: Outbox, tally: Tally) -> Iterator[None]:
        """When the block ends, say the last word in the log and, unless Kafka ended it, in the ledger."""
        try:
            yield
        finally:
            self._complaints.say()
            if tally.requests and not (self._in_doubt or isinstance(sys.exception(), KafkaFailedError)):
                self._close(outbox, tally)

    def _close(self, outbox: Outbox, tally: Tally) -> None:
        try:
            outbox.send([self._book.entry(tally, final=True)], [], None)
        except KafkaFailedError as failure:
            log.warning("the ledger's last entry of this worker was not sent: %s", failure)


def _reached(messages: Sequence[Message]) -> dict[int, float]:
    """The time of the last message of each partition, where it has one."""
    last = {message.partition(): message.timestamp()[1] for message in messages}
    return {partition: time / 1000 for partition, time in last.items() if partition is not None and time > 0}
