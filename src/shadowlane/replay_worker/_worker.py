"""The replay loop: consume a batch, decode it, run the shadow, compare, encode, produce, commit."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event as Flag
from time import monotonic

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from tenacity import (
    Retrying,
    before_sleep_log,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_exponential_jitter,
)

from shadowlane.errors import (
    BrokerUnreachableError,
    FencedError,
    KafkaFailedError,
    ModelError,
    NotAuthorizedError,
    TopicMissingError,
    TransactionAbortedError,
)
from shadowlane.kafka import (
    TopicNames,
    close_consumer,
    make_consumer,
    mapped,
    place_of,
    require_topics,
    to_error,
)
from shadowlane.replay_worker._models import load_model
from shadowlane.replay_worker._outbox import MovedOnError, Outbox
from shadowlane.replay_worker._plan import WorkerPlan
from shadowlane.replay_worker._predict import Predictor
from shadowlane.replay_worker._requests import read_requests
from shadowlane.replay_worker._results import Who, compare, encode_errors
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

# `consume(n, t)` waits the whole t unless n messages came: short enough that nobody waits for results.
_POLL_SECONDS = 0.05
_TIMEOUT = 30.0
# Between two tries a worker that was told to stop gets to leave.
_TRY_SECONDS = 5.0
_ATTEMPTS = 5
_RETRY_SECONDS = 10.0
_FIRST_SIZE = 50
_BATCH_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Progress:
    """What a worker has done since its start."""

    requests: int = 0
    compared: int = 0
    errors: int = 0

    def add(self, compared: int, errors: int) -> Progress:
        """With one batch more."""
        return Progress(self.requests + compared + errors, self.compared + compared, self.errors + errors)


class Recent:
    """How many of the latest requests the shadow failed on; what no model could answer does not count."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._batches: deque[tuple[int, int]] = deque()
        self.failed = self.seen = 0

    def add(self, failed: int, seen: int) -> None:
        """Count a batch, and forget those that the window has left behind."""
        self._batches.append((failed, seen))
        self.failed, self.seen = self.failed + failed, self.seen + seen
        while self.seen - self._batches[0][1] >= self._window:
            old_failed, old_seen = self._batches.popleft()
            self.failed, self.seen = self.failed - old_failed, self.seen - old_seen


def run_worker(
    plan: WorkerPlan,
    kafka: KafkaSettings,
    worker_id: str,
    *,
    stop: Flag,
    tick: Callable[[Progress], None] = lambda _progress: None,
) -> Progress:
    """Replay until told to stop; `tick` is called once a round, whether or not there was work.

    Raises:
        ModelError: the model cannot be loaded, or fails for too many requests.
        FencedError: another worker runs under the same id.
    """
    predictor = Predictor(load_model(plan.source), batch=plan.batch)
    topics = TopicNames(kafka.topic_prefix)
    group = topics.prefix + plan.target.group
    require_topics(kafka, [topics.requests], stop)
    consumer = make_consumer(kafka, group, **_consumer_config(plan))
    outbox = Outbox(kafka, f"{group}.{worker_id}")
    progress, recent, attempts = Progress(), Recent(plan.ceiling.after), 0
    size = min(_FIRST_SIZE, plan.batch_size)
    try:
        consumer.subscribe([topics.requests], on_assign=_pin if plan.start == "latest" else _as_it_is)
        while not stop.is_set():
            tick(progress)
            messages = _consume(consumer, size)
            if not messages:
                continue
            started = monotonic()
            requests, rejects = read_requests(messages, plan.target.model)
            answers, failures = predictor.run(requests.features)
            who = Who(plan.target, worker_id, datetime.now(UTC))
            comparisons, unfit = compare(requests, answers, plan, who, topics.comparisons)
            errors = encode_errors(rejects, [*failures, *unfit], requests, who, topics.errors)
            size = _next_size(size, monotonic() - started, plan.batch_size)
            try:
                outbox.send(
                    [*comparisons, *errors], _next_offsets(messages), consumer.consumer_group_metadata()
                )
            except (TransactionAbortedError, BrokerUnreachableError) as failure:
                attempts += isinstance(failure, TransactionAbortedError)
                if attempts > _ATTEMPTS:
                    raise
                log.log(logging.INFO if isinstance(failure, MovedOnError) else logging.WARNING, "%s", failure)
                _rewind(consumer, messages, stop)
                continue
            attempts, progress = 0, progress.add(len(comparisons), len(errors))
            recent.add(len(failures), len(requests))
            if plan.ceiling.reached(recent.failed, recent.seen):
                raise ModelError(_too_many_errors(plan, recent))
    finally:
        close_consumer(consumer)
        outbox.close()
    return progress


def _consumer_config(plan: WorkerPlan) -> dict[str, object]:
    return {
        "auto.offset.reset": plan.start,
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": 10_000,
        "fetch.wait.max.ms": 50,
    }


def _as_it_is(_consumer: Consumer, _partitions: list[TopicPartition]) -> None:
    """Start where the group left each partition, or at its beginning."""


def _pin(consumer: Consumer, partitions: list[TopicPartition]) -> None:
    """Commit the end of each partition that has no commit yet: "latest" means now, not the next start."""
    with mapped("looking for the ends of the partitions"):
        fresh = [each for each in consumer.committed(partitions, timeout=_TIMEOUT) if each.offset < 0]
        for each in fresh:
            each.offset = consumer.get_watermark_offsets(each, timeout=_TIMEOUT)[1]
        if fresh:
            consumer.commit(offsets=fresh, asynchronous=False)


def _consume(consumer: Consumer, size: int) -> list[Message]:
    with mapped("reading requests"):
        messages = consumer.consume(size, _POLL_SECONDS)
    for message in messages:
        error = message.error()
        if error is not None and error.name() == "_MAX_POLL_EXCEEDED":
            log.warning("a batch outlasted the group's patience; joining it again")
        elif error is not None:
            _raise_or_say(to_error(error, "reading requests"), fatal=error.fatal())
    return [message for message in messages if message.error() is None]


def _raise_or_say(error: KafkaFailedError, *, fatal: bool) -> None:
    """What passes by itself is a line in the log; what does not ends the worker."""
    if fatal or isinstance(error, (FencedError, NotAuthorizedError, TopicMissingError)):
        raise error
    log.warning("%s", error)


def _next_offsets(messages: Sequence[Message]) -> list[TopicPartition]:
    """For each partition of the batch, the offset after its last message."""
    last = {(place.topic, place.partition): place.offset for place in map(place_of, messages)}
    return [TopicPartition(topic, partition, offset + 1) for (topic, partition), offset in last.items()]


def _rewind(consumer: Consumer, batch: Sequence[Message], stop: Flag) -> None:
    """Go back to where the batch began, or to the last commit where that came through after all.

    Only the broker knows which; while it does not answer, wait for it, unless told to stop.
    """
    if stop.is_set():  # whoever is next goes back to the commit
        return
    waiting = Retrying(
        retry=retry_if_exception_type(BrokerUnreachableError),
        wait=wait_exponential_jitter(max=_RETRY_SECONDS),
        sleep=sleep_using_event(stop),
        stop=stop_when_event_set(stop),
        before_sleep=before_sleep_log(log, logging.WARNING),
        retry_error_callback=lambda _: None,  # told to stop meanwhile
    )
    waiting(_seek_back, consumer, batch)


def _seek_back(consumer: Consumer, batch: Sequence[Message]) -> None:
    first = {(place.topic, place.partition): place.offset for place in map(place_of, reversed(batch))}
    try:
        ours = [each for each in consumer.assignment() if (each.topic, each.partition) in first]
        for each in consumer.committed(ours, timeout=_TRY_SECONDS):
            start = first[each.topic, each.partition]
            consumer.seek(TopicPartition(each.topic, each.partition, max(each.offset, start)))
    except KafkaException as failure:
        raise to_error(failure.args[0], "going back to the last commit") from failure


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
