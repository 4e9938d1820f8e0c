"""Topics that are not what they were under an aggregator: made anew, expired, another Kafka's, sent twice.

Nothing of it passes in silence: it is refused with the reason, or counted, and in no figure twice.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition

from aggregators import CATCH_UP, PATIENCE, Aggregators, landed, wait_until
from lake_accounting import assert_exactly_once, judge
from lake_feed import COMPARISONS, ERRORS, Feed, comparison, error
from shadowlane.errors import KafkaFailedError
from shadowlane.kafka import (
    EmbeddedKafka,
    KafkaSettings,
    TopicNames,
    create_topics,
    default_specs,
    make_admin,
)

PARTITIONS = 3


@pytest.fixture
def aggregators(tmp_path: Path, settings: KafkaSettings) -> Iterator[Aggregators]:
    """Aggregators of the run's Kafka."""
    made = Aggregators(tmp_path, settings)
    yield made
    made.close()


def make_anew(settings: KafkaSettings, topic: str) -> None:
    """Delete a topic and create it again."""
    admin = make_admin(settings)  # its answers end with it
    admin.delete_topics([topic])[topic].result(30)
    specs = [
        each for each in default_specs(TopicNames(settings.topic_prefix), PARTITIONS) if each.name == topic
    ]

    def created() -> bool:
        try:
            return all(result.created for result in create_topics(settings, specs))
        except KafkaFailedError:  # its deletion takes a moment
            return False

    wait_until(created)


def expire(settings: KafkaSettings, topic: str) -> None:
    """Have Kafka drop all that the topic holds, as retention does."""
    admin = make_admin(settings)
    partitions = [TopicPartition(topic, partition, -1) for partition in range(PARTITIONS)]
    for answer in admin.delete_records(partitions).values():
        answer.result(30)


@contextmanager
def standing_still(process: subprocess.Popen[str]) -> Iterator[None]:
    """What happens in the block, happens before it reads on."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("messages", [30, 300])
def test_a_topic_made_anew_under_a_running_aggregator_is_refused(
    messages: int, aggregators: Aggregators, settings: KafkaSettings
) -> None:
    """Be it shorter than the lake's position or longer by now, none of it lands as the other's."""
    Feed(settings).publish(100)
    running = aggregators.start()
    wait_until(lambda: landed(aggregators.lake) == 100)
    with standing_still(running):
        make_anew(settings, TopicNames(settings.topic_prefix).comparisons)
        Feed(settings, 1).publish(messages)
    assert running.wait(PATIENCE) == 1
    assert "was deleted and made anew" in aggregators.log.read_text()
    assert landed(aggregators.lake) == 100
    assert aggregators.catch_up() == 1
    assert landed(aggregators.lake) == 100


def test_retention_that_overtakes_a_running_aggregator_is_refused_or_counted(
    aggregators: Aggregators, settings: KafkaSettings
) -> None:
    """It ends and says how much is gone; one that may accept gaps says so too, and lands what came after."""
    topic = TopicNames(settings.topic_prefix).comparisons
    feed = Feed(settings)
    feed.publish(100)
    running = aggregators.start()
    wait_until(lambda: landed(aggregators.lake) == 100)
    with standing_still(running):
        feed.publish(60)  # this much it may have been sent already
        feed.publish(60)
        expire(settings, topic)
    assert running.wait(PATIENCE) == 1
    assert "Kafka does not hold what the lake has yet to land" in aggregators.log.read_text()
    before = landed(aggregators.lake)
    feed.publish(40)
    accepting = aggregators.start({**CATCH_UP, "accept_gaps": True})
    assert accepting.wait(PATIENCE) == 0
    assert landed(aggregators.lake) == before + 40
    assert aggregators.log.read_text().count("offsets that Kafka no longer holds") == PARTITIONS
    assert aggregators.catch_up() == 0, "what was accepted once is not asked for again"


def test_two_kafkas_with_the_same_topics_do_not_share_a_lake(
    aggregators: Aggregators, settings: KafkaSettings, own_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """Started at once on a lake that is not there yet, one lands all of its own, the other nothing."""
    other = replace(settings, bootstrap_servers=own_kafka.bootstrap_servers)
    create_topics(other, default_specs(TopicNames(settings.topic_prefix), PARTITIONS))
    Feed(settings).publish(60)
    Feed(other, 1).publish(90)
    others = Aggregators(tmp_path, other)
    try:
        codes = [each.wait(PATIENCE) for each in (aggregators.start(CATCH_UP), others.start(CATCH_UP))]
    finally:
        others.close()
    assert sorted(codes) == [0, 1]
    assert "or this is another Kafka" in aggregators.log.read_text()
    winner = (settings, other)[codes.index(0)]
    assert_exactly_once(winner.bootstrap_servers, aggregators.lake, settings.topic_prefix)


def test_what_was_sent_twice_is_counted_as_repeated_and_in_no_figure(
    aggregators: Aggregators,
    settings: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
) -> None:
    """A worker without transactions that did its work twice, a window replayed twice under one name."""
    producer = producer_factory()

    def send(run: str, numbers: range, worker: str) -> None:
        for number in numbers:
            done = comparison(number, model="fraud", run=run, worker_id=worker)
            producer.produce(topics.comparisons, COMPARISONS.encode(done))
        for number in range(500, 510):
            failed = error(number, request_id=f"request-{number}", run=run, worker_id=worker)
            producer.produce(topics.errors, ERRORS.encode(failed))
        assert producer.flush(60) == 0

    send("live", range(80), "before a crash")
    once = report(aggregators, "live")
    send("live", range(40, 120), "after it")
    for worker in ("one", "two"):
        send("march", range(50), worker)
    live, march = report(aggregators, "live"), report(aggregators, "march")
    assert [each["compared"] for each in (once, live, march)] == [80, 120, 50]
    assert [each["errored"] for each in (once, live, march)] == [10, 10, 10]
    assert live["agreements"] == 60
    assert march["agreements"] == 25
    assert [each["duplicates"]["repeated_rows"] for each in (once, live, march)] == [0, 40, 50]
    assert [each["duplicates"]["repeated_errors"] for each in (once, live, march)] == [0, 10, 10]
    found = judge(settings.bootstrap_servers, aggregators.lake, settings.topic_prefix)
    assert not found.faults
    assert found.rows["comparisons"] == 260, "the table holds what the topic holds; the figures do not"


def report(aggregators: Aggregators, run: str) -> dict[str, Any]:
    """What `shadowlane report` says once all has landed."""
    assert aggregators.catch_up() == 0
    command = ["report", "--model", "fraud", "--shadow", "boosting-2", "--run", run, "--format", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "shadowlane", *command, "--lake", str(aggregators.lake)],
        capture_output=True,
        text=True,
        check=True,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told
