"""What a report may be asked about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from shadowlane.aggregator.report._scope import Scope
from shadowlane.errors import SettingsError


@pytest.mark.parametrize("field", ["model", "shadow", "run"])
@pytest.mark.parametrize("name", ["", "../etc", "a/b", "x' OR 1=1 --", "a\nb", "-x"])
def test_names_that_cannot_be_are_refused(field: str, name: str) -> None:
    """A name that could not be a folder of the lake is refused before anything is read, and named."""
    names: dict[str, Any] = {"model": "m", "shadow": "s"}
    with pytest.raises(SettingsError, match=field):
        Scope(**{**names, field: name})


def test_a_time_without_a_zone_is_refused() -> None:
    """A bare local time would mean another window on another machine."""
    with pytest.raises(SettingsError, match=r"start.*time zone"):
        Scope("m", "s", start=datetime(2026, 3, 1))  # noqa: DTZ001 - the mistake under test


def test_times_are_kept_in_utc() -> None:
    """A window given in another zone is the same window."""
    berlin = timezone(timedelta(hours=1))
    scope = Scope("m", "s", start=datetime(2026, 3, 1, 1, tzinfo=berlin))
    assert scope.start == datetime(2026, 3, 1, tzinfo=UTC)
    assert scope.start is not None
    assert scope.start.tzinfo is UTC


def test_an_empty_window_is_refused() -> None:
    """A window that ends where it starts holds nothing, and is a mistake."""
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    with pytest.raises(SettingsError, match="empty window"):
        Scope("m", "s", start=moment, end=moment)
