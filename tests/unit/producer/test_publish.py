"""What `publish` takes down and what becomes of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import numpy as np
import pytest

from shadowlane.producer import Hook, Sampling
from shadowlane.producer._encode import Encoder, Observation, Subject
from shadowlane.schemas import Features, Prediction, ProductionRequest

from .conftest import MOCK, Taken

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def test_all_that_is_given_arrives(hook: Hook, taken: Taken) -> None:
    """Each argument of publish is a field of the event."""
    hook.publish(
        features={"a": 1.5, "b": 2, "c": True, "d": "x", "e": [1, 2.5], "f": {"g": 1}, "h": None},
        prediction={"label": "yes", "score": 0.9},
        latency_ms=12.5,
        request_id="r-1",
        entity_id="user-1",
        segments={"country": "DE"},
        event_time=NOON,
        context={"trace": "00-1"},
    )
    assert taken(hook) == [
        ProductionRequest(
            request_id="r-1",
            event_time=NOON,
            model="ranker",
            model_version="7",
            entity_id="user-1",
            features=Features(
                numbers={"a": 1.5},
                integers={"b": 2},
                flags={"c": True},
                strings={"d": "x"},
                vectors={"e": [1.0, 2.5]},
                json={"f": '{"g": 1}'},
                missing=["h"],
            ),
            prediction=Prediction(label="yes", score=0.9),
            latency_ms=12.5,
            segments={"country": "DE"},
            context={"trace": "00-1"},
            sampling_rate=1.0,
            producer_id=hook.stats().producer_id,
            sequence=0,
        )
    ]


def test_what_is_not_given_is_made(hook: Hook, taken: Taken) -> None:
    """Request ids are made, and differ; the time is now; requests are numbered from 0."""
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    hook.publish(features={}, prediction=None)
    hook.publish(features={}, prediction=None, request_id="", entity_id="")
    first, second = taken(hook)
    assert first.request_id
    assert first.request_id != second.request_id
    assert before <= first.event_time <= datetime.now(UTC)
    assert (first.sequence, second.sequence) == (0, 1)
    assert first.prediction is None
    assert second.entity_id is None


def test_changes_after_the_call_change_nothing(hook: Hook, taken: Taken) -> None:
    """Features, segments, prediction: what is published is what was there at the call."""
    features: dict[str, Any] = {"list": [1.0], "nested": {"a": [1]}, "array": np.array([1.0, 2.0])}
    prediction, segments = [0.1, 0.9], {"country": "DE"}
    hook.publish(features=features, prediction=prediction, segments=segments)
    features["list"].append(2.0)
    features["nested"]["a"].append(2)
    features["array"][:] = 0.0
    features["new"] = 1
    prediction.append(1.0)
    segments["country"] = "FR"
    [event] = taken(hook)
    assert event.features.to_dict() == {"list": [1.0], "nested": {"a": [1]}, "array": [1.0, 2.0]}
    assert event.prediction == Prediction(vector=[0.1, 0.9])
    assert event.segments == {"country": "DE"}


def test_numpys_values_are_welcome(hook: Hook, taken: Taken) -> None:
    """NumPy's scalars are features, predictions and latencies like Python's own."""
    hook.publish(
        features={"a": np.float64(1.5), "b": np.int64(2), "c": np.bool_(True), "d": np.float32(0.5)},
        prediction=np.float64(0.5),
        latency_ms=np.float32(1.5),  # type: ignore[arg-type]
    )
    [event] = taken(hook)
    assert event.features.to_dict() == {"a": 1.5, "b": 2, "c": True, "d": 0.5}
    assert (event.prediction, event.latency_ms) == (Prediction(score=0.5), 1.5)


def test_ids_need_not_be_text(hook: Hook, taken: Taken) -> None:
    """A number is an id, also 0, which is not none."""
    hook.publish(features={}, prediction=1.0, request_id=7, entity_id=0)
    [event] = taken(hook)
    assert (event.request_id, event.entity_id) == ("7", "0")


def test_segments_that_are_unknown_are_left_out(hook: Hook, taken: Taken) -> None:
    """A segment of None is no segment; numbers and flags become text."""
    hook.publish(features={}, prediction=1.0, segments={"country": None, "tier": 3, "vip": True})
    [event] = taken(hook)
    assert event.segments == {"tier": "3", "vip": "true"}


class PanicException(BaseException):
    """What a panic of a native library looks like."""


class Hostile(Mapping[str, Any]):
    """Features that raise whenever they are read."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __getitem__(self, key: str) -> Any:
        raise self._error

    def __iter__(self) -> Iterator[str]:
        raise self._error

    def __len__(self) -> int:
        raise self._error


class Unspeakable(Exception):  # noqa: N818 (it is what it is called)
    """An error that cannot say itself."""

    def __str__(self) -> str:
        raise ValueError


LOOP: list[Any] = []
LOOP.append(LOOP)

NOT_ENCODABLE: dict[str, dict[str, Any]] = {
    "a value of no type of ours": {"features": {"a": object()}},
    "a nested value of no type of ours": {"features": {"a": {"b": object()}}},
    "a name that is no text": {"features": {1: 1.0}},
    "half a surrogate pair": {"features": {"a": "\ud800"}},
    "no mapping": {"features": None},
    "a list that holds itself": {"features": {"a": LOOP}},
    "features that raise": {"features": Hostile(RuntimeError("no"))},
    "features that panic": {"features": Hostile(PanicException("no"))},
    "an error that cannot say itself": {"features": Hostile(Unspeakable())},
    "a prediction of no type of ours": {"prediction": object()},
    "a latency that is no number": {"latency_ms": "fast"},
    "a time that is none": {"event_time": "today"},
    "a time in seconds": {"event_time": 1_795_262_400},
    "segments that are none": {"segments": [1]},
    "a segment that is no text": {"segments": {"country": [1]}},
    "an id that is no UTF-8": {"request_id": "\ud800"},
}


@pytest.mark.parametrize("wrong", NOT_ENCODABLE.values(), ids=NOT_ENCODABLE.keys())
def test_what_cannot_be_encoded_is_counted_and_said_once(
    delivering: Hook, wrong: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a caller hands over: nothing is raised, it is counted, the log names it once, others go on."""
    good: dict[str, Any] = {"features": {"a": 1.0}, "prediction": 0.5}
    with caplog.at_level(logging.WARNING, "shadowlane.producer"):
        for _ in range(3):
            delivering.publish(**(good | wrong))
        delivering.publish(**good)
        delivering.close(timeout=10)
    stats = delivering.stats()
    assert (stats.dropped, stats.delivered) == ({"not_encodable": 3}, 1)
    assert caplog.text.count("a request was not published") == 1


def test_sampling_by_an_id_that_is_no_utf8_is_no_error() -> None:
    """A key that cannot be hashed is counted as not encodable."""
    with Hook(model="ranker", kafka=MOCK, sampling=0.5) as hook:
        hook.publish(features={}, prediction=1.0, entity_id="\ud800")
    assert hook.stats().dropped == {"not_encodable": 1}


@pytest.mark.parametrize("own", [KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_the_callers_own_interrupts_pass(hook: Hook, own: BaseException) -> None:
    """Ctrl-C in the middle of publish is the caller's; the request is counted nonetheless."""
    with pytest.raises(type(own)):
        hook.publish(features=Hostile(own), prediction=1.0)
    assert hook.stats().dropped == {"not_encodable": 1}


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose local time is nine hours ahead."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


def test_a_time_without_a_zone_is_utc(tokyo: None, hook: Hook, taken: Taken) -> None:
    """Wherever the machine stands: events are UTC, and nothing is refused for want of a zone."""
    hook.publish(features={}, prediction=1.0, event_time=NOON.replace(tzinfo=None))
    with hook.observe({}, event_time=NOON.replace(tzinfo=None)) as call:
        call.prediction = 1.0
    assert [event.event_time for event in taken(hook)] == [NOON, NOON]
    assert hook.stats().dropped == {}


@pytest.mark.parametrize(
    ("event_time", "now_ms", "expected"),
    [
        (NOON, 10**15, 1772366400123),
        (NOON.astimezone(timezone(timedelta(hours=9))), 10**15, 1772366400123),
        (NOON.replace(tzinfo=None), 10**15, 1772366400123),
        (NOON, 1772366400000, 1772366400000),
        (datetime(1950, 1, 1, tzinfo=UTC), 10**15, 1),
        (1772366400123456, 10**15, 1772366400123),
    ],
    ids=["utc", "elsewhere", "no zone", "in the future", "before 1970", "microseconds"],
)
def test_a_messages_time_is_the_event_time(event_time: datetime | int, now_ms: int, expected: int) -> None:
    """In milliseconds; but never in the future, for which brokers refuse whole batches, nor before 1970."""
    observation = Observation(0, "r-1", None, event_time, {}, 1.0, None, None, None, 1.0)
    message = Encoder(Subject("ranker", "7"), "p-1", "mark").request(observation, now_ms)
    assert (message.timestamp_ms, message.key) == (expected, "r-1")


@pytest.mark.parametrize(("sampling", "read"), [(0.0, 0), (Sampling(0.0, {"vip=yes": 1.0}), 1), (0.5, 1)])
def test_what_no_rate_takes_is_not_even_read(sampling: float | Sampling, read: int) -> None:
    """A middleware in a service that samples nothing costs it no parsing of bodies."""
    reads = list[int]()

    def arguments() -> dict[str, Any]:
        reads.append(1)
        return {"features": {}, "prediction": 0.5, "entity_id": "user-2"}  # its position is 0.848

    with Hook(model="ranker", kafka=MOCK, sampling=sampling) as hook:
        hook.defer(arguments, size=10)
        assert hook.flush(timeout=20)
        stats = hook.stats()
    assert (stats.observed, stats.sampled_out, len(reads)) == (1, 1, read)


def test_a_slice_of_which_nothing_is_sent_is_followed_by_the_next(still: None) -> None:
    """A service that samples little of what it defers does not rest in between until its queue is full."""
    hook = Hook(model="ranker", kafka=MOCK, sampling=1e-9)
    for number in range(100):
        request = {"features": {}, "prediction": 0.5, "entity_id": f"user-{number}"}
        hook.defer(request.copy, size=1)
    sender = hook._courier._sender
    assert [sender.send_slice(cast("Any", None)) for _ in range(4)] == [True, True, True, False]
    assert hook.stats().sampled_out == 100
