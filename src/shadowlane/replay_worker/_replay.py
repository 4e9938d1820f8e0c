"""What becomes of a batch of messages: decode, ask the shadow, compare, encode. Kafka is not known here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
from confluent_kafka import Message

from shadowlane.errors import CodecError, ModelError
from shadowlane.kafka import TopicNames, place_of
from shadowlane.replay_worker._answers import Answered
from shadowlane.replay_worker._complaints import Fault
from shadowlane.replay_worker._control import ControlRun
from shadowlane.replay_worker._outgoing import Outgoing
from shadowlane.replay_worker._plan import ModelSource, WorkerPlan
from shadowlane.replay_worker._primary import Replica
from shadowlane.replay_worker._requests import RequestBatch, read_requests
from shadowlane.replay_worker._results import NO_PRIMARY, Who, compare, encode_errors
from shadowlane.replay_worker._tally import Tally, count_names
from shadowlane.replay_worker.isolation import ModelHost, open_host
from shadowlane.schemas import Failure


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch of messages came to."""

    #: How many of the messages are dealt with; those after them must be read again.
    taken: int
    outgoing: Sequence[Outgoing]
    compared: int
    #: Which of our requests the shadow failed on, or its answer could not be compared; how many it was asked.
    failed: Sequence[int]
    asked: int
    errors: Counter[str]
    answered: Answered
    #: How many of the messages are of another time than the plan's window.
    outside: int
    #: How many of the messages could not be read.
    rejected: int
    requests: RequestBatch
    #: The first message that became an error.
    fault: Fault | None

    def count(self, tally: Tally) -> None:
        """Write it down, once it is committed."""
        tally.requests += self.compared + self.errors.total()
        tally.compared += self.compared
        tally.errors += self.errors
        tally.skipped += self.taken - self.asked - self.rejected - self.outside
        tally.batch_sizes.add_one(self.taken)
        tally.time(self.answered.answers)
        tally.memory_mb = max(filter(None, (tally.memory_mb, self.answered.memory_mb)), default=None)
        count_names(tally.missing_features, self._missing_features())
        count_names(tally.unexpected_features, self.answered.unexpected)

    def contexts(self) -> pa.MapArray:
        """The contexts of the requests that are dealt with: their traces, say."""
        return self.requests.columns.column("context").slice(0, self.asked)

    def _missing_features(self) -> dict[str, int]:
        """How many of the requests that are dealt with lack each feature."""
        missing = self.answered.missing
        if missing is None:
            missing = self.requests.columns.column("features").field("missing")
        names = missing.slice(0, self.asked).flatten()
        return {each["values"]: each["counts"] for each in names.value_counts().to_pylist()}


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
        self._plan, self._shadow, self.topics, self.worker_id = plan, shadow, topics, worker_id
        self._replica, self._control = replica, control

    @property
    def restarts(self) -> int:
        """How often the shadow's process had to be started again."""
        return self._shadow.restarts

    @property
    def denied(self) -> Counter[str]:
        """How often the shadow tried what is denied to it, by kind."""
        return self._shadow.denied

    def run(self, messages: Sequence[Message], give_up: Callable[[], bool] = lambda: False) -> Outcome:
        """Replay them, or the first of them where that takes too long."""
        read = read_requests(messages, self._plan.target.model, self._plan.window)
        requests, begun = read.requests, datetime.now(UTC)  # what the model takes is no part of the lag
        answered = self._shadow.run(requests.features(context=self._shadow.wants_context), give_up)
        if self._replica is not None:
            requests, answered = self._replica.fill(requests, answered, give_up)
        who = Who(self._plan.target, self.worker_id, begun)
        comparisons, unfit = compare(requests, answered, self._plan, who, self.topics.comparisons)
        is_cut = answered.done < len(requests)
        taken = int(read.places[answered.done]) if is_cut else len(messages)
        rejects = [(messages[index], error) for index, error in read.rejects if index < taken]
        failures = [*answered.failures, *unfit]
        over = who._replace(now=datetime.now(UTC))
        errors = encode_errors(rejects, failures, requests, answered, over, self.topics.errors)
        seconds = self._control.run(requests, answered, begun) if self._control is not None else ()
        return Outcome(
            taken=taken,
            outgoing=[comparisons, errors, *seconds],
            compared=len(comparisons),
            failed=[row for row, failure in failures if failure is not NO_PRIMARY],
            asked=answered.done,
            errors=Counter([failure.stage for _, failure in failures] + ["decode"] * len(rejects)),
            answered=answered,
            outside=int((read.outside < taken).sum()),
            rejected=len(rejects),
            requests=requests,
            fault=_first_fault(rejects, failures, requests),
        )


def _first_fault(
    rejects: Sequence[tuple[Message, CodecError]],
    failures: Sequence[tuple[int, Failure]],
    requests: RequestBatch,
) -> Fault | None:
    """One of the messages that became an error, for the log."""
    for row, failure in failures[:1]:
        return Fault(place_of(requests.messages[row]), failure.stage, failure.error_type)
    for message, error in rejects[:1]:
        return Fault(place_of(message), "decode", type(error).__name__)
    return None


_OPTIONS = re.compile(r"--(allow-pickle|sha256|trust|features|input)\b")


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
            try:
                return open_host(source, plan.isolation, batch=plan.batch, wait=wait)
            except ModelError as error:
                if source is plan.source:
                    raise
                # The advice names the shadow's options; the primary's are called after them.
                advice = _OPTIONS.sub(r"--primary-\1", str(error))
                raise ModelError(f"the primary's model (--primary-load): {advice}") from error

        shadow = load(plan.source)
        stack.callback(shadow.close)
        replica = control = None
        if plan.primary is not None:
            replica = Replica(load(plan.primary))
            stack.callback(replica.close)
        if plan.control is not None:
            control = ControlRun(plan, plan.control, load, topics, worker_id)
            stack.callback(control.close)
        yield Replay(plan, shadow, topics, worker_id, replica=replica, control=control)
