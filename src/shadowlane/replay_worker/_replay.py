"""What becomes of a batch of messages: decode, ask the shadow, compare, encode. Kafka is not known here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import Message

from shadowlane.kafka import TopicNames
from shadowlane.replay_worker._answers import Answered
from shadowlane.replay_worker._outgoing import Outgoing
from shadowlane.replay_worker._plan import WorkerPlan
from shadowlane.replay_worker._requests import read_requests
from shadowlane.replay_worker._results import Who, compare, encode_errors
from shadowlane.replay_worker._tally import Tally
from shadowlane.replay_worker.isolation import ModelHost


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch of messages came to."""

    #: How many of the messages are dealt with; those after them must be read again.
    taken: int
    outgoing: Sequence[Outgoing]
    compared: int
    #: How many of our requests the shadow failed on, and how many it was asked.
    failed: int
    asked: int
    errors: Counter[str]
    answered: Answered

    def count(self, tally: Tally) -> None:
        """Write it down, once it is committed."""
        tally.requests += self.compared + self.errors.total()
        tally.compared += self.compared
        tally.errors += self.errors
        tally.unexpected_features.update(self.answered.unexpected)


class Replay:
    """Replays batches of messages on one shadow."""

    def __init__(self, plan: WorkerPlan, shadow: ModelHost, topics: TopicNames, worker_id: str) -> None:
        self._plan, self._shadow, self._topics, self._worker_id = plan, shadow, topics, worker_id

    def run(self, messages: Sequence[Message], give_up: Callable[[], bool] = lambda: False) -> Outcome:
        """Replay them, or the first of them where that takes too long."""
        read = read_requests(messages, self._plan.target.model)
        answered = self._shadow.run(read.requests.features(context=self._shadow.wants_context), give_up)
        who = Who(self._plan.target, self._worker_id, datetime.now(UTC))
        comparisons, unfit = compare(read.requests, answered, self._plan, who, self._topics.comparisons)
        is_cut = answered.done < len(read.requests)
        taken = int(read.places[answered.done]) if is_cut else len(messages)
        rejects = [(messages[index], error) for index, error in read.rejects if index < taken]
        failures = [*answered.failures, *unfit]
        errors = encode_errors(rejects, failures, read.requests, answered, who, self._topics.errors)
        return Outcome(
            taken=taken,
            outgoing=[comparisons, errors],
            compared=len(comparisons.messages),
            failed=len(answered.failures),
            asked=answered.done,
            errors=Counter([failure.stage for _, failure in failures] + ["decode"] * len(rejects)),
            answered=answered,
        )
