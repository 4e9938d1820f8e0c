"""What is kept of a run, and what is said of it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import TopicPartition

from shadowlane.replay_worker import ModelSource, Target, WorkerPlan
from shadowlane.replay_worker.window import Counts, Record, Summary, Window, span
from shadowlane.replay_worker.window._progress import Progress, progress
from shadowlane.replay_worker.window._record import Position, positions
from shadowlane.replay_worker.window._slices import Slice
from shadowlane.replay_worker.window._summary import clipped

NOW = datetime(2026, 3, 8, 12, 0, tzinfo=UTC)
PLAN = WorkerPlan(
    Target("fraud", "boosting-2", run="week"), ModelSource("http://name:secret@host/v2/models/m")
)


def record(window: Window, *slices: Slice) -> Record:
    """What a run of this window covers, settled now."""
    return Record.settle(PLAN, window, slices, 1, NOW)


def millis(moment: datetime) -> int:
    """A moment as Kafka has it."""
    return int(moment.timestamp() * 1000)


WEEK = Window.parse("-7d", "now", NOW)


def test_counts_survive_the_journey_through_a_commit() -> None:
    """As text and back, added up; another program's metadata counts nothing."""
    counts = Counts(9, Counter(predict=2, decode=1), others=4, outside=3, lost=5)
    assert Counts.of(str(counts)) == counts
    assert (counts + counts).requests == 24
    assert (counts + counts).errors == Counter(predict=4, decode=2)
    for text in (None, "", "not ours", "[1]", '{"theirs": 1}', "3"):
        assert Counts.of(text) == Counts()


def test_a_partition_without_a_commit_is_at_its_start() -> None:
    """And one with a commit where that says."""
    committed = [TopicPartition("t", 0, 7, str(Counts(2))), TopicPartition("t", 1, -1001)]
    assert positions(committed, {0: 5, 1: 6}) == {0: Position(7, Counts(2)), 1: Position(6)}


def test_a_record_knows_its_own_work() -> None:
    """Another window or another model under the same name is an error that says what the run covers."""
    run = record(WEEK, Slice(0, 0, 10))
    assert run.objection(PLAN, Window.parse("-168h", "now", NOW + timedelta(days=1))) is None
    another = run.objection(PLAN, Window.parse("-8d", "now", NOW)) or ""
    assert "'week' covers -7d to now, not -8d to now: choose another name for this one with --run" in another
    model = WorkerPlan(PLAN.target, ModelSource("http://name:other@host/v2/models/m"))
    assert "another URI" in (run.objection(model, WEEK) or "")
    assert "secret" not in repr(run)


def test_a_run_is_done_when_each_partition_is() -> None:
    """An empty partition is done from the start."""
    run = record(WEEK, Slice(0, 5, 10), Slice(1, 3, 3))
    assert not run.is_done({0: Position(9), 1: Position(3)})
    assert run.is_done({0: Position(10), 1: Position(3)})


def test_progress_is_that_of_all_partitions() -> None:
    """The rate is of this start; what is left goes at that rate; there is none before anything moved."""
    slices = [Slice(0, 100, 200), Slice(1, 0, 100)]
    reached = {0: Position(150, Counts(40, Counter(predict=1))), 1: Position(0)}
    now = progress(slices, reached, seconds=4.0, before=10)
    assert (now.total, now.done, now.rate, now.seconds_left) == (200, 50, 10.0, 15.0)
    assert str(now) == " 25% of 200 messages, 10/s, 15s left: 41 requests, 40 compared, 1 errors"
    assert progress(slices, reached).seconds_left is None
    assert Progress(0, 0, Counts()).share == 1.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (59.4, "59s"), (59.6, "1m00s"), (3599, "59m59s"), (3661, "1h01m")]
)
def test_a_time_is_said_as_people_say_it(seconds: float, text: str) -> None:
    """No more digits than anybody wants."""
    assert span(seconds) == text


def test_what_retention_took_is_said_with_the_earliest_that_is_there() -> None:
    """Asked from X, the earliest there is Y; and since when all partitions are complete."""
    one, two = NOW - timedelta(days=3), NOW - timedelta(days=2)
    run = record(
        WEEK, Slice(0, 5, 9, millis(one)), Slice(1, 5, 9, millis(two)), Slice(2, 0, 9), Slice(3, 4, 4, -1)
    )
    late, gone = clipped(WEEK, run)
    assert "asked from 2026-03-01T12:00:00Z; 2 of 4 partitions begin later" in late
    assert "the earliest there is 2026-03-05T12:00:00Z" in late
    assert "complete from 2026-03-06T12:00:00Z on" in late
    assert gone.startswith("1 of 4 partitions hold nothing any more")
    covered = Summary(PLAN.target, run, Progress(1, 1, Counts()), (), finished=True).covered
    assert (covered.start, covered.end) == (two, NOW)


def test_what_has_not_come_yet_is_said() -> None:
    """An end in the future is cut at now; a window wholly in the future has nothing."""
    tomorrow = Window.parse("-1d", "2026-03-09", NOW)
    (cut,) = clipped(tomorrow, record(tomorrow, Slice(0, 0, 5)))
    assert cut == (
        "asked to 2026-03-09T00:00:00Z, which was in the future; "
        "it ends with what was there at 2026-03-08T12:00:00Z"
    )
    future = Window.parse("2026-03-09", "2026-03-10", NOW)
    (nothing,) = clipped(future, record(future, Slice(0, 5, 5)))
    assert nothing == "it begins at 2026-03-09T00:00:00Z, which is in the future: nothing was replayed"


def test_offsets_past_the_end_are_said() -> None:
    """A partition that ends before the offset that was asked for."""
    window = Window.parse("@0", "@0:10,1:10", NOW)
    (short,) = clipped(window, record(window, Slice(0, 0, 10), Slice(1, 0, 4)))
    assert short == "asked to offset @0:10,1:10; 1 of 2 partitions end before that"


def test_a_window_that_is_all_there_is_not_clipped() -> None:
    """Nothing is said where nothing is missing."""
    assert clipped(WEEK, record(WEEK, Slice(0, 0, 10), Slice(1, 7, 9))) == []


def test_the_summary_names_the_command_that_shows_the_figures() -> None:
    """In JSON: what was asked, what it covers, what came of it."""
    counts = Counts(8, Counter(timeout=1, predict=1), others=3, outside=2)
    done = Summary(
        PLAN.target, record(WEEK, Slice(0, 0, 15)), Progress(15, 15, counts, 2.0), (), finished=True
    )
    said = done.to_dict()
    assert said["next"] == "shadowlane report --model fraud --shadow boosting-2 --run week"
    assert (said["requests"], said["compared"], said["errors"]) == (10, 8, {"predict": 1, "timeout": 1})
    assert said["asked"] == {"from": "-7d", "to": "now"}
    assert said["window"] == said["covered"] == {"from": "2026-03-01T12:00:00Z", "to": "2026-03-08T12:00:00Z"}
    assert (said["other_models"], said["outside_the_window"]) == (3, 2)
