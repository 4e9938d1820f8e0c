"""Waiting for a lake that cannot be written: when to try, what is said and counted, when to give up."""

from __future__ import annotations

import logging

import pytest

from shadowlane.aggregator._landings import Landings
from shadowlane.aggregator._outage import Outage
from shadowlane.errors import LakeUnavailableError

FULL = LakeUnavailableError("no room", reason="disk_full")
AWAY = LakeUnavailableError("no answer")


class Clock:
    """One that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


def until_tried(outage: Outage, clock: Clock) -> float:
    """How long it waits."""
    began = clock.now
    while outage.waiting:
        clock.now += 0.01
    return clock.now - began


def test_it_waits_longer_each_time_and_never_longer_than_half_a_minute(clock: Clock) -> None:
    """Doubled from a second on, each a little earlier at random."""
    outage = Outage(Landings(), float("inf"), clock)
    for most in (1, 2, 4, 8, 16, 30, 30):
        outage.fail(FULL)
        assert most / 2 - 0.02 <= until_tried(outage, clock) <= most + 0.02


def test_it_speaks_once_for_each_reason_and_when_it_is_over(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Not with each try; again when the reason changes, and after a long time."""
    outage = Outage(Landings(), float("inf"), clock)
    with caplog.at_level(logging.INFO):
        for error in (FULL, FULL, AWAY, AWAY):
            outage.fail(error)
            until_tried(outage, clock)
        clock.now += 700
        outage.fail(AWAY)
        outage.end()  # a flush of before it failed proves nothing
        until_tried(outage, clock)
        outage.end()
        outage.end()
    said = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert [line.rstrip("0123456789 s") for line in said] == [
        *("paused", "paused"),
        "still paused after",
        "going on after a pause of",
    ]
    assert outage.error is None


def test_the_seconds_are_counted_while_it_lasts_by_reason(clock: Clock) -> None:
    """Those of a try that fails belong to the pause, too."""
    landings = Landings()
    outage = Outage(landings, float("inf"), clock)
    outage.fail(FULL)
    clock.now += 5
    assert not outage.waiting
    assert landings.paused_seconds == {"disk_full": 5}
    clock.now += 2
    outage.fail(AWAY)
    clock.now += 3
    assert not outage.waiting
    outage.end()
    assert landings.paused_seconds == {"disk_full": 7, "away": 3}
    assert landings.pauses == {"disk_full": 1, "away": 1}
    clock.now += 9
    assert not outage.waiting
    assert landings.paused_seconds.total() == 10


def test_it_gives_up_when_it_was_told_to(clock: Clock) -> None:
    """With the last reason, and the time that it waited."""
    outage = Outage(Landings(), 10, clock)
    outage.fail(AWAY)
    clock.now += 9
    outage.fail(AWAY)
    assert until_tried(outage, clock) <= 1.02  # the last try is not after the end
    clock.now += 1
    with pytest.raises(LakeUnavailableError, match=r"gave up after 1\d s .*no answer.*lost") as failure:
        outage.fail(AWAY)
    assert failure.value.reason == "away"


def test_reading_goes_on_for_a_while_before_it_is_tried_whether_it_can_land(clock: Clock) -> None:
    """As long as a batch takes to gather."""
    outage = Outage(Landings(), float("inf"), clock)
    assert not outage.tried_for(0)
    outage.fail(FULL)
    until_tried(outage, clock)
    assert not outage.tried_for(5)
    clock.now += 5
    assert outage.tried_for(5)
