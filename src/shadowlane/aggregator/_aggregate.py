"""The aggregator's loop: consume, gather, and land each table's rows exactly once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event as Flag

from confluent_kafka import Consumer, Message, TopicPartition

from shadowlane.aggregator._ends import Goal, Identities, find_ends
from shadowlane.aggregator._gathering import Gathering
from shadowlane.aggregator._landings import Landings
from shadowlane.aggregator._membership import join
from shadowlane.aggregator._outage import Outage
from shadowlane.aggregator._plan import AggregatorPlan
from shadowlane.aggregator._share import Share
from shadowlane.aggregator._standing import ROUND_SECONDS, Standing
from shadowlane.aggregator._stream import Stream
from shadowlane.errors import LakeError, LakeUnavailableError
from shadowlane.health import Health, answering
from shadowlane.kafka import TopicNames, close_consumer, mapped, require_topics
from shadowlane.lake import Lake, Location
from shadowlane.process import rare_collections
from shadowlane.settings import KafkaSettings

log = logging.getLogger(__name__)

_BATCH = 5_000
_POLL_SECONDS = 0.1


def run_aggregator(
    plan: AggregatorPlan,
    kafka: KafkaSettings,
    *,
    stop: Flag,
    tick: Callable[[Landings], None] = lambda _landings: None,
    health: Health | None = None,
) -> Landings:
    """Land what the topics hold until told to stop, or until all that was there at the start is landed.

    A lake that cannot be written for now is waited for; one that cannot be opened at the start is not.

    Raises:
        LakeUnavailableError: the lake cannot be opened, or not be written for as long as the plan waits.
        LakeError: the lake is another topic's, or Kafka no longer holds what it lacks.
    """
    standing = Standing(Landings())
    standing.pulse.expect(ROUND_SECONDS)
    with answering(health, lambda: standing.view):
        tables = plan.tables(TopicNames(kafka.topic_prefix))
        _check_lake(plan.lake)
        require_topics(kafka, list(tables), stop)
        streams = {topic: Stream(plan.lake, topic, spec, standing.landings) for topic, spec in tables.items()}
        identities = Identities(kafka, streams)
        goal = Goal(find_ends(kafka, list(streams))) if plan.until_caught_up else None
        with _joined(kafka, plan) as consumer, rare_collections():
            share = Share(consumer, streams, standing.landings, accept_gaps=plan.accept_gaps)
            gathering = Gathering(share, streams, plan.flush_rule, standing.landings, identities)
            _start(consumer, share, gathering, list(streams), goal)
            _run(plan, consumer, share, gathering, standing, goal, stop, tick)
    return standing.landings


def _run(
    plan: AggregatorPlan,
    consumer: Consumer,
    share: Share,
    gathering: Gathering,
    standing: Standing,
    goal: Goal | None,
    stop: Flag,
    tick: Callable[[Landings], None],
) -> None:
    """The loop. What was consumed before partitions came or went is sorted out before they are read on."""
    outage = Outage(standing.landings, plan.patience)
    while not stop.is_set():
        tick(standing.landings)
        standing.pulse.expect(ROUND_SECONDS)
        try:
            gathering.take(_consume(consumer))  # while nothing can land, too: it keeps us in the group
            if not outage.waiting:
                share.find()
                caught_up = goal is not None and goal.reached_by(share.reached)
                if gathering.due or caught_up or outage.tried_for(plan.flush_seconds):
                    if gathering.flush(last=outage.error is not None) or share.read_up:
                        outage.end()
                    # Still: a flush that another writer forestalled is read afresh.
                    if goal is not None and goal.reached_by(share.reached):
                        break
        except LakeUnavailableError as error:
            gathering.forget()  # whether it landed after all, the lake says when it is back
            share.hold()
            outage.fail(error)
        standing.update(share, gathering.waiting, outage, goal)
    standing.stopping = True
    try:
        if outage.error is None:
            gathering.flush(last=True)
    except LakeUnavailableError as error:
        log.warning("%s. What was read last has not landed: the next start reads it again", error)


def _check_lake(lake: Lake) -> None:
    """Say what a lake can be, before Delta says it in its own words."""
    folder = Location.parse(lake).folder
    if folder is not None and folder.exists() and not folder.is_dir():
        raise LakeError(f"lake {folder}: a folder is needed, and this is none")


@contextmanager
def _joined(kafka: KafkaSettings, plan: AggregatorPlan) -> Iterator[Consumer]:
    consumer = join(kafka, plan.group_protocol)
    try:
        yield consumer
    finally:
        close_consumer(consumer)


def _start(
    consumer: Consumer, share: Share, gathering: Gathering, topics: list[str], goal: Goal | None
) -> None:
    """Share the partitions with the group; to catch up, read each one, whoever else does so too."""

    def take(_consumer: Consumer, partitions: list[TopicPartition]) -> None:
        share.add(partitions)

    def give_back(_consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gathering.forget()
        share.remove(partitions)

    with mapped("subscribing"):
        if goal is None:
            consumer.subscribe(topics, on_assign=take, on_revoke=give_back)
        else:
            share.add([TopicPartition(*key) for key in goal.ends])


def _consume(consumer: Consumer) -> list[Message]:
    with mapped("reading comparisons"):
        return consumer.consume(_BATCH, _POLL_SECONDS)
