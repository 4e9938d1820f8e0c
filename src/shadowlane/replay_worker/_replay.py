"""What becomes of a batch of messages: decode, ask the shadow, compare, encode. Kafka is not known here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import Message

from shadowlane.kafka import TopicNames
from shadowlane.replay_worker._answers import Answered
from shadowlane.replay_worker._control import ControlRun
from shadowlane.replay_worker._outgoing import Outgoing
from shadowlane.replay_worker._plan import ModelSource, WorkerPlan
from shadowlane.replay_worker._primary import Replica
from shadowlane.replay_worker._requests import read_requests
from shadowlane.replay_worker._results import Who, compare, encode_errors
from shadowlane.replay_worker._tally import Tally
from shadowlane.replay_worker.isolation import ModelHost, open_host


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
    """Replays batches of messages on one shadow; beside it stand a replica of the primary and a control."""

    def __init__(
        self,
        plan: WorkerPlan,
        shadow: ModelHost,
        topics: TopicNames,
        worker_id: str,
        *,
        replica: Replica | None = None,
        control: ControlRun | None = None,
    ) -> None:
        self._plan, self._shadow, self._topics, self._worker_id = plan, shadow, topics, worker_id
        self._replica, self._control = replica, control

    def run(self, messages: Sequence[Message], give_up: Callable[[], bool] = lambda: False) -> Outcome:
        """Replay them, or the first of them where that takes too long."""
        read = read_requests(messages, self._plan.target.model)
        requests = read.requests
        answered = self._shadow.run(requests.features(context=self._shadow.wants_context), give_up)
        if self._replica is not None:
            requests, answered = self._replica.fill(requests, answered, give_up)
        who = Who(self._plan.target, self._worker_id, datetime.now(UTC))
        comparisons, unfit = compare(requests, answered, self._plan, who, self._topics.comparisons)
        is_cut = answered.done < len(requests)
        taken = int(read.places[answered.done]) if is_cut else len(messages)
        rejects = [(messages[index], error) for index, error in read.rejects if index < taken]
        failures = [*answered.failures, *unfit]
        errors = encode_errors(rejects, failures, requests, answered, who, self._topics.errors)
        seconds = self._control.run(requests, answered, who.now) if self._control is not None else ()
        return Outcome(
            taken=taken,
            outgoing=[comparisons, errors, *seconds],
            compared=len(comparisons.messages),
            failed=len(answered.failures),
            asked=answered.done,
            errors=Counter([failure.stage for _, failure in failures] + ["decode"] * len(rejects)),
            answered=answered,
        )


@contextmanager
def open_replay(
    plan: WorkerPlan, topics: TopicNames, worker_id: str, wait: Callable[[float], object]
) -> Iterator[Replay]:
    """Load all the models that the plan asks for. `wait(seconds)` rests between two deaths of a process.

    Raises:
        ModelError: one cannot be loaded; the message says what to do.
    """
    with ExitStack() as stack:

        def load(source: ModelSource) -> ModelHost:
            return open_host(source, plan.isolation, batch=plan.batch, wait=wait)

        shadow = load(plan.source)
        stack.callback(shadow.close)
        replica = control = None
        if plan.primary is not None:
            replica = Replica(load(plan.primary))
            stack.callback(replica.close)
        if plan.control is not None:
            second = load(plan.control.source or plan.source)
            control = ControlRun(plan, plan.control, second, topics, worker_id)
            stack.callback(control.close)
        yield Replay(plan, shadow, topics, worker_id, replica=replica, control=control)
