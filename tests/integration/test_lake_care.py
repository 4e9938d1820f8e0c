"""Care for the lake while a real aggregator lands in it: nothing is lost, and nothing comes twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
from confluent_kafka import Producer

from care_lakes import files, read
from shadowlane.aggregator import AggregatorPlan, run_aggregator
from shadowlane.cli._lake_lag import lags
from shadowlane.errors import LakeError
from shadowlane.kafka import KafkaSettings, TopicNames
from shadowlane.lake import LABELS
from shadowlane.lake.care import (
    CompactionPlan,
    ExpiryPlan,
    Position,
    VacuumPlan,
    compact,
    expire,
    look_deep,
    status,
    vacuum,
)
from shadowlane.schemas import Codec, Prediction, ProductionLabel

TODAY = datetime.now(UTC)
LONG_AGO = TODAY - timedelta(days=40)
LABEL = ProductionLabel(request_id="", model="fraud", label=Prediction(score=1.0), observed_at=TODAY)
CODEC = Codec(ProductionLabel)
COUNT = 240


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake that is not there yet."""
    return tmp_path / "lake"


def label(number: int) -> bytes:
    """Every other one is of a day that expires."""
    moment = TODAY if number % 2 else LONG_AGO
    return CODEC.encode(replace(LABEL, request_id=f"{number}", observed_at=moment))


def landed(lake: Path) -> Counter[int]:
    """How often each number is listed."""
    return Counter(int(row["request_id"]) for file in files(lake, "labels") for row in read(file))


def care(lake: Path) -> None:
    """Each of the commands once."""
    compact(CompactionPlan(lake, [LABELS]))
    vacuum(VacuumPlan(lake, [LABELS], keep=timedelta(hours=1)))
    expire(ExpiryPlan(lake, [LABELS], older_than=timedelta(days=30)))
    status(lake, [LABELS])


def test_an_aggregator_lands_exactly_once_beside_all_care(
    settings: KafkaSettings,
    topics: TopicNames,
    producer_factory: Callable[..., Producer],
    lake: Path,
) -> None:
    """Small flushes, and compaction, vacuum and expiry over and over: what is kept is there once."""
    producer, stop = producer_factory(), Event()
    plan = AggregatorPlan(str(lake), flush_rows=5, flush_seconds=0.1)
    with ThreadPoolExecutor(1) as pool:
        try:
            aggregator = pool.submit(run_aggregator, plan, settings, stop=stop)
            rounds = _publish_and_care(producer, topics, lake)
        finally:
            stop.set()
        assert aggregator.result(60).rows == {"labels": COUNT}
    assert rounds > 3
    care(lake)
    assert landed(lake) == Counter(range(1, COUNT, 2))
    vacuum(VacuumPlan(lake, [LABELS], keep=timedelta(0), force=True))
    assert landed(lake) == Counter(range(1, COUNT, 2))
    assert len(files(lake, "labels")) == 1
    again = AggregatorPlan(str(lake), until_caught_up=True)
    assert run_aggregator(again, settings, stop=Event()).rows == {}


def _publish_and_care(producer: Producer, topics: TopicNames, lake: Path) -> int:
    """Publish a few at a time, with care in between, until all have landed; how often there was a lake."""
    rounds, sent, deadline = 0, 0, time.monotonic() + 120
    while sent < COUNT or not _has_landed(lake, topics):
        assert time.monotonic() < deadline
        for number in range(sent, min(COUNT, sent + 20)):
            producer.produce(topics.labels, label(number), partition=number % 3)
        sent = min(COUNT, sent + 20)
        assert producer.flush(30) == 0
        rounds += _cared_for(lake)
    return rounds


def _cared_for(lake: Path) -> bool:
    """Whether there was a lake to care for yet."""
    try:
        care(lake)
    except LakeError as error:
        assert "no lake in" in str(error)  # noqa: PT017 - any other is a failure
        return False
    return True


def _has_landed(lake: Path, topics: TopicNames) -> bool:
    try:
        (found,) = status(lake, [LABELS])
    except LakeError:
        return False
    return sum(each.next_offset for each in found.positions if each.topic == topics.labels) == COUNT


def test_the_lag_is_what_is_still_to_land(
    settings: KafkaSettings, topics: TopicNames, producer_factory: Callable[..., Producer], lake: Path
) -> None:
    """And the gaps of what landed are what a transaction left: its end, and what it took back."""
    plain, transacting = producer_factory(), producer_factory(**{"transactional.id": topics.prefix})
    transacting.init_transactions(30)
    for numbers, commit in ((range(3), True), (range(3, 5), False), (range(5, 6), True)):
        transacting.begin_transaction()
        for number in numbers:
            transacting.produce(topics.labels, label(number), partition=0)
        assert transacting.flush(30) == 0
        (transacting.commit_transaction if commit else transacting.abort_transaction)(30)
    run_aggregator(AggregatorPlan(str(lake), until_caught_up=True), settings, stop=Event())
    for number in range(4):
        plain.produce(topics.labels, label(number), partition=0)
    assert plain.flush(30) == 0
    (found,) = status(lake, [LABELS])
    position = next(each for each in found.positions if each.partition == 0)
    gone = Position(f"{topics.prefix}gone", 0, 5)
    here, nowhere = lags(settings, [position, gone])
    assert (here.behind, here.lost, here.is_ahead) == (4, 0, False)
    assert (nowhere.behind, nowhere.lost) == (None, None)
    (ahead,) = lags(settings, [replace(position, next_offset=10**6)])
    assert ahead.is_ahead
    (gaps,) = [each.gaps for each in look_deep(lake).landed if each.partition == 0]
    assert (gaps.present, gaps.gaps, gaps.missing, gaps.longest_at) == (4, 1, 4, 3)
