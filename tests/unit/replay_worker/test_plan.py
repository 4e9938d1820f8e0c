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
        recent.add(failed=0, seen=100)
    batches = 0
    while not ceiling.reached(recent.failed, recent.seen):
        recent.add(failed=100, seen=100)
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
