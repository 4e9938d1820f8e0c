"""One worker of a fleet, in a real process: watched, replaced, heard, and told to stop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

import fleet_work
from shadowlane.errors import FencedError, ShadowlaneError
from shadowlane.health import Pulse
from shadowlane.replay_worker import _member
from shadowlane.replay_worker._member import Line, Member

Work = Callable[[Line, Pulse, int], None]


@contextmanager
def member(work: Work) -> Iterator[Member]:
    """The fleet's side of one such worker."""
    made = Member(0, work, start_seconds=60)
    try:
        yield made
    finally:
        made._process.kill()
        made.wait(0)


def wait_until(true: Callable[[], bool]) -> None:
    """Until it is so; fails when it is not so in time."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def look_after(worker: Member) -> bool:
    """As the fleet does again and again."""
    worker.look_after()
    return True


@pytest.fixture
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test need not wait for the next start."""
    monkeypatch.setattr(_member, "_FIRST_REST", 0.05)


def test_a_worker_is_heard() -> None:
    """Its id and its tally make its standing; before, it is known by its number."""
    with member(fleet_work.works) as worker:
        wait_until(lambda: worker.standing.tally is not None)
        standing = worker.standing
        assert standing.worker_id == f"w-{worker._process.pid}"
        assert standing.unready is None
        worker.look_after()
        assert worker.standing.worker_id == standing.worker_id


def test_a_worker_that_has_not_spoken_yet_is_alive_and_not_ready() -> None:
    """It starts: that takes its time."""
    with member(fleet_work.works) as worker:
        os.kill(worker._process.pid or 0, signal.SIGSTOP)
        assert worker.standing.stuck is None
        assert worker.standing.unready == "worker number 0: still starting (its model, or its way to Kafka)"


@pytest.mark.usefixtures("_no_rest")
def test_a_worker_that_is_killed_is_replaced_and_its_work_stays_counted() -> None:
    """What it did belongs to the past, once; its partitions are no longer its."""
    with member(fleet_work.works) as worker:
        wait_until(lambda: worker.standing.tally is not None)
        first = worker._process.pid
        os.kill(first or 0, signal.SIGKILL)
        wait_until(lambda: worker._process.exitcode is not None)
        worker.look_after()
        assert worker.replaced == {"killed": 1, "stuck": 0}
        assert (worker.past.requests, worker.past.waiting) == (5, None)
        assert worker.standing.tally is None
        wait_until(lambda: look_after(worker) and worker._process.pid != first)
        wait_until(lambda: worker.standing.tally is not None)
        worker.tell_to_stop()
        worker.wait(30)
        assert worker._process.exitcode == 0
        assert worker.past.requests == 5 + 6


def test_a_worker_that_is_killed_again_and_again_rests_longer_and_longer(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a machine without memory is not kept busy with starts; a long life forgives."""
    monkeypatch.setattr(_member, "_FIRST_REST", 0.05)
    with member(fleet_work.works) as worker:
        for _ in range(3):
            wait_until(lambda: worker.standing.tally is not None)
            worker._process.kill()
            wait_until(lambda: worker._process.exitcode is not None)
            wait_until(lambda: look_after(worker) and worker.standing.tally is not None)
        assert worker._rest == pytest.approx(0.4)
        worker._born -= 1000
        worker._process.kill()
        wait_until(lambda: worker._process.exitcode is not None)
        worker.look_after()
        assert worker._rest == pytest.approx(0.1)
        assert worker.replaced["killed"] == 4


@pytest.mark.usefixtures("_no_rest")
def test_a_worker_that_stands_still_is_ended_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """Though it does not listen to SIGTERM; what it did stays counted."""
    with member(fleet_work.stands_still) as worker:
        wait_until(lambda: worker.standing.stuck is not None)
        first = worker._process.pid
        worker.look_after()
        assert "worker w-still: its loop stands still" in caplog.text
        assert worker.replaced["stuck"] == 1
        assert worker.past.requests == 3
        wait_until(lambda: look_after(worker) and worker._process.pid != first)


def test_a_worker_that_is_stopped_by_the_system_is_replaced_too() -> None:
    """SIGSTOP holds all its threads; SIGKILL ends it all the same."""
    with member(fleet_work.works) as worker:
        wait_until(lambda: worker.standing.tally is not None)
        os.kill(worker._process.pid or 0, signal.SIGSTOP)
        worker._pulse.expect(-1)
        worker.look_after()
        assert worker.replaced["stuck"] == 1


def test_a_worker_that_gives_up_hands_its_reason_on() -> None:
    """The very error, so that the fleet ends with the same words and the same status."""
    with (
        member(fleet_work.gives_up) as worker,
        pytest.raises(FencedError, match="another worker runs under this id"),
    ):
        wait_until(lambda: not look_after(worker))


def test_a_worker_that_ends_without_a_word_is_reported_with_its_status() -> None:
    """Whoever reads that looks into the log."""
    with (
        member(fleet_work.ends_without_a_word) as worker,
        pytest.raises(ShadowlaneError, match="worker number 0 ended with status 3"),
    ):
        wait_until(lambda: not look_after(worker))


def test_a_worker_that_does_not_leave_in_time_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    """The fleet leaves within its grace."""
    with member(fleet_work.works) as worker:
        wait_until(lambda: worker.standing.tally is not None)
        os.kill(worker._process.pid or 0, signal.SIGSTOP)
        worker.tell_to_stop()
        worker.wait(0.1)
        assert worker._process.exitcode == -signal.SIGKILL
        assert "did not finish in time; ending it" in caplog.text
