"""Aggregators killed at each step, doubled, stopped, rebalanced, a broker that dies: each message is one row.

What each test leaves is judged by `lake_accounting`, which reads Kafka and the tables and shares no code
with the aggregator. More of it: SHADOWLANE_TEST_KILLS=200 (random kills), SHADOWLANE_TEST_SEED=… (others).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable, Schema

from aggregators import CATCH_UP, MEMBER, PATIENCE, Aggregators, end, is_stopped, landed, wait_until
from faulty_kafka import FaultyKafka
from lake_feed import Feed
from shadowlane.kafka import KafkaSettings
from shadowlane.lake import COMPARISONS

SEED = int(os.environ.get("SHADOWLANE_TEST_SEED", "7"))
KILLS = int(os.environ.get("SHADOWLANE_TEST_KILLS", "8"))
ROUNDS = max(5, KILLS // 4)
#: A step, and how often it is come to before the kill.
STEPS = (
    ("while creating a table", 1),
    ("while creating a table", 4),
    ("after creating a table", 3),
    ("before widening", 1),
    ("after widening", 1),
    ("after decoding", 1),
    ("after decoding", 4),
    ("before a file", 3),
    ("halfway through a file", 1),
    ("halfway through a file", 4),
    ("before a file has its name", 2),
    ("after a file", 1),
    ("before the commit", 3),
    ("after the commit", 1),
    ("after the commit", 4),
    ("after the dead letters", 1),
    ("before the offsets", 1),
    ("at a checkpoint", 1),
    ("at a checkpoint", 2),
)
#: So many of them leave a file without its name.
DRAFTS = 3
#: Those of a compaction that runs beside an aggregator.
COMPACTING = (
    ("before a file", 2),
    ("halfway through a file", 1),
    ("before a file has its name", 1),
    ("after a file", 1),
    ("before the commit", 2),
    ("after the commit", 1),
    ("after the commit", 3),
    ("at a checkpoint", 1),
    ("before tidying the log", 1),
    ("after tidying the log", 1),
)


@pytest.fixture
def aggregators(tmp_path: Path, settings: KafkaSettings) -> Iterator[Aggregators]:
    """Aggregators of the run's Kafka."""
    made = Aggregators(tmp_path, settings)
    yield made
    made.close()


def make_an_older_table(lake: Path) -> None:
    """The table of comparisons as a version made it whose events had two fields less."""
    schema = COMPARISONS.schema
    older = [each for each in schema if each.name not in ("fetched", "traceparent")]
    DeltaTable.create(
        str(lake / COMPARISONS.name),
        schema=Schema.from_arrow(schema.empty_table().select([each.name for each in older]).schema),
        partition_by=list(COMPARISONS.partition_by),
        configuration={"delta.checkpointInterval": "5"},
    )


def test_killed_at_each_step_it_lands_each_message_once(
    aggregators: Aggregators, settings: KafkaSettings
) -> None:
    """Whatever was decoded, written, committed or told to Kafka when it died: the next goes on."""
    feed = Feed(settings)
    make_an_older_table(aggregators.lake)
    for step, count in STEPS:
        feed.some(80)
        assert aggregators.catch_up(step, count) == -signal.SIGKILL, step
    found = aggregators.assert_each_message_landed_once()
    assert found.checkpoints > 3
    assert found.drafts == DRAFTS
    assert aggregators.catch_up() == 0, "a second time it has nothing to do"


@pytest.mark.timeout(900)
def test_killed_at_random_it_lands_each_message_once(
    aggregators: Aggregators, settings: KafkaSettings
) -> None:
    """Any step, any number of times come to, while messages come and some are aborted."""
    chance, feed, killed = random.Random(SEED), Feed(settings, SEED), 0  # noqa: S311 - not for secrets
    steps = sorted({step for step, _ in STEPS} - {"before widening", "after widening"})
    print("seed", SEED)  # noqa: T201 - for whoever wants to see it again
    for _ in range(KILLS):
        feed.some(chance.randrange(20, 120))
        step, count = chance.choice(steps), chance.randrange(1, 6)
        code = aggregators.catch_up(step, count)
        assert code in {0, -signal.SIGKILL}, (step, count)
        killed += code != 0
    aggregators.assert_each_message_landed_once()
    assert killed > KILLS / 3


def test_two_that_catch_up_beside_a_member_of_the_group_land_each_message_once(
    aggregators: Aggregators, settings: KafkaSettings
) -> None:
    """All three write the same partitions; who is forestalled reads again, and ends when all is landed."""
    feeds = [Feed(settings, seed) for seed in (1, 2)]
    for feed in feeds:
        feed.some(400)
    member = aggregators.start()
    wait_until(lambda: landed(aggregators.lake))
    with feeds[0].flowing(30), feeds[1].flowing(30):
        both = [aggregators.start(CATCH_UP) for _ in range(2)]
        assert [each.wait(PATIENCE) for each in both] == [0, 0]
    end([member])
    assert aggregators.catch_up() == 0
    assert "reading again from where the lake is now" in aggregators.log.read_text()
    aggregators.assert_each_message_landed_once()


def test_those_that_stood_still_past_their_session_spoil_nothing(
    aggregators: Aggregators, settings: KafkaSettings
) -> None:
    """Three stop (SIGSTOP) in the midst of landing, until another has landed what they had in hand."""
    feed = Feed(settings)
    sleepers = [
        aggregators.start(asleep_at=step) for step in ("after decoding", "after a file", "before the commit")
    ]
    with feed.flowing():
        wait_until(lambda: all(map(is_stopped, sleepers)))
        before = landed(aggregators.lake)
        other = aggregators.start()
        wait_until(lambda: landed(aggregators.lake) > before + 200)
        for each in sleepers:
            each.send_signal(signal.SIGCONT)
        wait_until(lambda: aggregators.log.read_text().count("reading again from where the lake is") >= 2)
        after = landed(aggregators.lake)
        wait_until(lambda: landed(aggregators.lake) > after + 100)
    assert aggregators.running == [*sleepers, other]
    end([*sleepers, other])
    aggregators.assert_each_message_landed_once()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_three_that_come_and_go_land_each_message_once(
    protocol: str, aggregators: Aggregators, settings: KafkaSettings
) -> None:
    """Every two seconds one starts, is told to leave or is killed, while messages come."""
    chance, feed = random.Random(SEED), Feed(settings, SEED)  # noqa: S311 - not for secrets
    plan = {**MEMBER, "group_protocol": protocol}
    aggregators.start(plan)
    told: list[subprocess.Popen[str]] = []
    with feed.flowing():
        for _ in range(ROUNDS):
            time.sleep(2)
            staying = [each for each in aggregators.running if each not in told]
            if len(staying) < 2 or (len(staying) < 3 and chance.random() < 0.5):
                aggregators.start(plan)
                continue
            victim, how = chance.choice(staying), chance.choice((signal.SIGTERM, signal.SIGKILL))
            victim.send_signal(how)
            if how == signal.SIGTERM:
                told.append(victim)
    for each in aggregators.running:
        each.terminate()
    # One that was told before it could listen was ended by the signal itself.
    assert {each.wait(PATIENCE) for each in aggregators.started} <= {0, -signal.SIGTERM, -signal.SIGKILL}
    aggregators.assert_each_message_landed_once()


def test_a_broker_that_dies_and_comes_back_finds_each_message_landed_once(tmp_path: Path) -> None:
    """It is killed (-9) while a member of the group and one that catches up read, and started again."""
    kafka = FaultyKafka(tmp_path / "kafka")
    kafka.start()
    settings = kafka.settings(kafka.topics())
    aggregators, feed = Aggregators(tmp_path, settings), Feed(settings)
    try:
        for _ in range(4):
            feed.some(300)
        both = [aggregators.start(), aggregators.start(CATCH_UP)]
        wait_until(lambda: landed(aggregators.lake))
        kafka.kill()
        kafka.start()
        Feed(settings, 1).some(200)
        assert both[1].wait(PATIENCE) == 0
        assert aggregators.catch_up() == 0
        assert aggregators.running[0] == both[0]
        end(both[:1])
        aggregators.assert_each_message_landed_once()
    finally:
        aggregators.close()
        kafka.stop()


def test_a_compaction_killed_at_each_step_beside_an_aggregator_loses_and_doubles_nothing(
    aggregators: Aggregators, settings: KafkaSettings
) -> None:
    """Nor do two compactions of the same files at once: the rows are the same, each once."""
    feed = Feed(settings)
    feed.some(200)
    member = aggregators.start()
    wait_until(lambda: landed(aggregators.lake) >= 150)
    with feed.flowing(40):
        for step, count in COMPACTING:
            # One that comes before there is anything to compact gets nowhere near the step.
            wait_until(lambda: aggregators.begin("compact", step, count)() == -signal.SIGKILL)  # noqa: B023
        for _ in range(2):
            both = [aggregators.begin("compact", forge=forge) for forge in ("one", "other")]
            assert [code() for code in both] == [0, 0]
    end([member])
    assert aggregators.catch_up() == 0
    assert aggregators.begin("compact")() == 0
    found = aggregators.assert_each_message_landed_once()
    assert found.listed["comparisons"] < found.commits["comparisons"] / 2
