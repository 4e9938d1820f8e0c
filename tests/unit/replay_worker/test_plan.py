"""What a worker is told, and when it has had enough."""

from __future__ import annotations

import pytest

from shadowlane.errors import SettingsError
from shadowlane.replay_worker import ErrorCeiling, Target
from shadowlane.replay_worker._tally import Recent


def test_no_two_targets_share_a_group() -> None:
    """Names may hold dots and hyphens; groups are told apart all the same."""
    assert Target("a.b", "c").group != Target("a", "b.c").group


@pytest.mark.parametrize("name", ["", "..", "../etc", "a/b", "a:b", "x" * 129, "\x00"])
def test_a_name_that_may_not_become_a_folder_is_refused(name: str) -> None:
    """Models, shadows and runs become folders and parts of ids."""
    with pytest.raises(SettingsError):
        Target(name, "shadow")
    with pytest.raises(SettingsError):
        Target("model", "shadow", run=name)


def test_only_the_latest_requests_count_for_the_ceiling() -> None:
    """A model that breaks after a million good requests is stopped as soon as one that never worked."""
    recent, ceiling = Recent(window=1000), ErrorCeiling(0.5, after=1000)
    for _ in range(10_000):
        recent.add(failed=[], seen=100)
    batches = 0
    while not ceiling.reached(recent.failed, recent.seen):
        recent.add(failed=range(100), seen=100)
        batches += 1
    assert batches == 6
    assert recent.seen == 1000


@pytest.mark.parametrize("ratio", [0, -0.1, 1.1, float("nan")])
def test_a_ceiling_is_a_share(ratio: float) -> None:
    """Anything but a share above 0 is an error."""
    with pytest.raises(SettingsError):
        ErrorCeiling(ratio)


def test_a_ceiling_of_one_never_stops() -> None:
    """1 means: go on whatever happens."""
    assert not ErrorCeiling(1.0, after=1).reached(10, 10)


@pytest.mark.parametrize(
    ("batches", "rows"),
    [
        ([([], 5)], [0]),
        ([([0, 1, 2], 3)], [3]),
        ([([1, 2], 3), ([0], 3)], [2, 3]),
        ([([1, 2], 4), ([0], 3)], [2, 1]),
        ([([0, 1, 3], 4), ([0, 1], 2), ([], 0), ([0, 2, 3], 5)], [2, 3, 0, 4]),
        ([([3, 0, 1], 4), ([], 1), ([0], 1)], [2, 0, 1]),
    ],
)
def test_failures_are_counted_in_a_row_across_batches(
    batches: list[tuple[list[int], int]], rows: list[int]
) -> None:
    """The longest row of each batch, with what it continues; an answer between two failures ends a row."""
    recent, found = Recent(window=1000), []
    for failed, seen in batches:
        before = recent.in_a_row
        recent.add(failed, seen)
        found.append(recent.in_a_row if seen else 0)
        assert seen or recent.in_a_row == before
    assert found == rows


def test_batches_without_a_request_of_ours_are_not_kept() -> None:
    """A worker may read other models' messages for weeks between two requests of its own."""
    recent = Recent(window=1000)
    for _ in range(100):
        recent.add([], 0)
    assert not recent._batches


def test_a_ceiling_of_no_consecutive_errors_never_stops() -> None:
    """0 means: go on whatever happens; a count less than that means nothing."""
    assert not ErrorCeiling(consecutive=0).reached_in_a_row(1_000_000)
    assert ErrorCeiling(consecutive=3).reached_in_a_row(3)
    with pytest.raises(SettingsError, match="-1 consecutive errors"):
        ErrorCeiling(consecutive=-1)
