"""Requests of another time are left out: neither compared nor an error."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import pytest
from confluent_kafka import Message

from shadowlane.replay_worker._plan import TimeRange
from shadowlane.replay_worker._requests import read_requests
from shadowlane.schemas import Codec, ProductionRequest
from tests_support import NOON, request

CODEC = Codec(ProductionRequest)
MINUTE = timedelta(minutes=1)


class Sent:
    """A message as the worker reads it."""

    def __init__(self, number: int, value: bytes, minutes: int) -> None:
        self._number, self._value, self._time = number, value, NOON + minutes * MINUTE

    def value(self) -> bytes:
        """Its bytes."""
        return self._value

    def topic(self) -> str:
        """Its topic."""
        return "requests"

    def partition(self) -> int:
        """Its partition."""
        return 0

    def offset(self) -> int:
        """Its offset."""
        return self._number

    def timestamp(self) -> tuple[int, int]:
        """Its time."""
        return 1, int(self._time.timestamp() * 1000)


def messages(*times: int | None, model: str = "fraud") -> list[Message]:
    """Requests made so many minutes after noon, and bytes that are none (None: at noon)."""
    made = [
        Sent(number, b"no request", 0)
        if minutes is None
        else Sent(
            number, CODEC.encode(request(number, model=model, event_time=NOON + minutes * MINUTE)), minutes
        )
        for number, minutes in enumerate(times)
    ]
    return cast("list[Message]", made)


@pytest.mark.parametrize(
    ("window", "inside"),
    [
        (TimeRange(), [0, 1, 2, 3]),
        (TimeRange(NOON, NOON + 5 * MINUTE), [1, 2]),
        (TimeRange(None, NOON), [0]),
        (TimeRange(NOON + 5 * MINUTE), [3]),
        (TimeRange(NOON + 7 * MINUTE), []),
    ],
)
def test_the_start_is_in_the_window_and_the_end_is_not(window: TimeRange, inside: list[int]) -> None:
    """Event times decide, whatever lies between in Kafka; what is left out is known by its place."""
    read = read_requests(messages(-1, 0, 4, 5), "fraud", window)
    assert read.places.tolist() == inside
    assert sorted(read.outside.tolist()) == [place for place in range(4) if place not in inside]
    assert len(read.requests) == len(inside)


def test_other_models_requests_are_not_counted_as_of_another_time() -> None:
    """They are nobody's here, inside the window or not."""
    read = read_requests(messages(-1, 0, model="ranker"), "fraud", TimeRange(NOON))
    assert (read.places.tolist(), read.outside.tolist()) == ([], [])


def test_what_cannot_be_read_is_of_its_messages_time() -> None:
    """An error in the window is an error; one beside it is left to whoever replays that time."""
    batch = messages(0, None, 3)
    within = read_requests(batch, "fraud", TimeRange(NOON, NOON + MINUTE))
    assert [place for place, _ in within.rejects] == [1]
    beside = read_requests(batch, "fraud", TimeRange(NOON + MINUTE))
    assert (list(beside.rejects), sorted(beside.outside.tolist())) == ([], [0, 1])


def test_what_cannot_be_read_may_have_a_time_that_no_calendar_has() -> None:
    """Brokers take any number for a message's time; it ends no replay."""

    class Late(Sent):
        def timestamp(self) -> tuple[int, int]:
            return 1, 2**62

    batch = cast("list[Message]", [Late(0, b"no request", 0)])
    read = read_requests(batch, "fraud", TimeRange(NOON, NOON + MINUTE))
    assert (list(read.rejects), read.outside.tolist()) == ([], [0])
