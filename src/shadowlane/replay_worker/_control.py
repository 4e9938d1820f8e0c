"""A share of the requests is answered a second time, so that a report can tell noise from change."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from queue import SimpleQueue
from threading import Event, Thread
from time import monotonic

import numpy as np

from shadowlane.kafka import TopicNames
from shadowlane.replay_worker._answers import Answered, no_answers, numbers
from shadowlane.replay_worker._features import FeatureBatch
from shadowlane.replay_worker._outgoing import Outgoing
from shadowlane.replay_worker._plan import Control, ModelSource, WorkerPlan
from shadowlane.replay_worker._primary import with_primary
from shadowlane.replay_worker._requests import RequestBatch, Rows
from shadowlane.replay_worker._results import Who, compare, encode_errors
from shadowlane.replay_worker.isolation import ModelHost
from shadowlane.schemas import Failure, position

log = logging.getLogger(__name__)

# How long a batch waits for its second answers, and how long the control is left alone after it was late.
_PATIENCE_SECONDS = 5.0
_FIRST_REST, _LONGEST_REST = 5.0, 300.0
_LATE = Failure("timeout", "ControlLate", "no second answer in time; the run did not wait for it")
_RESTING = Failure(
    "timeout", "ControlResting", "not asked again: the control's model was late, or failed, before"
)


def is_controlled(request_id: str, share: float) -> bool:
    """Whether this request is answered twice; a smaller share's requests are among a larger one's.

    The hook samples by the same ids, so they are hashed with a word before them: else a control of 5 %
    would be half of all that is published at a rate of 10 %.
    """
    return position(f"control:{request_id}") < share


class ControlRun:
    """The run beside a run: its comparisons and errors, which the run itself knows nothing of."""

    def __init__(
        self,
        plan: WorkerPlan,
        control: Control,
        load: Callable[[ModelSource], ModelHost],
        topics: TopicNames,
        worker_id: str,
    ) -> None:
        # What the shadow's version is says nothing of the primary's replica.
        version = plan.target.shadow_version if control.source is None else ""
        self._target = replace(plan.target, run=plan.target.control, shadow_version=version)
        self._plan, self._control, self._topics, self._worker_id = plan, control, topics, worker_id
        self._second = Aside(load(control.source or plan.source))

    def run(self, requests: RequestBatch, answered: Answered, begun: datetime) -> Sequence[Outgoing]:
        """Ask again about our share of what is done since then, and set the two answers side by side."""
        asked = self._first_answers(requests, answered)
        if not len(asked):
            return []
        said = self._second.ask(asked)
        who = Who(self._target, self._worker_id, begun)
        comparisons, unfit = compare(asked, said, self._plan, who, self._topics.comparisons)
        over = who._replace(now=datetime.now(UTC))
        errors = encode_errors([], [*said.failures, *unfit], asked, said, over, self._topics.errors)
        return [comparisons, errors]

    def close(self) -> None:
        """Let go of the model, whatever it is doing."""
        self._second.close()

    def _first_answers(self, requests: RequestBatch, answered: Answered) -> RequestBatch:
        """Our share of the requests, each with the answer that the second one is set beside."""
        if self._control.source is not None:
            has_answer = requests.columns.column("prediction").is_valid().to_numpy(zero_copy_only=False)
            return requests.select(self._ours(requests, np.flatnonzero(has_answer[: answered.done])))
        rows = answered.rows.astype(np.int64)
        ours = self._ours(requests, rows)
        answers = answered.answers.take(numbers(np.flatnonzero(np.isin(rows, ours))))
        return with_primary(
            requests.select(ours),
            np.arange(len(ours)),
            answers.column("prediction"),
            answers.column("latency_ms"),
        )

    def _ours(self, requests: RequestBatch, rows: Rows) -> Rows:
        ids = requests.columns.column("request_id").take(numbers(rows.astype(np.int64))).to_pylist()
        return rows[[is_controlled(request_id, self._control.share) for request_id in ids]]


class Aside:
    """Asks a model in a thread of its own: it may hang, die or fail to load again, and nobody waits long.

    It is one thread for all batches: a model's process goes with the thread that started it.
    """

    def __init__(
        self,
        host: ModelHost,
        *,
        patience: float = _PATIENCE_SECONDS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._host, self._patience, self._clock = host, patience, clock
        self._leaving = Event()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._job: _Job | None = None
        self._rest, self._until = _FIRST_REST, -math.inf
        self._thread = Thread(target=self._work, name="shadowlane-control", daemon=True)
        self._thread.start()

    def ask(self, requests: RequestBatch) -> Answered:
        """An answer or a failure for each."""
        is_busy = self._job is not None and not self._job.over.is_set()
        if is_busy or self._clock() < self._until:
            return _nothing_but(_RESTING, len(requests))
        self._job = job = _Job(requests.features(context=self._host.wants_context))
        self._jobs.put(job)
        job.over.wait(self._patience)
        if job.answered is not None:
            self._rest = _FIRST_REST
            return _whole(job.answered, len(requests))
        self._until, self._rest = self._clock() + self._rest, min(2 * self._rest, _LONGEST_REST)
        failure = _LATE if job.error is None else Failure.of("load", job.error)
        log.warning("the control's model gave no answers (%s); the run goes on without", failure.error_type)
        return _nothing_but(failure, len(requests))

    def close(self) -> None:
        """Let go of the model, whatever it is doing."""
        self._leaving.set()
        self._jobs.put(None)
        self._thread.join(self._patience)
        self._host.close()

    def _work(self) -> None:
        while job := self._jobs.get():
            try:
                job.answered = self._host.run(job.batch, self._leaving.is_set)
            except BaseException as error:  # it is foreign code in the end
                job.error = error
            job.over.set()


@dataclass(slots=True)
class _Job:
    """A batch on its way through the thread."""

    batch: FeatureBatch
    over: Event = field(default_factory=Event)
    answered: Answered | None = None
    error: BaseException | None = None


def _whole(answered: Answered, rows: int) -> Answered:
    """The same, with a failure for each row that the model did not come to."""
    rest = [(row, _LATE) for row in range(answered.done, rows)]
    return replace(answered, failures=[*answered.failures, *rest], done=rows) if rest else answered


def _nothing_but(failure: Failure, rows: int) -> Answered:
    return Answered(no_answers(), [(row, failure) for row in range(rows)], rows)
