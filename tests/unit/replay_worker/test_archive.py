"""The archive: rows become the messages that they were, in their order, from one version of checked files."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archived import CODEC, TOPIC, decoded, put
from shadowlane.errors import DamagedLakeError, LakeError
from shadowlane.lake import REQUESTS, HeldTable, VersionGoneError
from shadowlane.replay_worker._plan import TimeRange
from shadowlane.replay_worker.archive import Archive, ArchivedMessage, Choice, Spans
from shadowlane.replay_worker.archive._order import in_order
from shadowlane.replay_worker.archive._pieces import Piece
from shadowlane.schemas import Features, Prediction, ProductionRequest
from strategies import events, moderate, same
from tests_support import NOON, request

MINUTE = timedelta(minutes=1)
ALL = {0: (0, 2**63 - 1), 1: (0, 2**63 - 1), 2: (0, 2**63 - 1)}


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake that is not there yet."""
    return tmp_path / "lake"


def opened(lake: Path, *, version: int | None = None, **choice: Any) -> Archive:
    """The archive of three partitions, of one model's requests."""
    return Archive(lake, Choice(**{"topic": TOPIC, "model": "fraud"} | choice), range(3), version)


def read(archive: Archive, spans: Spans = ALL) -> list[ArchivedMessage]:
    """All that it holds of these spans."""
    return [each for some in archive.read(archive.find(spans).pieces, spans) for each in some]


def at(minute: int, **changes: Any) -> ProductionRequest:
    """The request of a minute after noon."""
    return request(minute, **{"event_time": NOON + minute * MINUTE} | changes)


EDGES = [
    request(1, features=Features(), prediction=None, segments={}, context={}),
    request(2, prediction=Prediction(), latency_ms=None, entity_id=None),
    request(3, prediction=Prediction(score=float("nan"), vector=[-0.0, float("inf")], ranking=[])),
    request(4, features=Features.of({"nothing": None, "zero": -0.0, "list": [], "deep": {"a": [1, None]}})),
    request(5, event_time=datetime(1, 1, 1, tzinfo=UTC), context={"traceparent": "00-ab-cd-01"}),
    request(6, event_time=datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), sampling_rate=0.25),
    request(7, producer_id="hook-1", sequence=2**63 - 1, request_id="", model_version=""),
]


def test_edges_come_back_field_by_field(lake: Path) -> None:
    """No features, no prediction, one that says nothing, NaN, -0.0, empty lists and maps, the first and last times."""
    put(lake, {(0, number): each for number, each in enumerate(EDGES)})
    found = decoded(read(opened(lake)))
    assert [same(found[0, number]) for number in range(len(EDGES))] == [same(each) for each in EDGES]


@moderate
@given(st.lists(events(ProductionRequest), min_size=1, max_size=5))
def test_any_request_comes_back_as_the_bytes_that_it_was(requests: Sequence[ProductionRequest]) -> None:
    """Whatever the schema takes: the messages are those of Kafka, byte for byte but for the order in a map."""
    ours = [replace(each, model="fraud") for each in requests]
    with TemporaryDirectory() as folder:
        put(Path(folder, "lake"), {(number % 3, number): each for number, each in enumerate(ours)})
        messages = read(opened(Path(folder, "lake")))
        found = decoded(messages)
    assert [same(found[number % 3, number]) for number in range(len(ours))] == [same(each) for each in ours]
    for message in messages:
        it = ours[message.offset()]
        assert message.topic() == TOPIC
        assert message.key() == (it.request_id if it.entity_id is None else it.entity_id).encode()
        assert message.timestamp()[1] == max(1, (it.event_time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1))
        assert len(message.value()) == len(CODEC.encode(it))
