"""The replay loop: consume a batch, decode it, run the shadow, compare, encode, produce, commit."""

from __future__ import annotations

import logging
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
    ModelError,
    TopicMissingError,
    TransactionAbortedError,
)
from shadowlane.kafka import TopicNames, make_consumer, mapped, to_error
from shadowlane.replay_worker._models import load_model
from shadowlane.replay_worker._outbox import Outbox
from shadowlane.replay_worker._plan import WorkerPlan
from shadowlane.replay_worker._predict import Predictor
from shadowlane.replay_worker._requests import place_of, read_requests
from shadowlane.replay_worker._results import Who, compare, encode_comparisons, encode_errors
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

# `consume(n, t)` waits the whole t unless n messages came: short enough that nobody waits for results.
_POLL_SECONDS = 0.05
_TIMEOUT = 30.0
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
    consumer = make_consumer(kafka, group, **_consumer_config(plan))
    outbox = Outbox(kafka, f"{group}.{worker_id}")
    progress, attempts, size = Progress(), 0, min(_FIRST_SIZE, plan.batch_size)
    try:
        _subscribe(consumer, topics.requests)
        while not stop.is_set():
            tick(progress)
            messages = _consume(consumer, size)
            if not messages:
                continue
            started = monotonic()
            requests, rejects = read_requests(messages, plan.target.model)
            answers, failures = predictor.run(requests.features)
            compared, incomparable = compare(requests, answers, plan.comparator)
            who = Who(plan.target, worker_id, datetime.now(UTC))
            comparisons = encode_comparisons(compared, who, plan.keep_features, topics.comparisons)
            errors = encode_errors(rejects, [*failures, *incomparable], requests, who, topics.errors)
            size = _next_size(size, monotonic() - started, plan.batch_size)
            try:
                outbox.send(
                    [*comparisons, *errors], _next_offsets(messages), consumer.consumer_group_metadata()
                )
            except (TransactionAbortedError, BrokerUnreachableError) as failure:
                attempts += isinstance(failure, TransactionAbortedError)
                if attempts > _ATTEMPTS:
                    raise
                log.warning("%s", failure)
                _rewind(consumer, messages, stop)
                continue
            attempts, progress = 0, progress.add(len(comparisons), len(errors))
            if plan.ceiling.reached(progress.errors, progress.requests):
                raise ModelError(_too_many_errors(plan, progress))
    finally:
        consumer.close()
        outbox.close()
    return progress


def _consumer_config(plan: WorkerPlan) -> dict[str, object]:
    return {
        "auto.offset.reset": plan.start,
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": 10_000,
        "fetch.wait.max.ms": 50,
    }


def _subscribe(consumer: Consumer, topic: str) -> None:
    with mapped(f"looking for the topic {topic}"):
        found = consumer.list_topics(topic, timeout=_TIMEOUT).topics[topic]
    if found.error is not None:
        raise TopicMissingError(f"topic {topic} does not exist; run: shadowlane topics create")
    consumer.subscribe([topic])


def _consume(consumer: Consumer, size: int) -> list[Message]:
    with mapped("reading requests"):
        messages = consumer.consume(size, _POLL_SECONDS)
    for message in messages:
        error = message.error()
        if error is not None and error.name() == "_MAX_POLL_EXCEEDED":
            log.warning("a batch outlasted the group's patience; joining it again")
        elif error is not None and not error.retriable():
            raise to_error(error, "reading requests")
    return [message for message in messages if message.error() is None]


def _next_offsets(messages: Sequence[Message]) -> list[TopicPartition]:
    """For each partition of the batch, the offset after its last message."""
    last = {(place.topic, place.partition): place.offset for place in map(place_of, messages)}
    return [TopicPartition(topic, partition, offset + 1) for (topic, partition), offset in last.items()]


def _rewind(consumer: Consumer, batch: Sequence[Message], stop: Flag) -> None:
    """Go back to where the batch began, or to the last commit where that came through after all.

    Only the broker knows which; while it does not answer, wait for it, unless told to stop.
    """
    waiting = Retrying(
        retry=retry_if_exception_type(BrokerUnreachableError),
        wait=wait_exponential_jitter(max=_RETRY_SECONDS),
        sleep=sleep_using_event(stop),
        stop=stop_when_event_set(stop),
        before_sleep=before_sleep_log(log, logging.WARNING),
        retry_error_callback=lambda _: None,  # told to stop: whoever is next goes back to the commit
    )
    waiting(_seek_back, consumer, batch)


def _seek_back(consumer: Consumer, batch: Sequence[Message]) -> None:
    first = {(place.topic, place.partition): place.offset for place in map(place_of, reversed(batch))}
    try:
        ours = [each for each in consumer.assignment() if (each.topic, each.partition) in first]
        for each in consumer.committed(ours, timeout=_TIMEOUT):
            start = first[each.topic, each.partition]
            consumer.seek(TopicPartition(each.topic, each.partition, max(each.offset, start)))
    except KafkaException as failure:
        raise to_error(failure.args[0], "going back to the last commit") from failure


def _next_size(size: int, seconds: float, most: int) -> int:
    """As many requests as the model answers in a few seconds, so that no batch outlasts the group."""
    fitting = int(size * _BATCH_SECONDS / max(seconds, 1e-6))
    return max(1, min(most, fitting, size * 2))


def _too_many_errors(plan: WorkerPlan, progress: Progress) -> str:
    return (
        f"stopped: {progress.errors:,} of {progress.requests:,} requests failed on shadow "
        f"{plan.target.shadow!r}, more than the ceiling of {plan.ceiling.ratio:.0%}. "
        f"See shadow-errors; mend the model, or raise --max-error-ratio"
    )
