"""The ends of a window: what people write, and what it means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shadowlane.errors import SettingsError
from shadowlane.replay_worker.window import Window, parse_duration
from shadowlane.replay_worker.window._times import Bound, first_of

NOW = datetime(2026, 3, 8, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment", "assumed"),
    [
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC), True),
        ("2026-03-01T14:30", datetime(2026, 3, 1, 14, 30, tzinfo=UTC), True),
        (" 2026-03-01 14:30:05.25 ", datetime(2026, 3, 1, 14, 30, 5, 250_000, tzinfo=UTC), True),
        ("2026-03-01T14:30Z", datetime(2026, 3, 1, 14, 30, tzinfo=UTC), False),
        ("2026-03-01T14:30:00+02:00", datetime(2026, 3, 1, 12, 30, tzinfo=UTC), False),
        ("2026-03-01 14:30 -05:00", datetime(2026, 3, 1, 19, 30, tzinfo=UTC), False),
        ("now", NOW, False),
        ("-7d", NOW - timedelta(days=7), False),
        ("-90m", NOW - timedelta(minutes=90), False),
        ("-1W2d", NOW - timedelta(days=9), False),
        ("-1d12h30m10s", NOW - timedelta(days=1, hours=12, minutes=30, seconds=10), False),
    ],
)
def test_a_time_or_a_distance_is_a_moment(text: str, moment: datetime, assumed: bool) -> None:
    """ISO 8601 with a zone or in UTC, which is remembered as assumed; distances are from now."""
    bound = Bound.parse(text, NOW)
    assert (bound.moment, bound.assumed_utc) == (moment, assumed)


@pytest.mark.parametrize(
    "text",
    [
        *("yesterday", "7d", "-", "-7", "-7x", "-d", "-2h1d", "", "2026-13-01", "2026-02-30T00:00"),
        *("@", "@-5", "@1:", "@1:2,", "@a:5", "0:5", "@1.5", "-99999999999w", "0001-01-01T00:00+10:00"),
    ],
)
def test_what_is_no_end_is_an_error_with_examples(text: str) -> None:
    """The message shows each of the three forms."""
    with pytest.raises(SettingsError, match=r"2026-03-01T14:30.*-7d.*@1200") as raised:
        Bound.parse(text, NOW)
    assert repr(text) in str(raised.value)


def test_offsets_are_for_each_partition_or_by_partition() -> None:
    """`@1200` means each partition, `@0:100,1:250` those that are named."""
    assert [first_of(Bound.parse("@1200", NOW), partition) for partition in (0, 7)] == [1200, 1200]
    by_partition = Bound.parse("@1:250,0:100", NOW)
    assert by_partition.text == "@0:100,1:250"
    assert [first_of(by_partition, partition) for partition in (0, 1, 2)] == [100, 250, None]
    assert first_of(Bound.parse("-7d", NOW), 0) is None


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("2026-03-02", "2026-03-01", "the end must be later"),
        ("2026-03-01", "2026-03-01T00:00Z", "the end must be later"),
        ("-1d", "-2d", "the end must be later"),
        ("now", "now", "the end must be later"),
        ("@10", "@10", "offset 10 is not after offset 10"),
        ("@0:5,3:9", "@0:6,3:9", "partition 3: offset 9 is not after offset 9"),
        ("@20", "@0:5", "partition 0"),
        ("@0:1", "@1:5", "not the same ones"),
        ("@0:1,0:2", "now", "names a partition twice"),
    ],
)
def test_a_window_that_is_none_is_an_error(start: str, end: str, words: str) -> None:
    """Its end comes after its beginning, in time and in each partition."""
    with pytest.raises(SettingsError, match=words):
        Window.parse(start, end, NOW)


def test_a_window_says_which_times_and_partitions_are_meant() -> None:
    """An end of offsets leaves the time on its side open."""
    window = Window.parse("@0:10,2:20", "-1h", NOW)
    assert (window.times.start, window.times.end) == (None, NOW - timedelta(hours=1))
    assert window.partitions == {0, 2}
    assert Window.parse("-1h", "now", NOW).partitions == set()


@pytest.mark.parametrize(
    ("start", "end", "run"),
    [
        ("2026-03-01", "2026-03-08", "from-20260301-to-20260308"),
        ("2026-03-01T14:30", "2026-03-01T14:30:05", "from-20260301T1430-to-20260301T143005"),
        ("-7d", "now", "from-7d-ago-to-now"),
        ("-1w", "now", "from-7d-ago-to-now"),
        ("@1200", "@1300", "from-offset-1200-to-offset-1300"),
    ],
)
def test_a_run_is_named_after_its_window(start: str, end: str, run: str) -> None:
    """The same window gives the same name at any time, so that the same command goes on."""
    assert Window.parse(start, end, NOW).run == run
    assert Window.parse(start, end, NOW + timedelta(days=30)).run == run


def test_the_same_end_written_otherwise_is_the_same_end() -> None:
    """Zones and units do not matter; moments and offsets do."""
    assert Bound.parse("2026-03-01", NOW).text == Bound.parse("2026-03-01T01:00+01:00", NOW).text
    assert Bound.parse("-1w", NOW).text == Bound.parse("-168h", NOW).text
    assert Bound.parse("-1w", NOW).text != Bound.parse("-8d", NOW).text
    many = [f"@{','.join(f'{p}:{p + more}' for p in range(100))}" for more in (0, 1)]
    assert Bound.parse(many[0], NOW).text != Bound.parse(many[1], NOW).text
    assert len(Bound.parse(many[0], NOW).text) < 200
    assert Window.parse(many[0], "now", NOW).run != Window.parse(many[1], "now", NOW).run


def test_a_duration_is_read_and_what_is_none_is_an_error() -> None:
    """Units may be combined; a number alone is not guessed at."""
    assert parse_duration("1h30m") == timedelta(minutes=90)
    assert parse_duration("0s") == timedelta()
    for text in ("10", "-10m", "soon", "", "9999999999999999w"):
        with pytest.raises(SettingsError):
            parse_duration(text)
