"""How fast a window is replayed: no clock, no sleep."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from shadowlane.errors import SettingsError
from shadowlane.replay_worker.window import Speed
from shadowlane.replay_worker.window._speed import Allowance, Schedule


@dataclass(frozen=True)
class Message:
    """A message by its place and time."""

    place: int
    milliseconds: int

    def partition(self) -> int:
        """Which partition it lies in."""
        return self.place

    def timestamp(self) -> tuple[int, int]:
        """Its time."""
        return 1, self.milliseconds


@pytest.mark.parametrize(
    ("text", "speed", "shown"),
    [
        ("max", Speed("max"), "max"),
        ("Original", Speed("original"), "original"),
        ("10x", Speed("original", 10.0), "10x"),
        ("0.5×", Speed("original", 0.5), "0.5x"),  # noqa: RUF001 - people type it
        ("1x", Speed("original", 1.0), "original"),
        ("500/s", Speed("rate", 500.0), "500/s"),
    ],
)
def test_a_speed_is_read_as_it_is_written(text: str, speed: Speed, shown: str) -> None:
    """As fast as it goes, a multiple of the original pace, or so many a second."""
    assert Speed.parse(text) == speed
    assert str(speed) == shown


@pytest.mark.parametrize(
    "text", ["", "fast", "0x", "0/s", "-5/s", "x", "/s", "1e3/s", "nan/s", "10", "9" * 400 + "x"]
)
def test_what_is_no_speed_is_an_error_with_examples(text: str) -> None:
    """A speed of nothing would never end."""
    with pytest.raises(SettingsError, match=r"max, original, 10x .* 500/s"):
        Speed.parse(text)


def test_workers_share_a_rate_and_keep_a_pace() -> None:
    """A rate is of all together; the pace of time is the same for each."""
    assert Speed("rate", 100.0).share(0.25) == Speed("rate", 25.0)
    assert Speed("original", 10.0).share(0.25) == Speed("original", 10.0)


def test_an_allowance_lets_so_many_through_in_a_second() -> None:
    """However often it is asked, in sum it is the rate."""
    allowance, asked = Allowance(50.0, 0.0), 0
    for step in range(1, 1001):
        room = allowance.room(step / 100)
        allowance.spend(room)
        asked += room
    assert asked == pytest.approx(500, abs=2)


def test_a_standstill_is_not_made_up_for() -> None:
    """After ten minutes without a broker there is room for a second's worth, not for ten minutes'."""
    allowance = Allowance(50.0, 0.0)
    assert allowance.room(600.0) == 50


def test_a_batch_that_took_more_than_its_room_is_waited_for() -> None:
    """What goes back and comes again may exceed the room; the next ones wait longer."""
    allowance = Allowance(10.0, 0.0)
    allowance.spend(allowance.room(1.0) + 20)
    assert [allowance.room(second) for second in (2.0, 2.9, 3.3)] == [0, 0, 3]


def test_a_rate_below_one_a_second_lets_one_through_now_and_then() -> None:
    """One request each ten seconds."""
    allowance, asked = Allowance(0.1, 0.0), []
    for second in range(1, 31):
        if allowance.room(second):
            allowance.spend(1)
            asked.append(second)
    assert asked == [1, 11, 21]


def test_a_schedule_gives_messages_back_as_time_passes() -> None:
    """At ten times the pace a minute between two requests is six seconds."""
    schedule = Schedule[Message](10.0, origin_ms=60_000, now=100.0)
    first, second, other = Message(0, 60_000), Message(0, 120_000), Message(1, 90_000)
    schedule.add([first, second, other])
    assert schedule.release(10, 100.0) == [first]
    assert schedule.release(10, 102.9) == []
    assert schedule.release(10, 103.0) == [other]
    assert schedule.partitions == {0}
    assert schedule.release(10, 106.0) == [second]
    assert schedule.partitions == set()


def test_a_schedule_keeps_the_order_of_a_partition() -> None:
    """A request that was sent late goes when those before it have gone, and never past the size asked."""
    schedule = Schedule[Message](1.0, origin_ms=0, now=0.0)
    late = [Message(0, 5_000), Message(0, 1_000), Message(0, 6_000)]
    schedule.add(late)
    assert schedule.release(10, 4.0) == []
    assert schedule.release(1, 5.0) == late[:1]
    assert schedule.release(10, 5.0) == late[1:2]


def test_a_partition_far_ahead_is_not_read_until_it_holds_little() -> None:
    """So what is held in memory stays bounded, and no other partition starves."""
    schedule = Schedule[Message](1.0, origin_ms=0, now=0.0)
    schedule.add([Message(0, second * 1000) for second in range(1, 1001)] + [Message(1, 0)])
    assert schedule.ahead() == {0}
    assert schedule.hungry({0}) == set()
    schedule.release(10_000, 800.0)
    assert schedule.hungry({0}) == {0}
    schedule.forget([0])
    assert schedule.partitions == set()
