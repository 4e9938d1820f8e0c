"""A position never passes what was not seen."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowlane.aggregator._continuity import Continuity, Following

KEY = ("shadow-comparisons", 0)


def test_offsets_follow_each_other_but_for_a_marker() -> None:
    """One that is not there is a transaction's marker."""
    assert Continuity().follow(KEY, 5, [5, 6, 8, 9]) == Following(0, 4, in_doubt=False)
    assert Continuity().follow(KEY, 5, [6]) == Following(0, 1, in_doubt=False)


def test_what_was_read_already_is_left_out_and_nothing_else() -> None:
    """Messages from before, in front of those that were waited for, do not take these with them."""
    assert Continuity().follow(KEY, 10, [5, 6, 7, 10, 11]) == Following(3, 5, in_doubt=False)
    assert Continuity().follow(KEY, 10, [5, 6]) == Following(2, 2, in_doubt=False)


def test_a_larger_step_is_believed_the_second_time() -> None:
    """Aborted transactions leave such gaps: reading again comes to the same."""
    found = Continuity()
    assert found.follow(KEY, 5, [5, 6, 50, 51]) == Following(0, 2, in_doubt=True)
    assert found.follow(KEY, 7, [50, 51]) == Following(0, 2, in_doubt=False)
    assert found.follow(KEY, 52, [90]) == Following(0, 0, in_doubt=True)
    assert found.allows(KEY, 52, 90)


def test_messages_that_were_passed_over_are_read_after_all(caplog: pytest.LogCaptureFixture) -> None:
    """And it is said."""
    found = Continuity()
    assert found.follow(KEY, 5, [50]).in_doubt
    with caplog.at_level(logging.WARNING):
        assert found.follow(KEY, 5, [5, 6, 7]) == Following(0, 3, in_doubt=False)
    assert "shadow-comparisons[0]: offsets from 5 to 50 were passed over; read after all" in caplog.text


def test_an_end_further_on_than_the_first_time_is_looked_at_again() -> None:
    """Only what was looked for twice is believed not to be there."""
    found = Continuity()
    assert not found.allows(KEY, 5, 20)
    assert not found.allows(KEY, 5, 40)
    assert found.allows(KEY, 5, 40)


@given(
    there=st.lists(st.integers(0, 60), unique=True, min_size=1).map(sorted),
    first=st.integers(0, 60),
    cuts=st.lists(st.integers(1, 9), min_size=80, max_size=80),
)
def test_each_message_is_taken_once_whatever_is_not_there(
    there: list[int], first: int, cuts: list[int]
) -> None:
    """A reader that goes back where it is told to takes all from its start on, in order, and ends."""
    continuity, expected, taken = Continuity(), first, list[int]()
    wanted = [offset for offset in there if offset >= first]
    for cut in cuts:
        left = [offset for offset in there if offset >= expected][:cut]
        if not left:
            break
        start, stop, _ = continuity.follow(KEY, expected, left)
        taken += left[start:stop]
        expected = taken[-1] + 1 if taken else expected
    if len(wanted) <= 30:  # each may take two looks
        assert taken == wanted
