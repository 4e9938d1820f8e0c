"""Lines in the log for requests that became errors."""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from shadowlane.errors import Place
from shadowlane.replay_worker._complaints import Complaints, Fault

FIRST = Fault(Place("production-requests", 2, 41), "predict", "KeyError")
SECOND = Fault(Place("production-requests", 0, 7), "decode", "CorruptMessageError")


def test_the_first_error_is_said_at_once_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    """Where it lies, for people and for machines; what stands in it, never."""
    with caplog.at_level(logging.WARNING):
        Complaints(clock=lambda: 0.0).add(Counter(predict=3), FIRST)
    (record,) = caplog.records
    assert record.getMessage() == (
        "requests that became errors: predict 3; the first at production-requests[2]@41 (KeyError)"
    )
    assert (vars(record)["partition"], vars(record)["offset"], vars(record)["stage"]) == (2, 41, "predict")


def test_what_follows_is_said_together(caplog: pytest.LogCaptureFixture) -> None:
    """An error in each request is not a line for each: one every ten seconds, and one at the end."""
    now = 0.0
    complaints = Complaints(clock=lambda: now)
    complaints.add(Counter(predict=3), FIRST)
    caplog.clear()
    complaints.add(Counter(decode=1), SECOND)
    complaints.add(Counter(), None)
    complaints.add(Counter(predict=2), FIRST)
    assert caplog.records == []
    now = 10.0
    complaints.add(Counter(predict=3), FIRST)
    assert "predict 5, decode 1; the first at production-requests[0]@7" in caplog.text
    caplog.clear()
    complaints.say()
    assert caplog.records == []
